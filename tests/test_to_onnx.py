"""Export: graphs that give torch's codes, share its weights, and stay small."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from safetensors import safe_open
from small_pearl import small_pearl
from streamed import streamed

from nacre import OnnxCodec
from nacre.codecs.pearl import Pearl
from nacre.converters.keys import coding_keys
from nacre.converters.to_onnx import digest, export


@pytest.fixture(scope="module")
def pearl() -> Pearl:
    return small_pearl()


@pytest.fixture(scope="module")
def folder(pearl: Pearl, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("exported") / "small"
    export(pearl, place)
    return place


def noise(length: int, batch: int = 1) -> np.ndarray:
    return np.random.default_rng(length).normal(0, 0.1, (batch, 1, length)).astype(np.float32)


@pytest.mark.parametrize("chunk", [1, 17, 320, 509, 44_100])
def test_onnx_says_what_torch_says_in_any_chunks(pearl: Pearl, folder: Path, chunk: int) -> None:
    wave = noise(6_000, batch=2)
    codes, sound = streamed(OnnxCodec(folder), wave, [chunk] * (wave.shape[2] // chunk))
    assert codes == pearl.encode(wave)
    assert sound.shape == wave.shape
    assert np.abs(sound - pearl.decode(codes)).max() < 1e-4


def test_absent_levels_add_nothing(pearl: Pearl, folder: Path) -> None:
    codes = pearl.encode(noise(3_000))
    for levels in (1, 2):
        gap = OnnxCodec(folder).decode(codes.head(levels)) - pearl.decode(codes.head(levels))
        assert np.abs(gap).max() < 1e-4


def test_weights_are_stored_once_and_bases_not_at_all(pearl: Pearl, folder: Path) -> None:
    weights = sum(pearl.state_dict()[key].numel() for key in coding_keys(pearl))
    assert 2 * weights < (folder / "model.safetensors").stat().st_size < 2 * weights + 10_000
    basis = pearl.encoder.stft.basis.numel() * 4
    assert basis > 1_000_000
    for name in ("encoder.onnx", "decoder.onnx"):
        graph = onnx.load(folder / name, load_external_data=False).graph
        assert (folder / name).stat().st_size < 100_000
        external = {t.name.removesuffix(".stored") for t in graph.initializer if t.external_data}
        assert external <= coding_keys(pearl)
        assert len(external) > 20


def test_the_file_says_who_it_is(pearl: Pearl, folder: Path) -> None:
    with safe_open(folder / "model.safetensors", "pt") as file:
        metadata, names = file.metadata(), set(file.keys())
    assert names == coding_keys(pearl)
    assert json.loads(metadata["nacre.info"])["digest"] == pearl.info.digest
    assert json.loads(metadata["nacre.config"])["codebook_size"] == 32


def test_digest_sees_names_and_values_but_not_their_order() -> None:
    one = {"a": torch.ones(2).half(), "b": torch.zeros(3).half()}
    assert digest(one) == digest(dict(reversed(list(one.items()))))
    assert digest(one) != digest({"a": torch.ones(2).half(), "c": torch.zeros(3).half()})
    assert digest(one) != digest({"a": torch.ones(2).half(), "b": torch.full((3,), 1e-7).half()})
    assert len(digest(one)) == 16


def test_exporting_again_changes_nothing(pearl: Pearl, folder: Path, tmp_path: Path) -> None:
    again = export(pearl, tmp_path)
    assert again == OnnxCodec(folder).info
    for name in ("encoder.onnx", "decoder.onnx"):
        assert (tmp_path / name).stat().st_size == (folder / name).stat().st_size
