"""Export: graphs that give torch's codes, share its weights, and stay small."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from safetensors import safe_open
from small_encodec import CONFIG as ENCODEC
from small_encodec import small_encodec
from small_mimi import CONFIG, small_mimi
from small_pearl import small_pearl
from streamed import streamed
from test_every_codec import build

from nacre import CodecContract, InputError, MissingError, OnnxCodec
from nacre.codecs.base import Codec
from nacre.codecs.dac import DAC, DACConfig
from nacre.codecs.encodec import EnCodec
from nacre.codecs.mimi import Mimi
from nacre.codecs.pearl import Pearl
from nacre.codecs.snac import SNAC, SNACConfig
from nacre.converters.keys import coding_keys, digest
from nacre.converters.to_onnx import edges_of, export
from nacre.onnx_runtime import Edges


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


# Codecs that begin otherwise than they go on: EnCodec mirrors its start, DAC hears the future.


@pytest.fixture(scope="module")
def encodec(tmp_path_factory: pytest.TempPathFactory) -> tuple[EnCodec, OnnxCodec]:
    codec, folder = small_encodec(), tmp_path_factory.mktemp("encodec")
    before = codec.info.digest
    assert export(codec, folder, bits=32) == codec.info and codec.info.digest == before != ""
    return codec, OnnxCodec(folder)


@pytest.fixture(scope="module")
def dac(tmp_path_factory: pytest.TempPathFactory) -> tuple[DAC, OnnxCodec]:
    torch.manual_seed(0)
    codec, folder = DAC(DACConfig(16_000, (2, 5), 4, 16, 8, 3, 16, 4)), tmp_path_factory.mktemp("dac")
    with torch.no_grad():
        for name, parameter in codec.named_parameters():
            parameter.uniform_(0.5, 1.5) if name.endswith("alpha") else parameter.normal_(0, 0.3)
    export(codec, folder, bits=32)
    return codec, OnnxCodec(folder)


def same(ours: np.ndarray, theirs: np.ndarray) -> None:
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max(initial=0) < 2e-5 * max(1e-3, np.abs(theirs).max(initial=0))


def alike(torch_codec: Codec, graphs: OnnxCodec, wave: np.ndarray, chunk: int) -> None:
    """Every chunk gives as many codes and as much sound as torch's does, and the same."""
    streams: list[CodecContract] = [torch_codec, graphs]
    there, here = (codec.stream() for codec in streams)
    for begin in range(0, wave.shape[2], chunk):
        last = begin + chunk >= wave.shape[2]
        theirs = there.encode(wave[:, :, begin : begin + chunk], last)
        ours = here.encode(wave[:, :, begin : begin + chunk], last)
        assert ours == theirs
        same(here.decode(ours, last), there.decode(theirs, last))


@pytest.mark.parametrize("length", [0, 1, 7, 319, 320, 321, 1_920, 2_239, 2_240, 2_241, 4_000])
def test_encodecs_graphs_give_sounds_of_every_length(encodec: tuple[EnCodec, OnnxCodec], length: int) -> None:
    codec, graphs = encodec
    wave = noise(length, batch=2)
    assert graphs.info == codec.info
    assert graphs.encode(wave) == codec.encode(wave)
    same(graphs.decode(codec.encode(wave)), codec.decode(codec.encode(wave)))


@pytest.mark.parametrize("chunk", [161, 320, 2_240, 3_001])
def test_encodecs_graphs_stream_as_torch_does(encodec: tuple[EnCodec, OnnxCodec], chunk: int) -> None:
    alike(*encodec, noise(6_401), chunk)


@pytest.mark.parametrize("length", [0, 1, 9, 10, 11, 205, 400, 905])
def test_dacs_graphs_give_sounds_of_every_length(dac: tuple[DAC, OnnxCodec], length: int) -> None:
    codec, graphs = dac
    wave = noise(length, batch=2)
    assert graphs.encode(wave) == codec.encode(wave)
    same(graphs.decode(codec.encode(wave)), codec.decode(codec.encode(wave)))


