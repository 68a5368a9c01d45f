"""A run that takes seconds: a tiny pearl, generated sound, and a recipe for both."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from nacre.codecs.pearl import PearlConfig
from nacre.training.recipe import Recipe, parse_recipe

CLOCKED = ("seconds", "steps_per_second", "crops_per_second", "wait_share")  # metrics that a clock measures

os.environ["ACCELERATE_USE_CPU"] = "true"  # where the same steps give the same bits

TINY = PearlConfig(
    sample_rate=8000,
    hop=80,
    dim=32,
    hidden=48,
    latent=8,
    encoder_blocks=1,
    decoder_blocks=1,
    levels=2,
    codebook_size=16,
    dropout=(1, 2),
)
RECIPE = """
name = "tiny"
steps = 12
crop = 0.2
batch = 4
validation_clips = 2
stft_windows = [64, 256]
complex_stft_windows = [128, 400]
discriminators = ["periods-academicodec"]
gan = "hinge"
adversarial_start = 0.4
adversarial_on_cpu = true
warmup = 3
log_every = 1
sample_every = 100
checkpoint_every = 4

[weights]
mel = 15.0
complex_stft = 8.0
log_snr = 8.0

[mel]
windows = [64, 256]
mels = [10, 20]

[augment]
gain = 0.5
polarity = 0.5
"""


def small_recipe(*overrides: str) -> Recipe:
    """The recipe of a tiny pearl, discriminators from step 5 of 12 on."""
    codec = "\n[codec]\n" + "\n".join(
        f"{key} = {list(value) if isinstance(value, tuple) else value}" for key, value in vars(TINY).items()
    )
    return parse_recipe(RECIPE + codec, overrides)


def make_sound(folder: Path, files: int = 3, seconds: float = 2.0, rate: int = 8000) -> Path:
    """A folder of wav files with gliding harmonics and some noise."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    time = np.arange(int(seconds * rate)) / rate
    for i in range(files):
        pitch = 100 * (i + 1) + 40 * np.sin(2 * np.pi * time)
        phase = 2 * np.pi * np.cumsum(pitch) / rate
        wave = sum(np.sin(k * phase) / k for k in range(1, 6)) * (1 + np.sin(9 * time)) / 8
        soundfile.write(folder / f"{i}.wav", wave + random.normal(0, 0.01, len(time)), rate)
    return folder


def rows(run: Path, without: Sequence[str] = CLOCKED) -> list[dict[str, Any]]:
    """The lines of a run's journal, but for some metrics."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name not in without} for line in lines]
