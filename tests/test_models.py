"""load: the bundled model by name, others by folder, torch or not, and words for what is not there."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_pearl import small_pearl

from nacre import InputError, OnnxCodec, load, models, read
from nacre.codecs.pearl import Pearl
from nacre.converters.to_onnx import export


def test_the_default_model_is_bundled_and_small() -> None:
    codec = load()
    assert isinstance(codec, OnnxCodec)
    assert codec.info.name == models.DEFAULT
    assert sum(path.stat().st_size for path in codec.folder.iterdir()) < 8_000_000
    assert set(models.CATALOGUE) == {"pearl-24k"}


def test_torch_and_onnx_say_the_same_of_real_speech() -> None:
    speech = read(models.SAMPLE, 24_000, 1).samples[:, :, :48_000]
    onnx, torch = load(), load(runtime="torch")
    assert isinstance(torch, Pearl)
    assert torch.info == onnx.info
    codes = onnx.encode(speech)
    assert torch.encode(speech) == codes
    assert np.abs(torch.decode(codes) - onnx.decode(codes)).max() < 1e-4


def test_a_folder_is_a_name_too(tmp_path: Path) -> None:
    export(small_pearl(), tmp_path)
    assert load(str(tmp_path)).info.name == "small-pearl"
    assert load(str(tmp_path), runtime="torch").info.name == "small-pearl"


def test_what_is_not_there_is_told() -> None:
    with pytest.raises(InputError, match="no model 'perl'; expected one of pearl-24k or a folder"):
        load("perl")
    with pytest.raises(InputError, match="expected runtime 'onnx' or 'torch', got 'tf'"):
        load(runtime="tf")  # type: ignore[arg-type]


def test_a_shelf_loads_each_codec_once() -> None:
    shelf = models.Shelf()
    info = load().info
    assert shelf(info) is shelf(info)
    assert models.Shelf("pearl-24k")(info).info == info


def test_a_file_does_not_say_which_folder_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(models.BUNDLED / "pearl-24k", tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    mine = replace(load().info, name="mine")
    with pytest.raises(InputError, match=r"made by 'mine', .* name the folder of its model \(--model\)"):
        models.Shelf()(mine)
    assert models.Shelf("mine")(mine).info == load().info


def test_the_sample_is_speech() -> None:
    sample = read(models.SAMPLE)
    assert 5 < sample.duration < 7
    assert 0.02 < float(np.sqrt(np.mean(sample.samples**2))) < 0.3
