"""Our DAC goes back into the package's names, and Hugging Face's, and comes out of them the same."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from small_dac import KWARGS, save_folder, save_tiny

from nacre.converters.from_dac import load_dac
from nacre.converters.to_dac import package_kwargs, to_dac, to_hugging_face


@pytest.mark.parametrize("fused", [True, False])
def test_the_package_gets_its_own_weights_back(tmp_path: Path, fused: bool) -> None:
    path = save_tiny(tmp_path / "w.pth")
    given = torch.load(path, weights_only=True)["state_dict"]
    back = to_dac(load_dac(path, fused=fused))
    assert {key: value.shape for key, value in back.items()} == {key: value.shape for key, value in given.items()}
    for key, value in given.items():
        if not key.endswith(("weight_g", "weight_v")):  # of these only size times direction is kept when they are fused
            assert torch.equal(back[key], value), key
        if key.endswith("weight_g"):
            assert torch.allclose(back[key].abs(), value.abs(), atol=1e-5)
    torch.save({"state_dict": back, "metadata": {"kwargs": KWARGS}}, tmp_path / "back.pth")
    ours, again = load_dac(path), load_dac(tmp_path / "back.pth")
    for key, value in ours.state_dict().items():
        assert torch.allclose(again.state_dict()[key], value, atol=1e-6), key


def test_hugging_face_gets_its_own_weights_back(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    given = load_file(save_folder(tmp_path / "hf") / "model.safetensors")
    back = to_hugging_face(load_dac(tmp_path / "hf"))
    assert set(back) == set(given)
    assert all(torch.allclose(back[key], value, atol=1e-6) for key, value in given.items())


def test_the_sizes_are_said_as_the_package_says_them(tmp_path: Path) -> None:
    said = package_kwargs(load_dac(save_tiny(tmp_path / "w.pth")))
    assert {key: said[key] for key in KWARGS} == KWARGS
