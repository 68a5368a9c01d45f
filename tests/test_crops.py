"""The order of crops: inside their clips, each once an epoch on whatever ranks and workers, the same after a resume."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from nacre.errors import InputError
from nacre.training import crops
from nacre.training.crops import CropPlan, Crops, CropSpec, Places

LENGTHS = np.array([900, 350, 100, 60, 1500])


class Named(Crops):
    """Crops that say what they are: clip and start."""

    def _cut(self, place: int, clips: Places, starts: Places) -> Tensor:
        return torch.from_numpy(np.stack([clips, starts], axis=1))


def named(**spec: int) -> Named:
    return Named(LENGTHS, CropSpec(**({"length": 100, "batch_size": 4} | spec)), 8000, 1)


def pairs(batches: list[Tensor]) -> list[tuple[int, int]]:
    return [tuple(pair) for batch in batches for pair in batch.tolist()]


@given(
    lengths=st.lists(st.integers(1, 5000), min_size=1, max_size=30),
    length=st.integers(1, 900),
    seed=st.integers(0, 9),
)
def test_an_epoch_uses_every_slot_once_and_no_crop_leaves_its_clip(lengths: list[int], length: int, seed: int) -> None:
    sizes = np.array(lengths)
    plan = CropPlan(sizes, length, seed)
    counts = np.maximum(1, np.rint(sizes / length))
    assert plan.slots == counts.sum()
    for epoch in range(2):
        clips, starts = plan.locate(epoch * plan.slots, plan.slots)
        assert np.array_equal(np.bincount(clips, minlength=len(sizes)), counts)
        assert (starts >= 0).all()
        assert (starts + np.minimum(length, sizes[clips]) <= sizes[clips]).all()


def test_crops_of_an_epoch_lie_all_over_their_clip() -> None:
    plan = CropPlan(np.array([10_000]), 100, 0)
    _, starts = plan.locate(0, 100)
    shares = np.sort(starts) * 100 // 9901
    assert len(np.unique(starts)) == 100
    assert np.abs(shares - np.arange(100)).max() <= 1  # one crop in each hundredth
    assert not np.array_equal(starts, np.sort(starts))


def test_every_first_sample_can_come() -> None:
    plan = CropPlan(np.array([104]), 100, 0)
    _, starts = plan.locate(0, 200)
    assert set(starts.tolist()) == {0, 1, 2, 3, 4}


@given(place=st.integers(0, 200), sizes=st.lists(st.integers(1, 70), min_size=1, max_size=5))
def test_any_cut_of_the_order_is_the_same_order(place: int, sizes: list[int]) -> None:
    whole = CropPlan(LENGTHS, 100, 3).locate(0, 600)
    plan = CropPlan(LENGTHS, 100, 3)
    for size in sizes:
        for got, wanted in zip(plan.locate(place, size), whole, strict=True):
            assert np.array_equal(got, wanted[place : place + size])
        place += size


def test_seeds_and_epochs_differ() -> None:
    plan, other = CropPlan(LENGTHS, 100, 0), CropPlan(LENGTHS, 100, 1)
    orders = [plan.locate(0, 30), plan.locate(plan.slots, 30), other.locate(0, 30)]
    for one, two in itertools.combinations(orders, 2):
        assert not np.array_equal(one[0], two[0])


@pytest.mark.parametrize("world", [1, 2, 4])
def test_ranks_share_an_epoch_without_repeats(world: int) -> None:
    slots = named().plan.slots
    assert slots == 30
    ranks = [named(batch_size=5, rank=rank, world=world) for rank in range(world)]
    drawn = pairs([r.batch(step) for step in range(0, 120, 5 * world) for r in ranks])
    assert drawn == pairs([named(batch_size=120).batch(0)])  # all ranks together: the one order


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_workers_take_turns(workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = [batch.tolist() for batch in itertools.islice(iter(named(rank=1, world=2)), 12)]
    streams = []
    for i in range(workers):
        info = SimpleNamespace(id=i, num_workers=workers)
        monkeypatch.setattr(crops, "get_worker_info", lambda info=info: info)
        streams.append(list(itertools.islice(iter(named(rank=1, world=2)), 12 // workers)))
    dealt = [batch.tolist() for turn in zip(*streams, strict=True) for batch in turn]  # as a DataLoader collects
    assert dealt == plain


def test_it_goes_on_with_the_very_next_crop() -> None:
    source = named(rank=1, world=2)
    batches = iter(source)
    seen = [next(batches) for _ in range(7)]
    state = source.state_dict()
    wanted = [next(batches).tolist() for _ in range(7)]
    again = named(rank=1, world=2)
    again.load_state_dict(state)
    assert [batch.tolist() for batch in itertools.islice(iter(again), 7)] == wanted
    assert len(seen) == 7
    assert state["samples"] == 7 * 8
    assert again.epoch == 14 * 8 / 30


def test_another_world_goes_on_where_the_first_stopped() -> None:
    one = named(batch_size=6)
    for _ in range(5):
        next(iter(one))
    two = [named(batch_size=2, rank=rank, world=2) for rank in range(2)]
    for rank in two:
        rank.load_state_dict(one.state_dict())
    assert pairs([rank.batch(rank.samples) for rank in two]) == pairs([one.batch(30)])[:4]


def test_other_data_or_seeds_are_no_resume() -> None:
    state = named().state_dict()
    for other in (named(seed=1), named(length=50)):
        with pytest.raises(InputError, match="cannot resume: the run had seed 0 and 30 crops an epoch"):
            other.load_state_dict(state)


def test_impossible_specs_are_refused() -> None:
    for wrong in ({"length": 0}, {"batch_size": 0}, {"rank": 2, "world": 2}, {"seed": -1}):
        with pytest.raises(InputError, match="expected positive sizes"):
            named(**wrong)
