"""Figures of a histogram: exact on histograms whose answers are known."""

from __future__ import annotations

import pytest
import torch

from nacre.quantizers.usage import follow, perplexity, usage


@pytest.mark.parametrize(
    ("hits", "expected"),
    [([1, 1, 1, 1], 4), ([5, 5, 0, 0], 2), ([0, 7, 0], 1), ([0.5, 0.25, 0.25], 2**1.5), ([0, 0, 0], 0)],
)
def test_perplexity_is_the_number_of_equally_used_entries(hits: list[float], expected: float) -> None:
    assert perplexity(torch.tensor(hits, dtype=torch.float32)) == pytest.approx(expected, rel=1e-12)


def test_perplexity_does_not_depend_on_scale() -> None:
    hits = torch.rand(1000)
    assert perplexity(hits * 2**-40) == pytest.approx(perplexity(hits), rel=1e-12)


@pytest.mark.parametrize(
    ("hits", "expected"), [([1, 1, 1, 1], 1), ([5, 5, 0, 0], 0.5), ([0, 0], 0), ([1000, 1000, 1000, 1], 0.75)]
)
def test_usage_counts_entries_that_matter(hits: list[float], expected: float) -> None:
    assert usage(torch.tensor(hits, dtype=torch.float32)) == expected


def test_follow_is_a_moving_average_of_counts() -> None:
    hits = torch.tensor([4.0, 0.0, 2.0])
    follow(hits, torch.tensor([[0, 2], [2, 2]]), decay=0.5)
    assert hits.tolist() == [2.5, 0.0, 2.5]
