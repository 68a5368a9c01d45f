"""Matrices at 8 bits: half a step off at most, everything else as it was, and the same for torch and ONNX."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_pearl import small_pearl
from streamed import streamed

from nacre import OnnxCodec
from nacre.converters.eight_bits import SCALE, pack, unpack
from nacre.converters.from_safetensors import load_pearl
from nacre.converters.to_onnx import export


@settings(max_examples=40, deadline=None)
@given(st.floats(1e-2, 1e3), st.integers(0, 1000))
def test_a_weight_moves_by_half_a_step_of_its_row_at_most(loudness: float, seed: int) -> None:
    weight = torch.randn(8, 40, generator=torch.Generator().manual_seed(seed)) * loudness
    weight[3] *= 1e-3  # a quiet row keeps its own scale
    back = unpack(pack({"w": weight}))["w"]
    step = weight.abs().amax(1, keepdim=True) / 127
    assert ((back - weight).abs() <= 0.5 * step * (1 + 1 / 512) + 127 * 2.0**-25).all()


def test_what_is_packed_stays_as_it_is_when_packed_again() -> None:
    first = pack({"w": torch.randn(5, 3, 16)})
    assert first["w"].dtype == torch.int8 and first["w"].shape == (5, 3, 16) and first["w" + SCALE].shape == (5,)
    assert int(first["w"].abs().max()) == 127
    again = pack(unpack(first))
    assert all(torch.equal(again[name], first[name]) for name in first)


def test_rows_of_zeros_and_what_is_no_matrix() -> None:
    weights = {
        "w": torch.zeros(4, 64),
        "bias": torch.randn(64),
        "depthwise": torch.randn(64, 1, 7),
        "book.entries": torch.randn(64, 64),
        "odd.scale": torch.randn(3),
        "count": torch.tensor(3),
    }
    packed = pack(weights)
    assert set(packed) == {*weights, "w.scale"}
    back = unpack(packed)
    assert set(back) == set(weights)
    assert all(torch.equal(back[name], tensor) for name, tensor in weights.items())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("eight")
    export(small_pearl(), place / "small", bits=8)
    export(small_pearl(), place / "wide", bits=16)
    return place


def test_torch_and_onnx_read_the_same_eight_bits(folder: Path) -> None:
    codec, onnx = load_pearl(folder / "small"), OnnxCodec(folder / "small")
    assert codec.info == onnx.info and codec.info.digest != OnnxCodec(folder / "wide").info.digest
    wave = np.random.default_rng(0).normal(0, 0.1, (1, 1, 6000)).astype(np.float32)
    codes, sound = streamed(onnx, wave, [509] * 11)
    assert codes == codec.encode(wave)
    assert np.abs(sound - codec.decode(codes)).max() < 1e-4
    assert np.array_equal(sound, onnx.decode(onnx.encode(wave)))


def test_the_file_is_smaller_by_the_matrices(folder: Path) -> None:
    codec = small_pearl()
    matrices = sum(p.numel() for p in codec.parameters() if p.ndim >= 2 and p[0].numel() >= 32)
    wide, narrow = ((folder / name / "model.safetensors").stat().st_size for name in ("wide", "small"))
    assert wide - narrow > 0.6 * matrices  # scales and their names take the rest
