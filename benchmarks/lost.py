"""What lost frames cost: pearl with a share of its frames gone, made up by the decoder and left silent, side by side.

    python benchmarks/lost.py                                  # the bundled model on ../shared/dev-set/speech
    python benchmarks/lost.py --model FOLDER --clips FOLDER

Frames are lost in runs of 1 to 6 (13 to 80 ms), drawn from a fixed seed, the same for both.
Needs `pip install 'nacre[eval]'`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nacre import load, read
from nacre.audio import KINDS
from nacre.codes import Codes
from nacre.contract import CodecContract
from nacre.evaluation.metrics import METRICS, align
from nacre.models import DEFAULT

CLIPS = Path(__file__).resolve().parents[2] / "shared" / "dev-set" / "speech"
BITRATES = (1_350, 6_075)  # bit/s
SHARES = (0.0, 0.05, 0.1, 0.2)
LONGEST = 6  # frames
METRIC_NAMES = ("pesq_wb", "stoi")


def draw_losses(frames: int, share: float, seed: int) -> NDArray[np.bool_]:
    """Which of `frames` never arrive: runs of 1 to `LONGEST`, until `share` of all are gone."""
    rng, lost = np.random.default_rng(seed), np.zeros(frames, np.bool_)
    while lost.sum() < round(share * frames):
        start = int(rng.integers(frames))
        lost[start : start + int(rng.integers(1, LONGEST + 1))] = True
    return lost


def score(codec: CodecContract, codes: Codes, wave: NDArray[np.float32]) -> list[float]:
    """The figures of one clip."""
    rate = codec.info.sample_rate
    pair = align(wave[0, 0], codec.decode(codes)[0, 0], rate)
    return [METRICS[name].function(pair.reference, pair.estimate, rate) for name in METRIC_NAMES]


def measure(model: str, paths: Sequence[Path], bitrate: int, share: float) -> tuple[list[float], list[float]]:
    """Means over clips, made up and silent."""
    concealing, silent = load(model), load(model)
    silent.info = replace(silent.info, conceals=0)
    levels, figures = concealing.info.levels_for(bitrate), ([], [])  # type: ignore[var-annotated]
    for i, path in enumerate(paths):
        wave = read(path, concealing.info.sample_rate, 1).samples
        codes = concealing.encode(wave, levels)
        if share:
            codes = replace(codes, lost=draw_losses(codes.frames, share, i))
        for codec, rows in zip((concealing, silent), figures, strict=True):
            rows.append(score(codec, codes, wave))
    made_up, left = (np.mean(rows, axis=0).tolist() for rows in figures)
    return made_up, left


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--model", default=DEFAULT, help=f"a name or an exported folder ({DEFAULT})")
    parser.add_argument("--clips", type=Path, default=CLIPS, help="folder of sound files (../shared/dev-set/speech)")
    asked = parser.parse_args()
    paths = sorted(path for path in asked.clips.rglob("*") if path.suffix.lower() in KINDS)
    if not paths:
        sys.exit(f"no sound files in {asked.clips}; name a folder of speech with --clips")
    print("| kbps | frames lost | PESQ-WB made up | silent | STOI made up | silent |\n|---|---|---|---|---|---|")
    for bitrate in BITRATES:
        for share in SHARES:
            (pesq, stoi), (pesq_silent, stoi_silent) = measure(asked.model, paths, bitrate, share)
            cells = f"{pesq:.2f} | {pesq_silent:.2f} | {stoi:.3f} | {stoi_silent:.3f}"
            print(f"| {bitrate / 1000:.2f} | {share:.0%} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
