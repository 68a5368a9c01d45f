"""Batches are those of the corpus whoever fetches them; the clock tells waiting from working."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from types import SimpleNamespace

import corpora
import numpy as np
import pytest
import torch
from torch import Tensor

from nacre.errors import DamagedError
from nacre.training import batches as batches_module
from nacre.training.augment import Augment, Augmenter
from nacre.training.batches import Batches
from nacre.training.crops import Crops, CropSpec, Places
from nacre.training.data import Corpus, open_corpus

SPEC = CropSpec(length=100, batch_size=4, rank=1, world=2)


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    return open_corpus(corpora.write_ramps(tmp_path / "data"), corpora.RATE)


class Failing(Crops):
    """Crops of which only the first are `good`."""

    def __init__(self, good: int) -> None:
        super().__init__(np.array([1000]), CropSpec(10, 2), 8000, 1)
        self.good = good

    def _cut(self, place: int, clips: Places, starts: Places) -> Tensor:
        if place >= self.good:
            raise DamagedError("nothing left")
        return torch.full((2, 1, 10), float(place))


def check_order(crops: Crops, workers: int = 0) -> None:
    """The batches of `crops`, before and after a resume in the middle of an epoch."""
    plain = [crops.batch(n * 8) for n in range(9)]
    with Batches(crops, workers=workers) as batches:
        for n in range(5):
            assert torch.equal(next(batches), plain[n])
        state = batches.state_dict()
        assert state["samples"] == 40  # not what was fetched ahead
        assert torch.equal(next(batches), plain[5])
        batches.load_state_dict(state | {"samples": 16})
        assert torch.equal(next(batches), plain[2])
        batches.load_state_dict(state)
        for n in range(5, 9):
            assert torch.equal(next(batches), plain[n])


def test_from_memory(corpus: Corpus) -> None:
    check_order(corpus.memory(SPEC))


def test_from_disk_by_a_thread(corpus: Corpus) -> None:
    before = threading.active_count()
    check_order(corpus.streaming(SPEC))
    deadline = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() <= before  # another test's may have ended meanwhile


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:This DataLoader will create 2 worker processes")  # of a machine with one core
def test_from_disk_by_processes(corpus: Corpus) -> None:
    check_order(corpus.streaming(SPEC), workers=2)


def test_an_augmenter_sees_every_batch_at_its_place(corpus: Corpus) -> None:
    augmenter = Augmenter(Augment(gain=1.0, polarity=0.5), corpora.RATE, 100, rank=1)
    crops = corpus.memory(SPEC)
    with Batches(crops, augmenter) as batches:
        seen = [next(batches) for _ in range(3)]
    for n, wave in enumerate(seen):
        assert torch.equal(wave, augmenter(crops.batch(n * 8), n * 8))
    assert not torch.equal(seen[0], crops.batch(0))


def test_an_error_comes_where_the_batch_is_asked_for() -> None:
    with Batches(Failing(good=4)) as batches:
        assert [float(next(batches)[0, 0, 0]) for _ in range(2)] == [0, 2]
        with pytest.raises(DamagedError, match="nothing left"):
            next(batches)


def test_waiting_is_told_from_working(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    crops, clock = corpus.memory(SPEC), [100.0]
    cut = crops.batch

    def slow(samples: int) -> Tensor:
        clock[0] += 0.03
        return cut(samples)

    monkeypatch.setattr(crops, "batch", slow)
    monkeypatch.setattr(batches_module, "time", SimpleNamespace(perf_counter=lambda: clock[0]))
    with Batches(crops) as batches:
        for working, share in ((0.0, 1.0), (0.01, 0.75), (0.27, 0.1)):
            batches.reset_clock()
            for _ in range(8):
                next(batches)
                clock[0] += working
            assert batches.wait_share == pytest.approx(share)
            assert batches.crops_per_second == pytest.approx(4 / (0.03 + working))
