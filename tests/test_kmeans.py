"""k-means finds the centres, ties go to the lowest index, and cutting the work up changes nothing."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from nacre.quantizers import kmeans as module
from nacre.quantizers.kmeans import kmeans, nearest, prepare


@pytest.mark.parametrize("normalised", [False, True])
def test_lands_on_the_centres(normalised: bool) -> None:
    torch.manual_seed(0)
    truth = F.normalize(torch.randn(32, 16), dim=1) * 10
    x = truth.repeat_interleave(20, 0) + 0.01 * torch.randn(640, 16)
    found = kmeans(x, 32, iterations=5, normalised=normalised)
    means = x.view(32, 20, 16).mean(1)
    order = torch.cdist(means, found).argmin(1)
    assert sorted(order.tolist()) == list(range(32))
    torch.testing.assert_close(found[order], means, atol=1e-5, rtol=0)


def test_seeds_in_groups_still_cover_a_large_codebook() -> None:
    torch.manual_seed(0)
    truth = 100 * torch.randn(256, 8)
    found = kmeans(truth.repeat(4, 1), 256, iterations=10)
    covered = torch.cdist(truth, found).amin(1) < 1e-3
    assert covered.float().mean() > 0.75  # four seeds a round may meet in one cluster


def test_fewer_vectors_than_centres_and_all_alike() -> None:
    torch.manual_seed(0)
    x = torch.ones(3, 4)
    assert torch.equal(kmeans(x, 8, iterations=3), torch.ones(8, 4))


def test_the_nearest_by_definition() -> None:
    torch.manual_seed(0)
    x, entries = torch.randn(500, 6), torch.randn(40, 6)
    distances = (x.double()[:, None] - entries.double()).square().sum(2)
    assert torch.equal(nearest(x, prepare(entries)), distances.argmin(1))
    cosine = F.normalize(x.double(), dim=1) @ F.normalize(entries.double(), dim=1).T
    assert torch.equal(nearest(x, prepare(entries, normalised=True)), cosine.argmax(1))


@pytest.mark.parametrize("rows", [1, 7, 1000])
def test_of_equals_the_lowest(rows: int) -> None:
    entries = torch.tensor([[3.0, 4.0], [1.0, 2.0], [1.0, 2.0], [3.0, 4.0], [1.0, 2.0]]).repeat(20, 1)
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0], [2.0, 3.0]]).repeat(rows, 1)  # the last lies midway
    assert nearest(x, prepare(entries)).tolist() == [1, 0, 0] * rows


def test_pieces_equal_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    x, entries = torch.randn(1001, 8), torch.randn(64, 8)
    whole = nearest(x, prepare(entries))
    assert torch.equal(torch.cat([nearest(row[None], prepare(entries)) for row in x]), whole)
    monkeypatch.setattr(module, "SCORES", 64 * 10)
    assert torch.equal(nearest(x, prepare(entries)), whole)
    assert nearest(x[:0], prepare(entries)).shape == (0,)
