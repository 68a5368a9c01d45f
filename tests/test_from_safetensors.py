"""A folder of weights becomes the torch codec it came from, or says why not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from small_pearl import small_pearl

from nacre import DamagedError, MissingError
from nacre.converters.from_safetensors import load_pearl
from nacre.converters.to_onnx import export

WAVE = np.random.default_rng(0).normal(0, 0.1, (1, 1, 5_000)).astype(np.float32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    export(small_pearl(), tmp_path)
    return tmp_path


def test_there_and_back_is_the_same_codec(folder: Path) -> None:
    made = small_pearl()
    export(made, folder)  # rounds the weights of `made` to what the file holds
    read = load_pearl(folder)
    assert read.info == made.info and read.config == made.config
    assert not read.training
    codes = made.encode(WAVE)
    assert read.encode(WAVE) == codes
    assert np.array_equal(read.decode(codes), made.decode(codes))


def test_a_folder_without_weights_is_missing(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"no model\.safetensors"):
        load_pearl(tmp_path)


@pytest.mark.parametrize("change", ["drop", "add", "anonymous", "garbage", "shape"])
def test_weights_of_something_else_are_refused(folder: Path, change: str) -> None:
    path = folder / "model.safetensors"
    weights = load_file(path)
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    if change == "drop":
        weights.pop("encoder.enter.weight")
    elif change == "add":
        weights["extra"] = torch.zeros(1)
    elif change == "shape":
        weights["encoder.enter.bias"] = torch.zeros(5)
    elif change == "anonymous":
        metadata = {}
    save_file(weights, path, metadata)
    if change == "garbage":
        path.write_bytes(b"\xff" * 100)
    with pytest.raises(DamagedError, match=str(path)):
        load_pearl(folder)
