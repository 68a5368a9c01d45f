"""OnnxCodec: bit-exact in any chunks, independent streams, plain words when a folder is not a codec."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_pearl import small_pearl
from streamed import streamed

from nacre import Codes, DamagedError, InputError, MissingError, OnnxCodec, load
from nacre.converters.to_onnx import export
from nacre.onnx_runtime import info_from_json, info_to_json


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("exported") / "small"
    export(small_pearl(), place)
    return place


@pytest.fixture(scope="module", params=["small", "bundled"])
def codec(request: pytest.FixtureRequest, folder: Path) -> OnnxCodec:
    return OnnxCodec(folder) if request.param == "small" else load()


def speech(seconds: float, batch: int = 1) -> np.ndarray:
    """Something with pitch, pauses and noise."""
    t = np.arange(round(seconds * 24_000)) / 24_000
    voiced = np.sin(2 * np.pi * 140 * t + 3 * np.sin(2 * np.pi * 3 * t)) * (np.sin(2 * np.pi * 2.3 * t) > 0)
    random = np.random.default_rng(0).normal(0, 0.02, (batch, 1, len(t)))
    return (0.3 * voiced + random).astype(np.float32)


@settings(max_examples=12)
@given(st.lists(st.sampled_from([1, 17, 320, 509, 3_000, 44_100]), min_size=1, max_size=20))
def test_chunks_give_the_very_bits_of_the_file(codec: OnnxCodec, sizes: list[int]) -> None:
    wave = speech(1.0)
    codes, sound = streamed(codec, wave, sizes)
    assert codes == codec.encode(wave)
    assert np.array_equal(sound, codec.decode(codes))


def test_batch_threads_and_streams_side_by_side_change_no_bit(codec: OnnxCodec) -> None:
    wave = speech(0.5, batch=3)
    together = codec.encode(wave)
    more = OnnxCodec(codec.folder, threads=2)
    assert more.encode(wave) == together
    assert np.array_equal(more.decode(together), codec.decode(together))
    streams = [codec.stream() for _ in wave]
    pieces: list[list[Codes]] = [[] for _ in wave]
    for i in range(0, wave.shape[2], 1_000):
        for item, stream, kept in zip(wave, streams, pieces, strict=True):
            kept.append(stream.encode(item[None, :, i : i + 1_000], last=i + 1_000 >= wave.shape[2]))
    for i, kept in enumerate(pieces):
        alone = Codes.join(kept)
        assert all(np.array_equal(a[0], b[i]) for a, b in zip(alone.levels, together.levels, strict=True))


def test_decoding_from_any_frame_is_exact_after_the_preroll(codec: OnnxCodec) -> None:
    codes = codec.encode(speech(1.5))
    whole, info = codec.decode(codes), codec.info
    skip = info.preroll * info.hop
    for start in (1, 30, 60):
        part = codec.decode(codes.cut(start, codes.frames))
        assert np.array_equal(part[:, :, skip:], whole[:, :, info.span(0, start) + skip :])


@pytest.mark.parametrize("length", [0, 1, 319, 320, 321])
def test_length_out_is_length_in(codec: OnnxCodec, length: int) -> None:
    assert codec.decode(codec.encode(speech(0.1)[:, :, :length])).shape == (1, 1, length)


def test_info_survives_json() -> None:
    info = load().info
    assert info_from_json(info_to_json(info)) == info


def test_what_is_no_codec_is_told_apart(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"no encoder\.onnx in"):
        OnnxCodec(tmp_path)
    for threads in (0, 100_000):  # so many took 16 GB and could not be stopped
        with pytest.raises(InputError, match=f"1 to 256 threads, got {threads}"):
            OnnxCodec(folder, threads=threads)
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / "encoder.onnx").write_bytes(b"not a graph")
    with pytest.raises(DamagedError, match=r"encoder\.onnx is not a graph of nacre's"):
        OnnxCodec(copy).encode(speech(0.1))
    shutil.copy(folder / "encoder.onnx", copy)
    weights = (copy / "model.safetensors").read_bytes()
    (copy / "model.safetensors").write_bytes(weights[:-100])
    with pytest.raises(DamagedError, match="ONNX Runtime can load"):
        OnnxCodec(copy).encode(speech(0.1))
    for garbage in (b"", b"short", b"\xff" * 100, weights[:8] + b"{" * 1000):
        (copy / "model.safetensors").write_bytes(garbage)
        with pytest.raises(DamagedError, match="does not say whose weights it holds"):
            OnnxCodec(copy)


def test_graphs_of_other_weights_are_refused(folder: Path, tmp_path: Path) -> None:
    mixed = tmp_path / "mixed"
    export(small_pearl(seed=1), mixed)
    shutil.copy(folder / "decoder.onnx", mixed)
    codec = OnnxCodec(mixed)
    codes = codec.encode(speech(0.1))
    with pytest.raises(DamagedError, match="different exports"):
        codec.decode(codes)


def test_graphs_in_the_wrong_place_are_refused(folder: Path, tmp_path: Path) -> None:
    swapped = tmp_path / "swapped"
    shutil.copytree(folder, swapped)
    shutil.copy(folder / "decoder.onnx", swapped / "encoder.onnx")
    with pytest.raises(DamagedError, match="should turn wave into levels, got"):
        OnnxCodec(swapped).encode(speech(0.1))
