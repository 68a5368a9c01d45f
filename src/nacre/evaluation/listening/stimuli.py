"""Sounds for a listening test: anchors, one loudness for all, one delay for all.

Sounds here are float32 `[C, T]`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ...audio.loudness import SILENCE, loudness
from ...errors import InputError
from ..pairs import find_delay

Wave = NDArray[np.float32]
CEILING = 0.89  # full scale is 1; -1 dBFS leaves room for what lies between samples
MAX_DELAY = 0.25  # seconds that a codec may lag
FADE = 0.01  # seconds at both ends, so that no stimulus is known by a click
_STOP = 9 / 7  # of the corner: where 50 dB are reached. BS.1534-3 asks it of the 3.5 kHz anchor at 4.5 kHz
_BETA = 5.65  # of the Kaiser window: 60 dB down


def low_pass(wave: Wave, sample_rate: int, corner: float) -> Wave:
    """The anchor of BS.1534-3: flat within 0.1 dB up to `corner` Hz, 25 dB down at 8/7 and 50 dB at 9/7 of it.

    A linear-phase FIR filter without delay, so that the anchor lies under the reference to the sample.
    """
    stop = min(corner * _STOP, sample_rate / 2)
    if stop <= corner * 1.05:
        raise InputError(f"an anchor of {corner:g} Hz needs sound sampled above {2.1 * corner:g} Hz, got {sample_rate}")
    # 60 dB are reached a little above 8/7 already, so that 25 dB are at 8/7
    edge = corner + 0.55 * (stop - corner)
    taps = 2 * int(np.ceil(3.7 * sample_rate / (edge - corner) / 2)) + 1
    place = np.arange(taps) - taps // 2
    middle = (corner + edge) / sample_rate
    kernel = middle * np.sinc(middle * place) * np.kaiser(taps, _BETA)
    return np.stack([_convolve(channel, kernel / kernel.sum()) for channel in wave])


def in_place(reference: Wave, estimate: Wave, sample_rate: int) -> Wave:
    """The estimate without its delay, as long as the reference: switching between the two keeps its place."""
    first, second = (each.mean(axis=0, dtype=np.float64) for each in (reference, estimate))
    delay = find_delay(first, second, round(MAX_DELAY * sample_rate), sample_rate)
    length = reference.shape[1]
    moved = estimate[:, max(0, delay) :]
    moved = np.pad(moved, ((0, 0), (max(0, -delay), 0)))[:, :length]
    return np.pad(moved, ((0, 0), (0, length - moved.shape[1])))


def matched(sounds: Mapping[str, Wave], sample_rate: int, target: float) -> dict[str, Wave]:
    """All sounds of an item at `target` LUFS (EBU R128, with the meter of BS.1770), ends faded.

    Where one of them would pass CEILING at that loudness all become softer by the same, so none is known by its level.
    """
    made = {}
    for name, wave in sounds.items():
        loud = loudness(wave, sample_rate)
        if loud <= SILENCE:
            raise InputError(f"{name} gives silence, which no loudness can be matched to; leave this sound out")
        made[name] = wave * np.float32(10 ** ((target - loud) / 20))
    peak = max(float(np.abs(wave).max()) for wave in made.values())
    gain = min(1.0, CEILING / peak)
    return {name: _faded(wave * np.float32(gain), sample_rate) for name, wave in made.items()}


def _faded(wave: Wave, sample_rate: int) -> Wave:
    count = min(round(FADE * sample_rate), wave.shape[1] // 2)
    ramp = np.ones(wave.shape[1], np.float32)
    ramp[:count] = np.linspace(0, 1, count, endpoint=False)
    return wave * ramp * ramp[::-1]


def _convolve(samples: NDArray[np.float32], kernel: NDArray[np.float64]) -> NDArray[np.float32]:
    size = 1 << (len(samples) + len(kernel) - 2).bit_length()
    full = np.fft.irfft(np.fft.rfft(samples.astype(np.float64), size) * np.fft.rfft(kernel, size), size)
    return full[len(kernel) // 2 :][: len(samples)].astype(np.float32)
