"""The README's Python runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import nacre
from nacre.cli import app
from nacre.models import SAMPLE

README = Path(__file__).parent.parent / "README.md"


class Speaker:
    """Keeps what it plays."""

    def __init__(self) -> None:
        self.played: list[np.ndarray] = []

    def play(self, wave: np.ndarray) -> None:
        self.played.append(wave)


def test_the_python_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [code] = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    speech = nacre.read(SAMPLE)
    nacre.write("talk.wav", speech.samples, speech.sample_rate)
    speaker = Speaker()
    microphone = np.split(speech.samples[:, :, :24_000], [100, 5_000, 5_001], axis=2)
    names: dict[str, object] = {"microphone": microphone, "speaker": speaker}
    exec(code, names)
    assert names["wave"].shape == speech.samples.shape  # type: ignore[attr-defined]
    assert 24_000 <= names["part"].shape[2] < 26_000  # type: ignore[attr-defined]
    assert nacre.read("back.wav").samples.shape == speech.samples.shape
    assert sum(wave.shape[2] for wave in speaker.played) == 24_000
    with nacre.NacReader(tmp_path / "talk.nac") as file:
        assert file.read().length == speech.samples.shape[2]


def test_every_verb_of_the_readme_exists() -> None:
    blocks = re.findall(r"```console\n(.*?)```", README.read_text(), re.DOTALL)
    used = {verb for block in blocks for verb in re.findall(r"\bnacre ([a-z]+)", block)}
    assert {"encode", "decode"} <= used <= {each.callback.__name__ for each in app.registered_commands if each.callback}
