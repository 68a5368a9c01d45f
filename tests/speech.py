"""A stretch of the bundled sentence, and what a codec might make of it."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from nacre.audio import read
from nacre.models import SAMPLE

RATE = 24_000


@cache
def speech(seconds: float = 2.0, start: float = 0.5) -> NDArray[np.float32]:
    """Float32 `[T]` at 24 kHz."""
    samples = read(SAMPLE, RATE, 1).samples[0, 0]
    return samples[round(start * RATE) : round((start + seconds) * RATE)]


def noisy(seconds: float = 2.0, snr: float = 15.0) -> NDArray[np.float32]:
    """The same with white noise `snr` dB below it."""
    clean = speech(seconds)
    noise = np.random.default_rng(0).normal(0, 1, len(clean))
    return (clean + noise * np.std(clean) * 10 ** (-snr / 20)).astype(np.float32)
