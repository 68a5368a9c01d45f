"""dac_file: DAC's own files in and out, the model found from the sizes, and every lie a file can tell."""

from __future__ import annotations

import io
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nacre.codes import CodecInfo, Codes
from nacre.container.dac_file import DAC_CODECS, DacMetadata, read_dac, write_dac
from nacre.errors import DamagedError, InputError

GOLDEN = Path(__file__).parent / "golden" / "legacy"
DAC = DAC_CODECS["dac-44k"]


def some_codes(info: CodecInfo, levels: int, frames: int, length: int, batch: int = 1) -> Codes:
    values = np.random.default_rng(frames).integers(0, 1024, (levels, batch, frames))
    return Codes(tuple(values), length, info)


def file(codes: Any = None, **changes: Any) -> bytes:
    """A `.dac` as numpy writes it, sound unless changed; a change to None leaves the field out."""
    metadata = {
        "input_db": np.array([-20], np.float32),
        "original_length": 5120,
        "sample_rate": 44100,
        "chunk_length": 10,
        "channels": 1,
        "padding": True,
        "dac_version": "1.0.0",
    } | changes
    held = {key: value for key, value in metadata.items() if value is not None}
    return saved({"codes": np.ones((1, 9, 10), np.uint16) if codes is None else codes, "metadata": held})


def saved(content: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.array(content, object) if isinstance(content, dict) else content)
    return stream.getvalue()


@pytest.mark.parametrize(("name", "codec"), [("padded.dac", "dac-44k"), ("chunked-stereo.dac", "dac-16k")])
def test_golden_files_decode_to_their_codes_and_back(name: str, codec: str) -> None:
    data, expected = (GOLDEN / name).read_bytes(), np.load(GOLDEN / f"{name}.npz")
    codes, metadata = read_dac(data)
    assert np.array_equal(np.stack(codes.levels, axis=1), expected["codes"])
    length, rate, chunk, channels, padding = expected["numbers"].tolist()
    assert metadata == DacMetadata(tuple(expected["input_db"].tolist()), length, rate, chunk, channels, bool(padding))
    assert (codes.info.name, codes.length, codes.batch) == (codec, length, channels)
    again = write_dac(codes, asdict(metadata))
    assert read_dac(again) == (codes, metadata)
    if b"numpy._core" in again:  # numpy 1 names its parts otherwise
        assert again == data


