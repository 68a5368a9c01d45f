"""Every recipe trains: losses are numbers, what should learn moves, what is held stays to the bit, resuming is exact.

Small scale, and narrower still: what is proved hangs on losses, schedules, stages and layers, not on widths. By default
two steps of every recipe, with thin discriminators; `-m slow` takes thirty, the last five with the recipe's own.
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from small_run import make_sound

from nacre.training.adversary import build_discriminators
from nacre.training.checkpoint import Checkpoints
from nacre.training.library import names
from nacre.training.recipe import Recipe
from nacre.training.run import Data, stage_folder, stages_for, train
from nacre.training.scale import narrow

os.environ["ACCELERATE_USE_CPU"] = "true"
THIN = ("periods-academicodec",)  # the quickest family of discriminators


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sound(tmp_path_factory.mktemp("sound"))


def tiny(name: str, steps: int, families: tuple[str, ...] = ()) -> tuple[Recipe, ...]:
    """A recipe at small scale, a sixteenth of its widths, with other discriminators if any are named; those of its own
    are left out until the last steps, for a step with them takes as long as ten without.
    """
    stages = []
    for stage in stages_for(name, scale="small"):
        crop = 0.5 if stage.weights.intelligibility else 0.15 if not families else 0.12
        changed = replace(
            stage,
            steps=steps,
            crop=min(stage.crop, crop),
            log_every=5 if steps > 5 else 1,
            checkpoint_every=max(1, steps - 1),
            keep_last=9,
            adversarial_start=max(1, steps - 5),
            batch=2,
            codec=lighter(name, stage.codec),
            discriminators=families if families and stage.discriminators else stage.discriminators,
        )
        stages.append(changed)
    return tuple(stages)


def lighter(name: str, config: Any) -> Any:
    """A codec's config as narrow and with as few codes as it can still be."""
    if name.startswith("audiodec"):  # its random entries are so far from young latents that of few only one is hit
        return narrow(config, 4)
    if name.startswith(("snac", "hificodec")):
        return fewer(config)
    # a layer of one feature has a direction that cannot move
    return fewer(narrow(config, 2 if name.startswith(("encodec", "soundstream", "nac-")) else 4))


def fewer(config: Any) -> Any:
    """A codec's config with few and small codebooks."""
    has = {field.name for field in fields(config)}
    changes: dict[str, Any] = {"codebook_size": 32} if "codebook_size" in has else {}
    if "levels" in has:
        changes["levels"] = min(config.levels, 4)
    if "dropout" in has:
        changes["dropout"] = tuple(count for count in config.dropout if count <= 4)
    return replace(config, **changes)


def figures(run: Path) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{name: row[name] for name in row if "second" not in name and name != "wait_share"} for row in rows]


def check(stages: tuple[Recipe, ...], data: Data, out: Path) -> None:
    """Losses, and what moves."""
    train(stages, data, out)
    before: Path | None = None
    for stage in stages:
        run = stage_folder(out, stage)
        rows = [row for row in figures(run) if "gradient_norm" in row]
        assert [row["step"] for row in rows] == list(range(stage.log_every, stage.steps + 1, stage.log_every))
        numbers = [value for row in rows for value in row.values() if isinstance(value, float)]
        assert all(math.isfinite(value) for value in numbers)
        assert rows[-1]["skipped"] == 0
        assert ("adversarial" in rows[-1]) == bool(stage.discriminators)
        learnt(stage, run, before)
        before = run


def learnt(stage: Recipe, run: Path, before: Path | None) -> None:
    """Parameters of codec and discriminators moved, but for parts that are held."""
    held = {name: value for name, value in ends(run)[1].items() if name.partition(".")[0] in stage.held}
    came = Checkpoints(before).last().tensors("average") if before else held
    first, last = ends(run)
    for name, value in held.items():
        assert torch.equal(value, first[name]) and torch.equal(value, came[name]), name
    with torch.device("meta"):
        codec = stage.build()
        judges = build_discriminators(stage) if stage.discriminators else torch.nn.Module()
    learns = {name for name, _ in codec.named_parameters()} - held.keys()
    assert {name for name in learns if torch.equal(first[name], last[name]) and not name.endswith("entries")} == set()
    first, last = ends(run, "discriminators") if stage.discriminators else ({}, {})
    # a hinge pulls real and coded scores that are all within its margin equally up and down: their bias may well rest
    rests = (".last.bias",) if "hinge" in stage.gan else ()
    learns = {name for name, _ in judges.named_parameters() if not name.endswith(rests)}
    assert {name for name in learns if torch.equal(first[name], last[name])} == set()


def ends(run: Path, model: str = "generator") -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """A model at the first checkpoint and at the last."""
    found = Checkpoints(run).all()
    return found[0].tensors(model), found[-1].tensors(model)


def resumed(stage: Recipe, data: Data, out: Path) -> None:
    """From the checkpoint before the last one the same steps lead to the same bits."""
    run = stage_folder(out, stage)
    whole, found = Checkpoints(run).last(), Checkpoints(run).all()
    assert len(found) == 2
    again = out.with_name(out.name + "-again")
    target = stage_folder(again, stage) / "checkpoints" / found[0].folder.name
    target.parent.mkdir(parents=True)
    found[0].folder.rename(target)
    if stage.stage:
        (again / f"stage-{stage.stage - 1}").symlink_to(stage_folder(out, replace(stage, stage=stage.stage - 1)))
    train(stage, data, again, resume=True)
    other = Checkpoints(stage_folder(again, stage)).last()
    assert other.step == whole.step
    for name in ("generator", "average", "generator_optimizer", *(["discriminators"] if stage.discriminators else [])):
        ours, theirs = whole.tensors(name), other.tensors(name)
        assert ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours), name


@pytest.mark.parametrize("name", names())
def test_a_recipe_trains(name: str, sound: Path, tmp_path: Path) -> None:
    stages, data = tiny(name, 2, THIN), Data(sound, background=sound)
    check(stages, data, tmp_path / "run")
    if name in ("audiodec-48k-v2", "audiodec-48k-denoise", "encodec-24k"):
        resumed(stages[-1], data, tmp_path / "run")


@pytest.mark.slow
@pytest.mark.parametrize("name", names())
def test_thirty_steps_and_its_own_discriminators(name: str, sound: Path, tmp_path: Path) -> None:
    stages, data = tiny(name, 30), Data(sound, background=sound)
    check(stages, data, tmp_path / "run")
    resumed(stages[-1], data, tmp_path / "run")
