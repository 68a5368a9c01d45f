"""The pitch of voices, and how well a codec keeps it: YIN on float arrays `[T]`, numpy only.

Letters in shapes: `T` samples, `F` frames, `N` lags.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ..audio import resample
from ..errors import InputError
from .pairs import Samples, Sound, check_pair

RATE = 16_000  # Hz that pitch is looked for at
LOWEST, HIGHEST = 60.0, 450.0  # Hz of voices
WINDOW, HOP = 640, 160  # samples that are compared with their past, 40 ms; between frames, 10 ms
CLEAR = 0.2  # of YIN's normalised difference: below it a frame is voiced
LEAST = 1e-4  # of the loudest frame's power: quieter ones are not voiced


def pitch_error(reference: Sound, estimate: Sound, sample_rate: int) -> float:
    """Error of the fundamental frequency in cents, root mean square, from 0; lower is better; 100 are a semitone.

    Over the frames that are voiced in both. Pitch by YIN, de Cheveigné and Kawahara, "YIN, a fundamental frequency
    estimator for speech and music", JASA 2002: 60 to 450 Hz, every 10 ms.
    """
    first, second = _pitches(reference, estimate, sample_rate)
    both = (first > 0) & (second > 0)
    if not both.any():
        raise InputError("no frame is voiced in both sounds, so their pitch cannot be compared; leave this clip out")
    cents = 1200 * np.log2(second[both] / first[both])
    return float(np.sqrt(np.mean(cents**2)))


def voicing_error(reference: Sound, estimate: Sound, sample_rate: int) -> float:
    """Share of frames that are voiced in one sound only, in percent, from 0 to 100; lower is better.

    Nakatani et al., "A method for fundamental frequency estimation and voicing decision", Speech Communication 2008.
    """
    first, second = _pitches(reference, estimate, sample_rate)
    return float(100 * np.mean((first > 0) != (second > 0)))


def track(sound: Samples, sample_rate: int) -> Samples:
    """Fundamental frequencies in Hz, 0 where there is no voice, `[F]`."""
    at_rate = resample(sound[None].astype(np.float32), sample_rate, RATE)[0].astype(np.float64)
    longest, shortest = round(RATE / LOWEST), int(RATE / HIGHEST)
    span = WINDOW + longest + 1
    padded = np.pad(at_rate, (0, max(0, span - len(at_rate))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, span)[::HOP]
    parts = [_yin(frames[i : i + 512], shortest, longest) for i in range(0, len(frames), 512)]
    return _audible(np.concatenate(parts), frames)


def _pitches(reference: Sound, estimate: Sound, sample_rate: int) -> tuple[Samples, Samples]:
    first, second = check_pair(reference, estimate, sample_rate, 8_000)
    return _known(first.tobytes(), sample_rate), _known(second.tobytes(), sample_rate)


@lru_cache(maxsize=4)
def _known(samples: bytes, sample_rate: int) -> Samples:
    """Both metrics ask for the same, one after the other."""
    return track(np.frombuffer(samples), sample_rate)


def _yin(frames: NDArray[np.float64], shortest: int, longest: int) -> Samples:
    """Pitch of each of `frames` `[F, WINDOW + longest + 1]`."""
    size = 1 << (frames.shape[1] + WINDOW).bit_length()
    spectrum = np.fft.rfft(frames[:, :WINDOW], size)
    product = np.fft.irfft(np.fft.rfft(frames, size) * np.conj(spectrum), size)[:, : longest + 2]
    power = np.cumsum(np.pad(frames**2, ((0, 0), (1, 0))), axis=1)
    energy = power[:, WINDOW : WINDOW + longest + 2] - power[:, : longest + 2]
    apart = np.maximum(energy[:, :1] + energy - 2 * product, 0)
    sums = np.cumsum(apart[:, 1:], axis=1)
    normal = apart[:, 1:] * np.arange(1, longest + 2) / np.maximum(sums, 1e-12)  # of lags from 1 on
    return np.array([_lag(row, shortest, longest) for row in normal])


def _lag(row: Samples, shortest: int, longest: int) -> float:
    """The pitch at the first dip of a normalised difference, to a part of a sample; 0 where there is none."""
    area = row[shortest - 1 : longest]
    low = np.flatnonzero(area < CLEAR)
    if not len(low):
        return 0.0
    place = int(low[0])
    while place + 1 < len(area) and area[place + 1] < area[place]:
        place += 1
    at = place + shortest - 1
    if not 0 < at < len(row) - 1:
        return RATE / (at + 1)
    before, here, after = row[at - 1 : at + 2]
    bend = before - 2 * here + after
    return float(RATE / (at + 1 + (0.5 * (before - after) / bend if bend > 0 else 0.0)))


def _audible(pitches: Samples, frames: NDArray[np.float64]) -> Samples:
    power = (frames[:, :WINDOW] ** 2).mean(axis=1)
    return np.where(power > LEAST * max(float(power.max()), 1e-12), pitches, 0.0)
