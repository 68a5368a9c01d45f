"""A reference and an estimate of it: checked, and laid over each other before they are compared.

Sounds here are float arrays `[T]`, one channel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError

Sound = NDArray[np.floating[Any]]
Samples = NDArray[np.float64]
MAX_DELAY = 0.25  # seconds, either way; codecs of speech lag by 0.005 to 0.16
CLEAR = 0.3  # a correlation of waves below this says nothing: a vocoder keeps envelopes, not waves
_BLOCK = 1 << 17  # samples correlated at once, so that memory does not grow with length
_SMOOTH = 0.01  # seconds over which envelopes are averaged


@dataclass(frozen=True)
class Aligned:
    """The stretch two sounds share, the estimate as loud as the reference."""

    reference: Samples  # [T]
    estimate: Samples  # [T]
    delay: int  # samples by which the estimate came late; negative when it came early
    gain: float  # what the estimate was multiplied with


def align(reference: Sound, estimate: Sound, sample_rate: int, max_delay: float = MAX_DELAY) -> Aligned:
    """Take the estimate's delay (whole samples, at most `max_delay` seconds) and its level out.

    The delay is where the cross-correlation of the waves peaks, or that of their envelopes where the waves have too
    little in common. Both sounds are cut to what they share; their lengths may differ. Levels match in RMS.
    """
    first, second = as_sound(reference, "reference"), as_sound(estimate, "estimate")
    delay = find_delay(first, second, round(max_delay * sample_rate), sample_rate)
    first, second = first[max(0, -delay) :], second[max(0, delay) :]
    length = min(len(first), len(second))
    if 2 * length < len(reference):
        raise InputError(
            f"the estimate covers {length} of the reference's {len(reference)} samples; "
            "expected at least half, so check that the two belong together"
        )
    first, second = first[:length], second[:length]
    power = float(second @ second)
    gain = float(np.sqrt(first @ first / power)) if power > 0 and first.any() else 1.0
    return Aligned(first, second * gain, delay, gain)


def find_delay(reference: Samples, estimate: Samples, most: int, sample_rate: int) -> int:
    """Samples by which `estimate` lags `reference`, from -`most` to `most`; 0 where nothing tells."""
    delay, likeness = _peak(reference, estimate, most)
    if likeness < CLEAR:
        width = max(1, round(_SMOOTH * sample_rate))
        delay, likeness = _peak(_envelope(reference, width), _envelope(estimate, width), most)
    return delay if likeness > 0 else 0


def check_pair(reference: Sound, estimate: Sound, sample_rate: int, least: int = 1) -> tuple[Samples, Samples]:
    """Both sounds in float64, or an error: they must be as long as each other and sampled at `least` Hz or more."""
    first, second = as_sound(reference, "reference"), as_sound(estimate, "estimate")
    if sample_rate < least:
        raise InputError(
            f"expected sound at {least} Hz or more, got {sample_rate} Hz; measure at the rate of the original"
        )
    if len(first) != len(second):
        raise InputError(
            f"the reference has {len(first)} samples and the estimate {len(second)}; "
            f"bring both to {sample_rate} Hz, then lay one over the other with align()"
        )
    return first, second


def as_sound(samples: ArrayLike, name: str) -> Samples:
    """Finite floats `[T]` as float64, or an error that says what came."""
    sound = np.asarray(samples)
    if sound.ndim != 1 or not sound.size or not np.issubdtype(sound.dtype, np.floating):
        raise InputError(f"expected the {name} as float samples [T], got {sound.dtype} of shape {list(sound.shape)}")
    if not np.isfinite(sound).all():
        raise InputError(f"the {name} holds NaN or infinite samples, which no metric can compare")
    return sound.astype(np.float64)


def _peak(reference: Samples, estimate: Samples, most: int) -> tuple[int, float]:
    """The lag of the highest correlation, and how high it is: 1 for equal shapes, 0 for silence."""
    norm = float(np.sqrt((reference @ reference) * (estimate @ estimate)))
    if norm == 0:
        return 0, 0.0
    correlation = _correlate(reference, estimate, most) / norm
    order = np.argsort(np.abs(np.arange(-most, most + 1)), kind="stable")  # of equal peaks the nearest
    best = int(order[np.argmax(correlation[order])])
    return best - most, float(correlation[best])


def _correlate(reference: Samples, estimate: Samples, most: int) -> Samples:
    """Sums over n of reference[n] * estimate[n + lag], for lags from -`most` to `most`, `[2 * most + 1]`."""
    padded = np.pad(estimate, (most, most + max(0, len(reference) - len(estimate))))
    block = min(_BLOCK, len(reference))
    size = 1 << (block + 2 * most - 1).bit_length()
    total = np.zeros(2 * most + 1)
    for start in range(0, len(reference), block):
        piece = reference[start : start + block]
        beside = padded[start : start + len(piece) + 2 * most]
        product = np.fft.rfft(beside, size) * np.conj(np.fft.rfft(piece, size))
        total += np.fft.irfft(product, size)[: 2 * most + 1]
    return total


def _envelope(sound: Samples, width: int) -> Samples:
    """Magnitudes averaged over `width` samples, as far from their mean."""
    sums = np.cumsum(np.pad(np.abs(sound), (width // 2 + 1, width - width // 2 - 1)))
    smooth: Samples = (sums[width:] - sums[:-width]) / width if len(sound) > width else np.abs(sound)
    centred: Samples = smooth - smooth.mean()
    return centred