@given(st.sampled_from(sorted(DAC_CODECS)), st.integers(1, 400_000), st.integers(1, 2))
def test_whole_files_come_back_and_name_their_model(name: str, length: int, channels: int) -> None:
    info = DAC_CODECS[name]
    codes = some_codes(info, info.levels, -(-length // info.hop), length, channels)
    read, metadata = read_dac(write_dac(codes))
    assert read == codes
    assert metadata == DacMetadata((-16.0,), length, info.sample_rate, codes.frames, channels, True)


@given(st.sampled_from(sorted(DAC_CODECS)), st.integers(44100, 2_000_000), st.sampled_from([8000, 22050, 44100, 48000]))
def test_the_model_is_found_at_any_input_rate(name: str, length: int, rate: int) -> None:
    info = DAC_CODECS[name]
    coded = length * info.sample_rate // rate
    codes = some_codes(info, info.levels, -(-coded // info.hop), coded)
    read, metadata = read_dac(write_dac(codes, {"original_length": length, "sample_rate": rate}))
    assert read == codes
    assert (metadata.original_length, metadata.sample_rate) == (length, rate)


@pytest.mark.parametrize(  # SPECS of DAC: window in samples, codes a window, samples out
    ("name", "chunk", "out"),
    [
        ("dac-44k", 72, 28522),
        ("dac-44k", 416, 204650),
        ("dac-24k", 59, 13346),
        ("dac-24k", 359, 109346),
        ("dac-16k", 34, 5346),
        ("dac-16k", 234, 69346),
    ],
)
@pytest.mark.parametrize("windows", [1, 2, 7])
def test_windows_of_the_official_sizes_are_known(name: str, chunk: int, out: int, windows: int) -> None:
    info = DAC_CODECS[name]
    for length in ((windows - 1) * out + 2, windows * out):
        codes = some_codes(info, info.levels, windows * chunk, length)
        read, metadata = read_dac(write_dac(codes, {"padding": False, "chunk_length": chunk}))
        assert read == codes
        assert (metadata.padding, metadata.chunk_length) == (False, chunk)
    longer = write_dac(replace(codes, length=windows * out + 2), {"padding": False, "chunk_length": chunk})
    with suppress(InputError):  # one sample more than resampling may add: never this model, though another may fit
        assert read_dac(longer)[0].info is not info


def test_fewer_levels_are_read_and_the_codec_may_be_said() -> None:
    data = write_dac(some_codes(DAC, 4, 100, 51200))
    assert read_dac(data)[0].info is DAC
    assert read_dac(data, "dac-44k-16kbps")[0].info.name == "dac-44k-16kbps"
    for name, words in (("dac-16k", "name another"), ("dac-8k", "name one of them")):
        with pytest.raises(InputError, match=words):
            read_dac(file(), name) if name == "dac-8k" else read_dac(file(original_length=51200), name)
    with pytest.raises(InputError, match="has 9 levels"):
        read_dac(file(np.ones((1, 12, 10), np.uint16)), "dac-44k")


def test_two_models_that_fit_alike_are_not_guessed_between() -> None:
    data = file(np.ones((1, 3, 1), np.uint16), original_length=100, sample_rate=48000, chunk_length=1)
    with pytest.raises(InputError, match="several models fit"):
        read_dac(data)
    assert read_dac(data, "dac-24k")[0].length == 50


@pytest.mark.parametrize(
    "data",
    [
        file(chunk_length=0),
        file(chunk_length=3),
        file(chunk_length=5),
        file(chunk_length=11),
        file(chunk_length=2**70),
        file(chunk_length=None),
        file(padding=None),
        file(padding=1),
        file(channels=0),
        file(channels=2),
        file(channels=2**40),
        file(original_length=-1),
        file(original_length=2**41),
        file(original_length=1.5),
        file(sample_rate=0),
        file(sample_rate=2**30),
        file(input_db=None),
        file(input_db=np.array([], np.float32)),
        file(input_db=np.array([np.nan], np.float32)),
        file(input_db=np.array([-np.inf], np.float32)),
        file(input_db=np.zeros(1000, np.float32)),
        file(input_db="loud"),
        file(np.full((1, 9, 10), 1024, np.uint16)),
        file(np.full((1, 9, 10), -1, np.int16)),
        file(np.ones((1, 9, 10), np.float32)),
        file(np.ones((1, 9, 10), np.bool_)),
        file(np.ones((9, 10), np.uint16)),
        file(np.ones((1, 9, 0), np.uint16)),
        file(np.ones((0, 9, 10), np.uint16)),
        file([1, 2]),
        file({"a": 1}),
        file(np.array({"a": 1}, object)),
        file() + b"x",
        saved({"codes": np.ones((1, 9, 10), np.uint16), "metadata": np.ones(3)}),
        saved({"codes": np.ones((1, 9, 10), np.uint16)}),
        saved({}),
        saved(np.array([1], object)[0:1].reshape(())),
        b"\x93NUMPY",
        b"\x93NUMPY\x01\x00\xff\xff",
        b"\x93NUMPY\x09\x00\x10\x00" + b" " * 16,
        b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + b" " * 16,
    ],
)
def test_lies_are_damage(data: bytes) -> None:
    assert read_dac(file())[0].frames == 10
    with pytest.raises(DamagedError):
        read_dac(data)


@pytest.mark.parametrize(
    "wrong", [saved(np.ones(3)), saved(np.array([{}, {}])), file(dac_version="0.9"), file(dac_version=None)]
)
def test_what_is_no_dac_is_said(wrong: bytes) -> None:
    with pytest.raises(InputError, match=r"\.dac"):
        read_dac(wrong)


def test_a_lying_length_cannot_ask_for_hours_of_silence() -> None:
    data = file(original_length=2**40)
    for codec in (None, *DAC_CODECS):
        with pytest.raises(InputError):
            read_dac(data, codec)


def test_codes_that_do_not_fit_are_refused() -> None:
    codes = some_codes(DAC, 9, 10, 5120)
    for given_codes, metadata, words in (
        (replace(codes, info=replace(DAC, name="snac-24k")), {}, "got snac-24k"),
        (some_codes(DAC, 9, 0, 0), {}, "cannot be a .dac"),
        (codes, {"chunk_length": 3}, "cannot be a .dac"),
        (codes, {"input_db": "loud"}, "cannot be a .dac"),
        (codes, {"input_db": [np.nan]}, "cannot be a .dac"),
        (codes, {"channels": 2}, "cannot be a .dac"),
        (codes.cut(1, 9), {}, "whole files"),
    ):
        with pytest.raises(InputError, match=words):
            write_dac(given_codes, metadata)
