"""The same test for webMUSHRA (Schoeffler et al. 2018): its configuration, and sounds where it looks for them.

webMUSHRA plays the hidden reference by itself; our anchors go as stimuli, because they are matched in loudness.
"""

from __future__ import annotations

import json
import shutil
from html import escape
from pathlib import Path
from typing import Any

from ...atomic import WholeFile, write_whole
from ...errors import InputError
from .plan import REFERENCE, Item, Plan, Trial, read_plan

_OPINIONS = ("Bad", "Poor", "Fair", "Good", "Excellent")
_SAYING = {
    "mushra": "Rate how each stimulus sounds beside the reference. One of them is the reference itself.",
    "abx": "Which of the two is the reference?",
    "acr": "How does this recording sound?",
}


def export(folder: Path, target: Path, overwrite: bool = False) -> Path:
    """Write `configs/NAME.yaml` and its sounds below `target`, the root of a webMUSHRA; the configuration's place."""
    plan = read_plan(folder)
    if plan.kind == "ab":
        raise InputError(
            "webMUSHRA has no page that compares two codecs without a reference; export mushra, abx or acr"
        )
    name = "".join(c if c.isascii() and c.isalnum() else "-" for c in folder.resolve().name).strip("-") or "test"
    sounds = Path("configs", "resources", name)
    config = target / "configs" / f"{name}.yaml"
    (target / sounds).mkdir(parents=True, exist_ok=True)
    WholeFile(config, overwrite)  # refuses a name that is taken before anything is copied
    for item in (*plan.items, plan.training):
        for place in item.sounds.values():
            (target / sounds / place).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / place, target / sounds / place)
    write_whole(config, ("\n".join(_yaml(_config(plan, name, sounds.as_posix()))) + "\n").encode(), overwrite)
    return config


def _config(plan: Plan, name: str, sounds: str) -> dict[str, Any]:
    consent = "".join(f"<p>{escape(part)}</p>" for part in plan.consent.split("\n\n"))
    practice = _page(plan, Trial(plan.training, plan.groups()[0]), "training", "Practice", sounds)
    trials = [_page(plan, trial, f"trial{i}", "", sounds) for i, trial in enumerate(plan.trials())]
    return {
        "testname": escape(plan.title),
        "testId": name,
        "bufferSize": 2048,
        "stopOnErrors": True,
        "showButtonPreviousPage": False,
        "remoteService": "service/write.php",
        "pages": [
            {"type": "consent", "id": "consent", "name": "Before you begin", "mustConsent": True, "content": consent},
            {"type": "volume", "id": "volume", "name": "Volume", "content": "Choose a comfortable volume.",
             "stimulus": _place(plan.training, next(iter(plan.training.sounds)), sounds), "defaultVolume": 0.5},
            practice,
            ["random", *trials],
            {"type": "finish", "name": "Thank you", "content": "Your answers are sent.", "showResults": False,
             "writeResults": True},
        ],
    }  # fmt: skip


def _page(plan: Plan, trial: Trial, key: str, name: str, sounds: str) -> dict[str, Any]:
    stimuli = {each: _place(trial.item, each, sounds) for each in trial.conditions}
    if plan.kind != "acr":
        stimuli.pop(REFERENCE)
    page: dict[str, Any] = {
        "id": f"{key}-{escape(trial.item.name)}",
        "name": name or "Trial",
        "content": _SAYING[plan.kind],
    }
    if plan.kind == "acr":
        scale = [{"value": i + 1, "label": word} for i, word in enumerate(_OPINIONS)]
        return {"type": "likert_single_stimulus", **page, "mustRate": True, "mustPlayback": "processUpdate",
                "response": scale, "stimuli": stimuli}  # fmt: skip
    page |= {"showWaveform": True, "enableLooping": True, "reference": _place(trial.item, REFERENCE, sounds)}
    if plan.kind == "abx":
        return {"type": "paired_comparison", **page, "stimuli": stimuli}
    kept = {"strict": False, "createAnchor35": False, "createAnchor70": False, "randomize": True}
    return {"type": "mushra", **page, **kept, "showConditionNames": False, "stimuli": stimuli}


def _place(item: Item, condition: str, sounds: str) -> str:
    return f"{sounds}/{item.sounds[condition]}"


def _yaml(value: Any) -> list[str]:
    """YAML in blocks, with scalars and keys as JSON has them, which YAML reads as they are."""
    if isinstance(value, dict) and value:
        pairs = [(f"{json.dumps(key)}:", each) for key, each in value.items()]
    elif isinstance(value, list) and value:
        pairs = [("-", each) for each in value]
    else:
        return [json.dumps(value)]
    lines = []
    for head, each in pairs:
        inner = _yaml(each)
        block = isinstance(each, dict | list) and each
        lines += [head, *(f"  {line}" for line in inner)] if block else [f"{head} {inner[0]}"]
    return lines
