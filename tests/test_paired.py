from __future__ import annotations

from math import inf

import numpy as np
import pytest

from nacre.errors import InputError
from nacre.evaluation import paired
from nacre.evaluation.paired import compare, holm


def test_all_flips_of_few_pairs_are_counted() -> None:
    """Of 2³ flips of 1, 2, 3 only all plus and all minus sum to 6 or more."""
    found = compare([2.0, 4.0, 6.0], [1.0, 2.0, 3.0])
    assert found.p == pytest.approx(2 / 8)
    assert found.difference.mean == 2 and found.difference.count == 3
    assert compare([1.0, 2.0], [1.0, 2.0]).p == 1


def test_drawn_flips_agree_with_counted_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    one, other = rng.normal(0.5, 1, 12), rng.normal(0, 1, 12)
    exact = compare(one, other).p
    monkeypatch.setattr(paired, "EXACT", 0)
    assert compare(one, other).p == pytest.approx(exact, abs=0.02)
    assert compare(one, other) == compare(one, other)


def test_without_a_difference_small_chances_are_as_rare_as_they_say() -> None:
    rng = np.random.default_rng(0)
    chances = [compare(rng.normal(size=8), rng.normal(size=8)).p for _ in range(200)]
    assert 0.01 < np.mean(np.array(chances) <= 0.05) < 0.1


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_series_that_do_not_pair_are_refused() -> None:
    with pytest.raises(InputError, match=r"one length, got \[2\] and \[1\]"):
        compare([1.0, 2.0], [1.0])
    with pytest.raises(InputError, match="infinite figures"):
        compare([inf], [1.0])
