"""Integrated loudness after ITU-R BS.1770-4, as DAC measures it before coding and after.

Letters in shapes: `C` channels, `T` samples.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .channels import Block

SILENCE = -70.0  # LUFS; what is softer counts as this loud
_STEP = 0.1  # seconds between two gating blocks, each of four steps
_SHORTEST = 0.5  # seconds; shorter sounds are filled up with silence
_TAPS = 1 << 16  # of the weighting's impulse response: beyond a second nothing is left of it
_SHELF, _PASS = (1500.0, 0.5**0.5), (38.0, 0.5)  # Hz and Q of the two filters of K-weighting
_SHELF_GAIN = 4.0  # dB
_SURROUND = 1.41  # weight of the fourth and fifth channel


def loudness(wave: Block, sample_rate: int) -> float:
    """Loudness of `[C, T]` in LUFS, no less than SILENCE."""
    step = int(4 * _STEP * sample_rate) // 4
    wave = np.pad(wave, ((0, 0), (0, max(0, int(_SHORTEST * sample_rate) - wave.shape[1]))))
    blocks = -(-(max(wave.shape[1], 4 * step) - 4 * step) // step) + 1
    power = np.zeros(blocks)
    for channel, samples in enumerate(wave):
        weight = 1.0 if channel < 3 else _SURROUND
        power += weight / (4 * step) * np.convolve(_energy(samples, sample_rate, step, blocks + 3), np.ones(4), "valid")
    with np.errstate(divide="ignore"):
        loud = 10 * np.log10(power) - 0.691
        heard = loud > SILENCE
        if not heard.any():
            return SILENCE
        heard &= loud > 10 * np.log10(power[heard].mean()) - 0.691 - 10
    return max(SILENCE, float(10 * np.log10(power[heard].mean()) - 0.691))


def _energy(samples: NDArray[np.float32], sample_rate: int, step: int, steps: int) -> NDArray[np.float64]:
    """The weighted sound's sum of squares in each of `steps` steps; filtered block by block, so memory stays small."""
    spectrum = np.fft.rfft(_weighting(sample_rate), 2 * _TAPS)
    energy, tail = np.zeros(steps), np.zeros(_TAPS)
    for start in range(0, min(len(samples), steps * step), _TAPS):
        block = samples[start : start + _TAPS].astype(np.float64)
        heard = np.fft.irfft(np.fft.rfft(block, 2 * _TAPS) * spectrum)
        place = np.arange(start, min(start + len(block), steps * step))
        squares = np.square(heard[: len(place)] + tail[: len(place)])
        energy += np.bincount(place // step, squares, steps)
        tail = heard[_TAPS:]
    return energy


def _weighting(sample_rate: int) -> NDArray[np.float64]:
    """Impulse response of K-weighting: a high shelf for the head, a high pass for the ear."""
    turn = np.exp(-2j * np.pi * np.arange(_TAPS // 2 + 1) / _TAPS)
    response = np.ones_like(turn)
    for b, a in (_shelf(sample_rate), _high_pass(sample_rate)):
        response *= (b[0] + b[1] * turn + b[2] * turn**2) / (a[0] + a[1] * turn + a[2] * turn**2)
    return np.fft.irfft(response)


def _shelf(sample_rate: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    # both filters as in Bristow-Johnson's cookbook
    frequency, q = _SHELF
    angle, gain = 2 * math.pi * frequency / sample_rate, 10 ** (_SHELF_GAIN / 40)
    cosine, slope = math.cos(angle), 2 * math.sqrt(gain) * math.sin(angle) / (2 * q)
    more, less = gain + 1, gain - 1
    b = (
        gain * (more + less * cosine + slope),
        -2 * gain * (less + more * cosine),
        gain * (more + less * cosine - slope),
    )
    return b, (more - less * cosine + slope, 2 * (less - more * cosine), more - less * cosine - slope)


def _high_pass(sample_rate: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    frequency, q = _PASS
    angle = 2 * math.pi * frequency / sample_rate
    cosine, width = math.cos(angle), math.sin(angle) / (2 * q)
    b = ((1 + cosine) / 2, -(1 + cosine), (1 + cosine) / 2)
    return b, (1 + width, -2 * cosine, 1 - width)
