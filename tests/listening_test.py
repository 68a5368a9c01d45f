"""A small listening test without codecs: noise, and copies that are worse by what is known; and a server of it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np

from nacre import audio
from nacre.evaluation.listening.making import Entrant, Options, make
from nacre.evaluation.listening.plan import Kind, Plan

RATE = 16_000
CHROMIUM = Path("/usr/bin/chromium")
BAD, FAIR = "bad", "fair <i>"  # a name that would be markup, were it not escaped
CODE = (
    "import sys; from pathlib import Path; from nacre.evaluation.listening.serving import serve;"
    "serve(Path(sys.argv[1]), '127.0.0.1', int(sys.argv[2]), lambda links: print(links.owner, flush=True))"
)


def noise(seed: int, seconds: float = 1.0) -> np.ndarray:
    """Pink-like noise, float32 `[1, T]`."""
    rng = np.random.default_rng(seed)
    spectrum = np.fft.rfft(rng.normal(0, 1, round(seconds * RATE)))
    spectrum /= np.sqrt(1 + np.arange(len(spectrum)) / 50)
    wave = np.fft.irfft(spectrum)
    return (0.2 * wave / np.abs(wave).max()).astype(np.float32)[None]


def folders(place: Path, count: int, seconds: float = 1.0) -> list[Entrant]:
    """Originals in `place/data`, and two folders of what was made of them."""
    rng = np.random.default_rng(99)
    for name in ("data", BAD, "fair"):
        (place / name).mkdir(parents=True)
    for i in range(count):
        wave = noise(i, seconds)
        level = {"data": 0.0, "fair": 0.01, BAD: 0.05}
        for name, much in level.items():
            audio.write(place / name / f"clip{i}.wav", wave + rng.normal(0, much, wave.shape).astype(np.float32), RATE)
    return [Entrant(BAD, folder=place / BAD), Entrant(FAIR, folder=place / "fair")]


def small_test(place: Path, kind: Kind = "mushra", count: int = 2, repeats: int = 1) -> tuple[Path, Plan]:
    """A folder with a test of `count` items, and its plan."""
    entrants = folders(place, count)
    title = "Which <b>codec</b>?"
    plan = make(place / "test", [place / "data"], entrants, Options(kind=kind, title=title, repeats=repeats))
    return place / "test", plan


def start(folder: Path, port: int) -> tuple[subprocess.Popen[str], int]:
    """A server of its own process, and its port."""
    command = [sys.executable, "-c", CODE, str(folder), str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ})
    assert process.stdout is not None
    with process.stdout as told:
        found = re.search(r":(\d+)/", told.readline())
    assert found is not None
    return process, int(found[1])
