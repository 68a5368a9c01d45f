from __future__ import annotations

from math import inf

import numpy as np
import pytest

from nacre.errors import InputError
from nacre.evaluation import intervals
from nacre.evaluation.intervals import bootstrap


def test_on_a_normal_sample_it_is_the_textbook_interval() -> None:
    sample = np.random.default_rng(3).normal(10, 2, 400)
    found = bootstrap(sample)
    half = 1.96 * sample.std() / np.sqrt(400)
    assert found.mean == sample.mean()
    expected = sample.mean() - half, sample.mean() + half
    assert (found.low, found.high) == pytest.approx(expected, abs=0.05 * half)
    assert found.count == 400


def test_every_mean_of_two_values_can_be_counted() -> None:
    """Draws from 0 and 1 have means 0, 0.5 and 1 with chances 1/4, 1/2 and 1/4."""
    wide, narrow = bootstrap([0.0, 1.0]), bootstrap([0.0, 1.0], confidence=0.4)
    assert (wide.low, wide.mean, wide.high) == (0.0, 0.5, 1.0)
    assert (narrow.low, narrow.high) == (0.5, 0.5)


def test_it_holds_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    found = [bootstrap(rng.exponential(1, 60), resamples=500, seed=i) for i in range(300)]
    assert 0.88 < np.mean([each.low <= 1 <= each.high for each in found]) < 0.98


def test_it_is_the_same_every_time_and_not_with_another_seed() -> None:
    sample = [0.1, 0.5, 0.2, 0.9, 0.4]
    assert bootstrap(sample) == bootstrap(np.array(sample))
    assert bootstrap(sample, resamples=50) != bootstrap(sample, resamples=50, seed=1)


def test_memory_is_bounded_by_drawing_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = bootstrap([1.0, 2.0, 4.0], resamples=1000)
    monkeypatch.setattr(intervals, "_AT_ONCE", 100)
    assert bootstrap([1.0, 2.0, 4.0], resamples=1000) == whole


def test_one_value_and_infinite_ones() -> None:
    one = bootstrap([3.0])
    assert (one.mean, one.low, one.high, one.count) == (3.0, 3.0, 3.0, 1)
    assert bootstrap([1.0, -inf]).mean == -inf


@pytest.mark.parametrize("values", [[], [[1.0, 2.0]], [1.0, np.nan]])
def test_what_has_no_mean_is_refused(values: list[float]) -> None:
    with pytest.raises(InputError, match="at least one value and no NaN"):
        bootstrap(values)


def test_an_odd_confidence_is_refused() -> None:
    with pytest.raises(InputError, match="between 0 and 1, got 95"):
        bootstrap([1.0], confidence=95)