@pytest.mark.parametrize("chunk", [13, 10, 301])
def test_dacs_graphs_stream_as_torch_does_and_no_later(dac: tuple[DAC, OnnxCodec], chunk: int) -> None:
    alike(*dac, noise(605), chunk)


def test_after_a_gap_graphs_begin_anew(encodec: tuple[EnCodec, OnnxCodec]) -> None:
    codec, graphs = encodec
    codes = codec.encode(noise(9_000))
    lost = np.zeros(codes.frames, np.bool_)
    lost[9:11] = True
    same(graphs.decode(replace(codes, lost=lost)), codec.decode(replace(codes, lost=lost)))


def test_codes_of_either_decode_with_the_other_at_32_bits_only(encodec: tuple[EnCodec, OnnxCodec]) -> None:
    codec, graphs = encodec
    codes = graphs.encode(noise(3_000))
    same(codec.decode(codes.head(2)), graphs.decode(codes.head(2)))
    rounded = small_pearl()
    before = rounded.info.digest
    assert export(rounded, graphs.folder.parent / "rounded").digest != before


@pytest.fixture(scope="module")
def mimi(tmp_path_factory: pytest.TempPathFactory) -> tuple[Mimi, OnnxCodec]:
    # graphs take chunks of up to `context`: ten seconds in the released Mimi
    codec, folder = small_mimi(replace(CONFIG, context=40)), tmp_path_factory.mktemp("mimi")
    export(codec, folder, bits=32)
    return codec, OnnxCodec(folder)


@pytest.mark.parametrize("length", [1, 500, 1919, 1920, 1921, 5 * 1920 + 7])
def test_mimis_graphs_begin_and_end_as_torch_does(mimi: tuple[Mimi, OnnxCodec], length: int) -> None:
    codec, graphs = mimi
    wave = noise(length, batch=2)
    codes = graphs.encode(wave)
    assert codes == codec.encode(wave)
    assert len(np.unique(codes.levels[0])) > 1 or length < 5000  # these codes do hang on the sound
    same(graphs.decode(codes), codec.decode(codes))
    alike(codec, graphs, wave, 2 * 1920 + 3)


@pytest.mark.parametrize("length", [1, 321, 4_000])
def test_an_encodec_that_pads_with_zeros_ends_as_torch_does(tmp_path: Path, length: int) -> None:
    torch.manual_seed(0)
    codec = EnCodec(replace(ENCODEC, seanet=replace(ENCODEC.seanet, pad="zero")), "zeros").eval()
    export(codec, tmp_path, bits=32)
    alike(codec, OnnxCodec(tmp_path), noise(length), 700)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["soundstream-24k", "mimi-24k", "hac-v1.1", "audiodec-48k-activated"])
def test_every_causal_kind_has_graphs_that_say_what_torch_says(name: str, tmp_path: Path) -> None:
    codec = build(name)
    export(codec, tmp_path, bits=32)
    alike(codec, OnnxCodec(tmp_path), noise(12 * codec.info.hop + 7), 3 * codec.info.hop + 1)


def test_a_graph_that_is_missing_is_said_at_once(encodec: tuple[EnCodec, OnnxCodec], tmp_path: Path) -> None:
    shutil.copytree(encodec[1].folder, tmp_path / "copy")
    (tmp_path / "copy" / "decoder.start.onnx").unlink()
    with pytest.raises(MissingError, match=r"no decoder\.start\.onnx in"):
        OnnxCodec(tmp_path / "copy")


def test_what_graphs_cannot_do_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    codec = SNAC(SNACConfig(24_000, (2, 2), 8, 16, (2, 1)))
    with pytest.raises(InputError, match="hears too much of the future for graphs; use --to nacre"):
        export(codec, tmp_path / "none")
    assert not (tmp_path / "none").exists()
    assert edges_of(codec) is None and edges_of(small_pearl()) == Edges()
