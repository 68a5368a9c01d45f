"""Student's t against tables and scipy, Wilson's interval, coins."""

from __future__ import annotations

import math

import pytest

from nacre.evaluation.listening.student import at_least, coin, mean_interval, share_interval, t_below, t_quantile


@pytest.mark.parametrize(("freedom", "value"), [(1, 12.7062), (2, 4.3027), (4, 2.7764), (5, 2.5706), (29, 2.0452)])
def test_quantiles_are_those_of_the_tables(freedom: int, value: float) -> None:
    assert t_quantile(0.975, freedom) == pytest.approx(value, abs=5e-5)


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 7, 10, 31, 100])
def test_the_distribution_is_scipys(freedom: int) -> None:
    stats = pytest.importorskip("scipy.stats")
    for t in (-3.0, -0.2, 0.0, 0.7, 2.5, 9.0):
        assert t_below(t, freedom) == pytest.approx(stats.t.cdf(t, freedom), abs=1e-12)


def test_an_interval_by_hand() -> None:
    found = mean_interval([80, 90, 85, 95])  # s = 6.4550, t(3) = 3.1824
    assert (found.mean, found.count) == (87.5, 4)
    assert found.high - found.mean == pytest.approx(3.18245 * 6.45497 / 2, abs=1e-3)
    assert found.mean - found.low == pytest.approx(found.high - found.mean)
    assert math.isinf(mean_interval([3.0]).high)


def test_wilson_by_hand_and_within_bounds() -> None:
    found = share_interval(8, 10)
    assert (found.low, found.high) == (pytest.approx(0.4902, abs=1e-4), pytest.approx(0.9433, abs=1e-4))
    assert share_interval(0, 5).low == 0
    assert share_interval(5, 5).high == 1


def test_coins() -> None:
    assert at_least(9, 10) == 11 / 1024
    assert coin(1, 10) == coin(9, 10) == 22 / 1024
    assert coin(5, 10) == 1
    assert coin(0, 0) == 1
