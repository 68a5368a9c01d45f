"""Two codecs on the same clips: how much they differ, and whether that could be chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import InputError
from .intervals import Interval, bootstrap

FLIPS = 10_000
EXACT = 13  # with so many clips or fewer all flips of signs are counted
_AT_ONCE = 1_000_000


@dataclass(frozen=True)
class Paired:
    """The mean difference of two series, with its interval and the chance of one as large were there none."""

    difference: Interval
    p: float
    p_holm: float = 1.0  # corrected for the number of comparisons made


def compare(first: Sequence[float], second: Sequence[float], seed: int = 0) -> Paired:
    """`first - second`, pair by pair: bootstrap interval, and a two-sided permutation test that flips signs.

    Fisher, "The design of experiments", 1935. No shape is assumed but that, without a difference, either sign is as
    likely. All flips are counted for few pairs; else 10 000 are drawn, the same every time.
    """
    one, other = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if one.shape != other.shape or one.ndim != 1 or not one.size:
        raise InputError(f"expected two series of one length, got {list(one.shape)} and {list(other.shape)}")
    gap = one - other
    if not np.isfinite(gap).all():
        raise InputError("infinite figures have no mean difference; compare another metric")
    return Paired(bootstrap(gap, seed=seed), _chance(gap, seed))


def holm(values: Sequence[float]) -> list[float]:
    """Chances corrected for their number: Holm, "A simple sequentially rejective multiple test procedure", 1979."""
    order = np.argsort(np.asarray(values), kind="stable")
    corrected, most = [0.0] * len(values), 0.0
    for rank, i in enumerate(order):
        most = max(most, min(1.0, values[i] * (len(values) - rank)))
        corrected[i] = most
    return corrected


def _chance(gap: np.ndarray[tuple[int], np.dtype[np.float64]], seed: int) -> float:
    count, found = len(gap), abs(float(gap.sum())) * (1 - 1e-12)
    if count <= EXACT:
        bits = np.arange(1 << count)[:, None] >> np.arange(count) & 1
        return float(np.mean(np.abs((1 - 2 * bits) @ gap) >= found))
    rng, step, hits, done = np.random.default_rng(seed), max(1, _AT_ONCE // count), 0, 0
    while done < FLIPS:
        signs = rng.integers(0, 2, (min(step, FLIPS - done), count)) * 2 - 1
        hits += int(np.sum(np.abs(signs @ gap) >= found))
        done += len(signs)
    return (hits + 1) / (FLIPS + 1)
