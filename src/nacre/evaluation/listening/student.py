"""Intervals for means and shares, and chances of counts: what a listening test needs, without scipy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist, fmean, stdev

from ..intervals import Interval

_HALVINGS = 200


def mean_interval(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """Mean and Student's interval, mean ± t·s/√n, as BS.1534-3 has it; of a single value all is possible."""
    count, mean = len(values), fmean(values)
    if count < 2:
        return Interval(mean, -math.inf, math.inf, count)
    reach = t_quantile(0.5 + confidence / 2, count - 1) * stdev(values) / math.sqrt(count)
    return Interval(mean, mean - reach, mean + reach, count)


def share_interval(successes: float, count: int, confidence: float = 0.95) -> Interval:
    """A share and its interval: Wilson, "Probable inference, the law of succession", 1927."""
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share, grown = successes / count, 1 + z * z / count
    middle = (share + z * z / (2 * count)) / grown
    reach = z / grown * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return Interval(share, max(0.0, middle - reach), min(1.0, middle + reach), count)


def t_quantile(share: float, freedom: int) -> float:
    """The value that Student's t of `freedom` degrees stays below with the chance `share`, at least one half."""
    low, high = 0.0, 1.0
    while t_below(high, freedom) < share:
        high *= 2
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if t_below(middle, freedom) < share else (low, middle)
    return (low + high) / 2


def t_below(t: float, freedom: int) -> float:
    """The chance that Student's t stays below `t`: Abramowitz and Stegun, 26.7.3 and 26.7.4."""
    angle = math.atan2(t, math.sqrt(freedom))
    cosine, sine = math.cos(angle), math.sin(angle)
    term = total = cosine if freedom % 2 else 1.0
    for k in range(3 if freedom % 2 else 2, freedom - 1, 2):
        term *= (k - 1) / k * cosine * cosine
        total += term
    if freedom % 2 == 0:
        return 0.5 + sine * total / 2
    return 0.5 + (angle + (sine * total if freedom > 1 else 0.0)) / math.pi


def at_least(hits: int, count: int) -> float:
    """The chance of `hits` or more of `count` by tossing a coin."""
    return sum(math.comb(count, k) for k in range(hits, count + 1)) / (1 << count)


def coin(hits: int, count: int) -> float:
    """The chance of a split as uneven as `hits` of `count`, either way: the sign test."""
    return min(1.0, 2 * at_least(max(hits, count - hits), count)) if count else 1.0
