"""A checkpoint is whole or not there, holds what was put in to the last bit, and the best one stays."""

from __future__ import annotations

import math
import random
import resource
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from nacre.errors import DamagedError, InputError, MissingError
from nacre.training import checkpoint as store
from nacre.training.checkpoint import Checkpoint, Checkpoints


def write(checkpoints: Checkpoints, step: int, score: float | None = None) -> Checkpoint:
    folder = checkpoints.begin(step)
    store.write_tensors(folder, "model", {"x": torch.full((2,), float(step))})
    store.write_state(folder, {"step": step, "score": score})
    store.write_own(folder, 0, {"process": 0})
    return checkpoints.publish(step)


def test_what_goes_in_comes_out(tmp_path: Path) -> None:
    found = write(Checkpoints(tmp_path), 12, 0.5)
    assert found == Checkpoints(tmp_path).last()
    assert found.folder == tmp_path / "checkpoints" / "step-00000012"
    assert found.tensors("model")["x"].tolist() == [12, 12]
    assert (found.step, found.score, found.state["step"]) == (12, 0.5, 12)
    assert found.own(0) == {"process": 0}
    assert found.own(1) is None
    assert found.has("model") and not found.has("discriminators")


def test_the_last_few_stay_and_the_best(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep_last=2)
    for step, score in enumerate([5.0, 2.0, 4.0, 3.0, 3.5]):
        write(checkpoints, step, score)
    assert [each.step for each in checkpoints.all()] == [1, 3, 4]
    assert (checkpoints.best().step, checkpoints.last().step) == (1, 4)
    only_last = Checkpoints(tmp_path, keep_last=1, keep_best=False)
    write(only_last, 5)
    assert [each.step for each in only_last.all()] == [5]
    assert only_last.best().score == math.inf


def test_steps_are_numbers_not_words(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep_last=3)
    for step in (9, 10, 123456789):
        write(checkpoints, step)
    assert [each.step for each in checkpoints.all()] == [9, 10, 123456789]


def test_half_a_checkpoint_is_none(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    write(checkpoints, 4)
    store.write_tensors(checkpoints.begin(8), "model", {"x": torch.zeros(1)})  # and here the process is killed
    assert checkpoints.last().step == 4
    left = checkpoints.unfinished(8)
    assert left.is_dir()
    write(checkpoints, 12)
    assert not left.exists()
    assert write(checkpoints, 12).tensors("model")["x"][0] == 12  # the same step again replaces it


def test_no_checkpoint_says_so(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="no checkpoint in"):
        Checkpoints(tmp_path).last()
    with pytest.raises(MissingError, match="no checkpoint in"):
        Checkpoints(tmp_path).best()


@pytest.mark.parametrize("name", ["model.safetensors", "state.json"])
def test_a_damaged_file_is_named(tmp_path: Path, name: str) -> None:
    found = write(Checkpoints(tmp_path), 1)
    (found.folder / name).write_bytes(b"\xff" * 20)
    with pytest.raises(DamagedError, match=name):
        found.tensors("model") if name.endswith("tensors") else found.state
    (found.folder / name).unlink()
    with pytest.raises(DamagedError, match=name):
        found.tensors("model") if name.endswith("tensors") else found.state


def test_tensors_that_share_memory_are_stored(tmp_path: Path) -> None:
    x = torch.arange(6.0).view(2, 3)
    store.write_tensors(tmp_path, "shared", {"a": x, "b": x[1:], "c": x.T, "d": nn.Parameter(x)})
    back = Checkpoint(tmp_path, 0).tensors("shared")
    assert torch.equal(back["c"], x.T) and torch.equal(back["b"], x[1:]) and torch.equal(back["d"], x)


def optimised(seed: int) -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    return model, torch.optim.AdamW(model.parameters(), 0.01, (0.8, 0.99))


def steps(model: nn.Module, optimizer: torch.optim.Optimizer, count: int) -> None:
    for i in range(count):
        optimizer.zero_grad()
        model(torch.full((2, 3), 0.1 * i)).square().sum().backward()
        optimizer.step()


def test_an_optimizer_goes_on_where_it_was(tmp_path: Path) -> None:
    model, optimizer = optimised(0)
    steps(model, optimizer, 5)
    store.write_tensors(tmp_path, "optimizer", store.optimizer_tensors(optimizer))
    other, resumed = optimised(1)
    other.load_state_dict(model.state_dict())
    store.restore_optimizer(resumed, Checkpoint(tmp_path, 0).tensors("optimizer"))
    assert resumed.param_groups[0]["lr"] == 0.01
    steps(model, optimizer, 5)
    steps(other, resumed, 5)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))


def test_an_optimizer_that_never_stepped_is_stored_too(tmp_path: Path) -> None:
    _, optimizer = optimised(0)
    store.write_tensors(tmp_path, "optimizer", store.optimizer_tensors(optimizer))
    store.restore_optimizer(optimizer, Checkpoint(tmp_path, 0).tensors("optimizer"))
    assert optimizer.state_dict()["state"] == {}


def draws() -> list[float]:
    return [random.gauss(0, 1), float(np.random.normal()), float(torch.randn(())), random.random()]


def test_random_generators_go_on_where_they_were(tmp_path: Path) -> None:
    draws()  # gauss keeps its second number for the next call: that is state too
    store.write_own(tmp_path, 3, {"random": store.random_state()})
    expected = [draws() for _ in range(5)]
    own = Checkpoint(tmp_path, 0).own(3)
    assert own is not None
    store.restore_random(own["random"])
    assert [draws() for _ in range(5)] == expected


def test_a_full_disk_is_a_sentence(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))  # no file may grow beyond
    try:
        with pytest.raises(InputError, match=r"model\.safetensors cannot be written: .*is there room"):
            store.write_tensors(tmp_path, "model", {"x": torch.zeros(5000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
