"""Two and four processes with other data each: the same codebooks, the figures of both, and nobody waits for ever."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from nacre.quantizers.codebook import Codebook, CodebookConfig
from nacre.quantizers.ddp import gathered_sample, reduce_sum, share_first
from nacre.quantizers.fsq import FSQ
from nacre.quantizers.rvq import ResidualVQ, ResidualVQConfig


def world() -> int:
    return dist.get_world_size()


def batch(rank: int, step: int, frames: int) -> Tensor:
    """Other numbers, another spread and another number of frames on each process."""
    generator = torch.Generator().manual_seed(1000 * rank + step)
    return torch.randn(2, 4, frames + 5 * rank, generator=generator) * (1 + 3 * rank)


def same_everywhere(module: torch.nn.Module) -> None:
    for name, value in module.state_dict().items():
        parts = [torch.empty_like(value) for _ in range(world())]
        dist.all_gather(parts, value.clone())
        assert all(torch.equal(parts[0], part) for part in parts[1:]), name


def samples(rank: int) -> None:
    x = torch.full((3 + 4 * rank, 2), float(rank))
    for most in (1, 4, 9):
        sample = gathered_sample(x, most, exact=True)
        assert sample[:, 0].tolist() == [float(i % world()) for i in range(most)]
    assert reduce_sum(torch.tensor([1.0 + rank])).item() == sum(range(1, world() + 1))
    assert share_first(torch.tensor([7.0 + rank])).item() == 7


def codebooks_agree(rank: int) -> None:
    torch.manual_seed(rank)  # even the entries differ until k-means starts them
    book = Codebook(16, 4, CodebookConfig(decay=0.7))
    for step in range(15):
        book(batch(rank, step, 30).transpose(1, 2))
    same_everywhere(book)
    vectors = sum(2 * (30 + 5 * each) for each in range(world()))
    assert book.hits.sum().item() == pytest.approx(vectors * (1 - 0.7**15), rel=1e-4)


def dead_entries_agree(rank: int) -> None:
    """Half of the entries are dead, and each process alone would put its own vectors there."""
    torch.manual_seed(0)
    book = Codebook(16, 4, CodebookConfig(decay=0.7, kmeans=0))
    book.entries[8:] = 100.0
    for step in range(15):
        book(batch(rank, step, 60).transpose(1, 2))
    same_everywhere(book)
    assert book.usage() > 0.9
    assert book.entries.max() < 50


def all_are_one(rank: int) -> None:
    """One step of all processes moves the entries as one process with all batches would."""
    torch.manual_seed(0)
    book = Codebook(8, 4, CodebookConfig(kmeans=0, revive_below=0))
    entries = book.entries.clone()
    every = torch.cat([batch(r, 0, 30).transpose(1, 2).reshape(-1, 4) for r in range(world())])
    hits = torch.nn.functional.one_hot(book.search(every), 8).float()
    book(batch(rank, 0, 30).transpose(1, 2))
    start = len(every) / 8
    torch.testing.assert_close(book.counts, 0.99 * start + 0.01 * hits.sum(0))
    torch.testing.assert_close(book.sums, 0.99 * start * entries + 0.01 * hits.T @ every)


def training_agrees(rank: int) -> None:
    """Gradient codebooks under DDP with level dropout that at times leaves levels unheard."""
    torch.manual_seed(0)
    config = ResidualVQConfig(
        4, (16, 16), code_dim=3, dropout=(1, 2), codebook=CodebookConfig(ema=False, normalised=True, decay=0.7)
    )
    model = DistributedDataParallel(ResidualVQ(config))
    torch.manual_seed(rank)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    for step in range(12):
        z = batch(rank, step, 20)
        output = model(z)
        optimizer.zero_grad()
        ((output.z - z).square().mean() + output.commitment + output.codebook).backward()
        optimizer.step()
    same_everywhere(model.module)


def figures_agree(rank: int) -> None:
    quantizer = FSQ(1, (2,))
    quantizer(torch.full((1, 1, 10), -9.0 if rank % 2 == 0 else 9.0))
    assert quantizer.usage() == (1.0,)
    assert quantizer.perplexity()[0] == pytest.approx(2.0)


CHECKS: tuple[Callable[[int], None], ...] = (
    samples,
    codebooks_agree,
    dead_entries_agree,
    all_are_one,
    training_agrees,
    figures_agree,
)


def work(rank: int, meeting: str, processes: int) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"file://{meeting}", timeout=timedelta(seconds=30), rank=rank, world_size=processes)
    for check in CHECKS:
        check(rank)
    dist.destroy_process_group()


@pytest.mark.skipif(not dist.is_available() or not dist.is_gloo_available(), reason="needs torch with gloo")
@pytest.mark.parametrize("processes", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_processes_hold_the_same_codebooks(processes: int, tmp_path: Path) -> None:
    mp.spawn(work, (str(tmp_path / "meeting"), processes), nprocs=processes)


def test_one_process_alone_samples_its_own() -> None:
    x = torch.arange(6.0).view(3, 2)
    assert torch.equal(gathered_sample(x, 5), x)
    assert len(gathered_sample(x, 2)) == 2
    more = gathered_sample(x, 7, exact=True)
    assert len(more) == 7
    assert (more[:, None] == x).all(2).any(1).all()
    assert torch.equal(share_first(reduce_sum(x)), x)
