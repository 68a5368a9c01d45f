"""A codec goes to its own project's file, to Hugging Face's folder, to ours and to graphs, and says when it cannot."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from small_dac import save_tiny
from small_encodec import CONFIG, official_weights, small_encodec
from small_pearl import small_pearl
from small_snac import small_snac

from nacre import InputError, load
from nacre.codecs.dac import DAC
from nacre.converters import to_files
from nacre.converters.from_dac import load_dac
from nacre.converters.from_encodec import from_encodec
from nacre.converters.to_files import hugging_face, kinds, save_as

WAVE = np.random.default_rng(0).normal(0, 0.1, (1, 1, 3_000)).astype(np.float32)


@pytest.fixture
def dac(tmp_path: Path) -> DAC:
    return load_dac(save_tiny(tmp_path / "made.pth"))


@pytest.mark.parametrize(("kind", "name"), [("dac", "back.pth"), ("hf", "hf"), ("nacre", "ours")])
def test_dac_comes_back_from_every_house(dac: DAC, tmp_path: Path, kind: str, name: str) -> None:
    save_as(dac, tmp_path / name, kind)
    again = load(str(tmp_path / name)) if kind == "nacre" else load_dac(tmp_path / name)
    codes = dac.encode(WAVE)
    assert [level.tolist() for level in again.encode(WAVE).levels] == [level.tolist() for level in codes.levels]


def test_encodecs_state_dict_is_the_packages(tmp_path: Path) -> None:
    save_as(small_encodec(), tmp_path / "e.th", "encodec")
    back = torch.load(tmp_path / "e.th", weights_only=True)
    assert set(back) == set(official_weights())
    assert (
        from_encodec(back, CONFIG, "x").encode(WAVE).levels[0].tolist()
        == small_encodec().encode(WAVE).levels[0].tolist()
    )


def test_a_safetensors_file_when_its_name_says_so(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    save_as(small_encodec(), tmp_path / "e.safetensors", "encodec")
    assert set(load_file(tmp_path / "e.safetensors")) == set(official_weights())


def test_graphs_where_there_can_be_any(dac: DAC, tmp_path: Path) -> None:
    save_as(small_pearl(), tmp_path / "pearl", "onnx")
    assert load(str(tmp_path / "pearl"), "onnx").info.name == "small-pearl"
    with pytest.raises(InputError, match=r"model.safetensors exists"):
        save_as(small_pearl(), tmp_path / "pearl", "onnx")
    music = small_encodec(kind="music")
    with pytest.raises(InputError, match=r"music-encodec hears too much of the future for graphs; use --to nacre"):
        save_as(music, tmp_path / "music", "onnx")


def test_graphs_at_32_bits_are_the_same_codec(tmp_path: Path) -> None:
    codec = small_encodec()
    codes = codec.encode(WAVE)
    save_as(codec, tmp_path / "graphs", "onnx-32")
    graphs = load(str(tmp_path / "graphs"), "onnx")
    assert graphs.info == codec.info and graphs.encode(WAVE) == codes


def test_graphs_replace_nothing_unasked(tmp_path: Path) -> None:
    for name in ("decoder.onnx", "mine.onnx"):
        (tmp_path / name).write_text("mine")
    with pytest.raises(InputError, match=r"decoder\.onnx exists; choose another name"):
        save_as(small_pearl(), tmp_path, "onnx")
    assert {path.name for path in tmp_path.iterdir()} == {"decoder.onnx", "mine.onnx"}
    save_as(small_pearl(), tmp_path, "onnx", overwrite=True)
    assert (tmp_path / "mine.onnx").read_text() == "mine" and (tmp_path / "decoder.onnx").stat().st_size > 4


def test_what_a_house_does_not_take_is_told(dac: DAC, tmp_path: Path) -> None:
    assert kinds(dac) == ["nacre", "onnx", "onnx-32", "dac", "hf"]
    assert kinds(small_pearl()) == ["nacre", "onnx", "onnx-32"]
    with pytest.raises(
        InputError, match="a made is written as nacre, onnx, onnx-32, dac, hf, got 'snac'; name one of these"
    ):
        save_as(dac, tmp_path / "x", "snac")
    with pytest.raises(InputError, match="dac keeps a model in one file; name it, as"):
        save_as(dac, tmp_path / "x", "dac")
    with pytest.raises(InputError, match="holds no weights that nacre could write"):
        save_as(load(), tmp_path / "x")
    (tmp_path / "y.pth").write_text("mine")
    with pytest.raises(InputError, match=r"y.pth exists"):
        save_as(dac, tmp_path / "y.pth", "dac")
    assert (tmp_path / "y.pth").read_text() == "mine"
    (tmp_path / "snac").mkdir()
    (tmp_path / "snac" / "pytorch_model.bin").write_text("mine")
    with pytest.raises(InputError, match=r"pytorch_model.bin exists"):
        save_as(small_snac("small-speech"), tmp_path / "snac", "snac")
    assert [path.name for path in (tmp_path / "snac").iterdir()] == ["pytorch_model.bin"]


def test_every_original_has_its_maker() -> None:
    from importlib import import_module

    for maker, _ in to_files.ORIGINALS.values():
        room, _, name = maker.partition(".")
        assert callable(getattr(import_module(f"nacre.converters.{room}"), name))


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["dac", "encodec"])
def test_transformers_reads_the_folder(dac: DAC, tmp_path: Path, architecture: str) -> None:
    transformers = pytest.importorskip("transformers")
    codec = dac if architecture == "dac" else small_encodec()
    save_as(codec, tmp_path / "hf", "hf")
    kind = transformers.DacModel if architecture == "dac" else transformers.EncodecModel
    model, told = kind.from_pretrained(tmp_path / "hf", output_loading_info=True)
    assert not told["missing_keys"] and not told["unexpected_keys"] and not told["mismatched_keys"]
    config, _ = hugging_face(codec)
    assert json.loads((tmp_path / "hf" / "config.json").read_text()) == config
    best = {} if architecture == "dac" else {"bandwidth": model.config.target_bandwidths[-1]}  # else the least
    with torch.no_grad():
        theirs = model.encode(torch.from_numpy(WAVE[..., :2_560]), **best).audio_codes
    ours = np.stack(codec.encode(WAVE[..., :2_560]).levels, axis=1)
    assert np.array_equal(theirs.numpy().reshape(ours.shape), ours)
