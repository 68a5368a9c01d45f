"""A folder of ours gives back the codec that was written, whatever its architecture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from small_dac import save_tiny
from small_encodec import small_encodec

from nacre import InputError
from nacre.codecs.base import Codec
from nacre.converters.from_dac import load_dac
from nacre.converters.from_safetensors import load_folder
from nacre.converters.to_folder import save_folder

WAVE = np.random.default_rng(0).normal(0, 0.1, (1, 1, 3_000)).astype(np.float32)


@pytest.mark.parametrize("architecture", ["dac", "dac-unfused", "encodec"])
def test_there_and_back_is_the_same_codec(tmp_path: Path, architecture: str) -> None:
    made: Codec = small_encodec()
    if architecture != "encodec":
        made = load_dac(save_tiny(tmp_path / "w.pth"), fused=architecture == "dac")
    before = set(made.state_dict())
    assert save_folder(made, tmp_path / "out") == made.info
    assert set(made.state_dict()) == before  # what was written is left as it was
    again = load_folder(tmp_path / "out")
    assert type(again) is type(made) and not again.training
    assert (again.info, again.config) == (made.info, made.config)
    codes = made.encode(WAVE)
    assert again.encode(WAVE) == codes
    assert np.abs(again.decode(codes) - made.decode(codes)).max() < 1e-6


def test_the_header_says_what_the_weights_are(tmp_path: Path) -> None:
    save_folder(load_dac(save_tiny(tmp_path / "w.pth")), tmp_path)
    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        assert set(file.metadata()) == {"nacre.info", "nacre.config", "nacre.architecture"}
        assert file.metadata()["nacre.architecture"] == "dac"


def test_nothing_is_overwritten_unasked(tmp_path: Path) -> None:
    codec = small_encodec()
    save_folder(codec, tmp_path)
    with pytest.raises(InputError, match=r"model.safetensors exists"):
        save_folder(codec, tmp_path)
    save_folder(codec, tmp_path, overwrite=True)
    assert {path.name for path in tmp_path.iterdir()} == {"model.safetensors"}
