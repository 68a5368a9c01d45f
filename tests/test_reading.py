"""Files of weights: what loads, what is refused, and in which words."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from nacre import DamagedError, MissingError
from nacre.converters.reading import check_names, fill, read_weights

WEIGHTS = {"weight": torch.ones(2, 3), "bias": torch.zeros(2)}


class Hostile:
    """Runs when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (sys.exit, ("it ran",))


def same(weights: dict[str, torch.Tensor]) -> bool:
    return weights.keys() == WEIGHTS.keys() and all(torch.equal(weights[key], WEIGHTS[key]) for key in WEIGHTS)


def test_files_folders_and_training_checkpoints_load(tmp_path: Path) -> None:
    torch.save(WEIGHTS, tmp_path / "plain.pth")
    torch.save({"state_dict": WEIGHTS, "epoch": 3}, tmp_path / "trained.ckpt")
    assert same(read_weights(tmp_path / "plain.pth", "X"))
    assert same(read_weights(str(tmp_path / "trained.ckpt"), "X"))
    torch.save({"other": torch.zeros(1)}, tmp_path / "pytorch_model.bin")
    assert read_weights(tmp_path, "X").keys() == {"other"}
    save_file(WEIGHTS, tmp_path / "model.safetensors")
    assert same(read_weights(tmp_path, "X"))  # it goes before the pickle


def test_files_that_hold_something_else_are_refused(tmp_path: Path) -> None:
    torch.save({"best": WEIGHTS}, tmp_path / "nested.th")
    (tmp_path / "hostile.th").write_bytes(pickle.dumps(Hostile(), protocol=2))
    for name in ("empty.th", "empty.safetensors"):
        (tmp_path / name).touch()
    (tmp_path / "noise.bin").write_bytes(b"\xff" * 100)
    for path in sorted(tmp_path.iterdir()):
        with pytest.raises(DamagedError, match=path.name):
            read_weights(path, "X")
    with pytest.raises(MissingError, match=r"no model\.safetensors or pytorch_model\.bin"):
        read_weights(tmp_path, "X")
    with pytest.raises(MissingError, match="a file of X's weights"):
        read_weights(tmp_path / "none.th", "X")


def test_names_and_shapes_must_fit() -> None:
    with pytest.raises(DamagedError, match="not the weights of an X: bias missing or too many"):
        check_names({"weight": torch.zeros(1)}, {"weight", "bias"}, "an X")
    layer = nn.Linear(3, 2)
    fill(layer, WEIGHTS, "an X")
    assert torch.equal(layer.weight, WEIGHTS["weight"])
    with pytest.raises(DamagedError, match=r"not the weights of an X: bias should have shape \[2\], got \[3\]"):
        fill(layer, {**WEIGHTS, "bias": torch.zeros(3)}, "an X")
