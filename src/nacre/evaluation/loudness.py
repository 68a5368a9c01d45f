"""What happens to level and band: closed forms on float arrays `[T]`, numpy only."""

from __future__ import annotations

from math import log10

import numpy as np

from ..errors import InputError
from .pairs import Samples, Sound, check_pair

WINDOW = 1024  # samples of a spectrum
BAND = 250.0  # Hz over which powers are averaged
QUIET = 1e-7  # of the loudest band's power: quieter ones of the reference do not count
KEPT = 0.1  # of a band's power, at least, for it to count as kept


def level_error(reference: Sound, estimate: Sound, sample_rate: int) -> float:
    """How much louder or quieter the estimate is, in dB without sign; lower is better, from 0.

    The difference of the levels in RMS, means taken out; needs the estimate as it came, levels not matched. The plain
    definition of a level, as in ITU-T P.56 (2011) without its activity gate.
    """
    first, second = check_pair(reference, estimate, sample_rate)
    powers = [float(np.var(sound)) for sound in (first, second)]
    if min(powers) == 0:
        raise InputError("silence has no level in dB; leave this clip out")
    return abs(10 * log10(powers[1] / powers[0]))


def bandwidth(reference: Sound, estimate: Sound, sample_rate: int) -> float:
    """How far up the estimate still holds what the reference has, in kHz; higher is better, from 0 to half the rate.

    Powers are averaged over the whole sound in bands of 250 Hz. A band counts where the reference has at least -70 dB
    of its loudest band, and is kept where the estimate has at least a tenth of the reference's power there; the upper
    edge of the highest kept band is the result. In the spirit of the bandwidths of PEAQ, ITU-R BS.1387 (1998).
    """
    first, second = (_bands(sound, sample_rate) for sound in check_pair(reference, estimate, sample_rate))
    if not first.any():
        raise InputError("the reference is silent, so no band can be kept; leave this clip out")
    kept = np.flatnonzero((first >= QUIET * first.max()) & (second >= KEPT * first))
    return min((int(kept[-1]) + 1) * BAND, sample_rate / 2) / 1000 if len(kept) else 0.0


def _bands(sound: Samples, sample_rate: int) -> Samples:
    """Mean powers of bands, `[bands]`."""
    padded = np.pad(sound, (0, max(0, WINDOW - len(sound))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[:: WINDOW // 2]
    total = np.zeros(WINDOW // 2 + 1)
    for start in range(0, len(frames), 2048):
        total += (np.abs(np.fft.rfft(frames[start : start + 2048] * np.hanning(WINDOW))) ** 2).sum(axis=0)
    places = (np.fft.rfftfreq(WINDOW, 1 / sample_rate) / BAND).astype(int)
    return np.bincount(places, total) / np.maximum(1, np.bincount(places))
