"""Three short clips and a broken one through pearl and Opus, measured once for all tests."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

from speech import RATE, speech

from nacre.audio import write
from nacre.evaluation.campaign import Campaign, Plan, run

NAMES = ["a.wav", "b/c.wav", "d.wav"]
METRICS = ("stoi", "si_sdr")


class Watcher:
    """Remembers what began and ended."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.ended: list[str] = []

    def begin(self, name: str) -> object:
        self.begun.append(name)
        return lambda done, whole: None

    def end(self, name: str) -> None:
        self.ended.append(name)


def make_clips(folder: Path, seconds: float = 1.2) -> Path:
    """The clips, and one that is none."""
    (folder / "b").mkdir(parents=True)
    for i, name in enumerate(NAMES):
        write(folder / name, speech(seconds, 0.5 + i)[None], RATE)
    (folder / "broken.wav").write_bytes(b"RIFF no sound")
    return folder


@cache
def measured() -> Campaign:
    """The campaign, its folder gone when the tests end."""
    folder = Path(tempfile.mkdtemp(prefix="nacre-campaign-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    data = make_clips(folder / "clips")
    plan = Plan(("pearl-24k", "opus"), (str(data),), str(folder / "report"), (1500, 6000), METRICS, workers=2)
    return run(plan, Watcher())
