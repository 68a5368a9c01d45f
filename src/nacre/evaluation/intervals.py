"""A mean, and how far it can be trusted: bootstrap intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

RESAMPLES = 10_000
_AT_ONCE = 1_000_000  # drawn values held in memory


@dataclass(frozen=True)
class Interval:
    """A mean and the interval that holds the true one with the confidence asked for."""

    mean: float
    low: float
    high: float
    count: int  # values behind the mean


def bootstrap(
    values: Sequence[float] | NDArray[np.floating], confidence: float = 0.95, resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """Percentile interval of the mean of `values` (Efron 1979): the means of `resamples` draws with replacement.

    The same values in the same order give the same interval. It is somewhat narrow for fewer than 20 values.
    """
    sample = np.asarray(values, np.float64)
    if sample.ndim != 1 or not sample.size or np.isnan(sample).any():
        raise InputError(f"expected at least one value and no NaN, got {sample.size} of shape {list(sample.shape)}")
    if not 0 < confidence < 1:
        raise InputError(f"expected a confidence between 0 and 1, got {confidence}")
    mean = float(sample.mean())
    if not np.isfinite(mean):  # an SI-SDR of silence: no interval is better than none
        return Interval(mean, mean, mean, sample.size)
    low, high = np.quantile(_means(sample, resamples, seed), (0.5 - confidence / 2, 0.5 + confidence / 2))
    return Interval(mean, float(low), float(high), sample.size)


def _means(sample: NDArray[np.float64], resamples: int, seed: int) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    step = max(1, _AT_ONCE // sample.size)
    counts = [min(step, resamples - done) for done in range(0, resamples, step)]
    return np.concatenate([sample[rng.integers(sample.size, size=(n, sample.size))].mean(axis=1) for n in counts])
