"""nac0: the files of 2023, real ones too, and ours that the readers of 2023 can read."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nacre.codes import Codes
from nacre.container.nac0 import BLOCK, NAC0_CODEC, read_nac0, write_nac0
from nacre.errors import DamagedError, InputError

GOLDEN = Path(__file__).parent / "golden" / "legacy"
VECTORS = Path(__file__).parents[2] / "shared" / "vectors"


def some_codes(levels: int, frames: int, length: int) -> Codes:
    values = np.random.default_rng(frames).integers(0, 1024, (levels, 1, frames))
    return Codes(tuple(values), length, NAC0_CODEC)


def file(metadata: object, kbps: int, body: bytes) -> bytes:
    text = json.dumps(metadata).encode()
    return struct.pack("!3sBIB", b"NAC", 0, len(text), kbps) + text + body


@pytest.mark.parametrize(("name", "length", "frames"), [("null.nac", 64000, 200), ("length.nac", 33000, 104)])
def test_golden_files_decode_to_their_codes(name: str, length: int, frames: int) -> None:
    codes, metadata = read_nac0((GOLDEN / name).read_bytes())
    assert np.array_equal(np.concatenate(codes.levels), np.load(GOLDEN / f"{name}.npz")["codes"][:, :frames])
    assert (codes.length, codes.info) == (length, NAC0_CODEC)
    assert metadata["bitrate"] == len(codes.levels) // 2


@pytest.mark.parametrize("name", ["8kn.nac", "pianon.nac"])
def test_real_files_of_2023(name: str) -> None:
    if not (VECTORS / name).exists():
        pytest.skip("the 2023 files are not here")
    data = (VECTORS / name).read_bytes()
    codes, metadata = read_nac0(data)
    assert metadata == {"bitrate": 24}
    assert (len(codes.levels), codes.frames, codes.length) == (48, 26 * BLOCK, 26 * 32000)
    bits = int.from_bytes(data[13:], "little")  # the definition: one number, block by block, level by level
    for block, level, frame in ((0, 0, 0), (0, 0, 99), (0, 1, 0), (3, 47, 50), (25, 47, 99)):
        at = 10 * ((block * 48 + level) * 100 + frame)
        assert codes.levels[level][0, block * 100 + frame] == bits >> at & 1023
    assert write_nac0(codes)[-156000:] == data[-156000:]
    assert all(np.unique(level).size > 100 for level in codes.levels[:4])  # speech and piano, not a misread grid


@given(st.integers(1, 24), st.integers(0, 4 * 32000))
def test_what_we_write_comes_back(kbps: int, length: int) -> None:
    codes = some_codes(2 * kbps, -(-length // 320), length)
    data = write_nac0(codes)
    read, metadata = read_nac0(data)
    assert data[:4] == b"NAC\0" and data[8] == kbps
    assert metadata == {"length": length, "sample_rate": 16000, "channels": 1, "bitrate": kbps}
    assert len(data[9:]) - int.from_bytes(data[4:8], "big") == -(-length // 32000) * 250 * kbps
    assert read == codes  # and not the zeros that fill the last block
    assert write_nac0(read) == data


@pytest.mark.parametrize(("kbps", "frames"), [(1, 1), (1, 99), (3, 50), (24, 7)])
def test_a_short_sound_of_2023_has_one_short_block(kbps: int, frames: int) -> None:
    values = np.random.default_rng(frames).integers(0, 1024, (2 * kbps, frames))
    number = sum(int(value) << 10 * i for i, value in enumerate(values.ravel()))
    body = number.to_bytes(-(-values.size * 10 // 8), "little")
    codes, metadata = read_nac0(file(None, kbps, body))
    assert np.array_equal(np.concatenate(codes.levels), values)
    assert (codes.length, metadata) == (frames * 320, {"bitrate": kbps})
    with pytest.raises(DamagedError, match="cut short"):
        read_nac0(file(None, kbps, body + b"x"))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (file(None, 0, b""), "bitrate"),
        (file(None, 25, b""), "bitrate"),
        (file(None, 1, b"x"), "blocks of 250 bytes"),
        (file(None, 1, b"x" * 249), "blocks of 250 bytes"),
        (file([1], 1, b""), "null or a JSON object"),
        (file({"length": 1}, 1, b""), "length"),
        (file({"length": 32001}, 1, b"x" * 250), "length"),
        (file({"length": 0}, 1, b"x" * 250), "length"),
        (file({"length": 2**60}, 1, b"x" * 250), "length"),
        (file({"length": 3.5}, 1, b"x" * 250), "length"),
        (file({"length": True}, 1, b"x" * 250), "length"),
        (file({"sample_rate": 8000}, 1, b"x" * 250), "mono at 16000"),
        (file({"channels": 2}, 1, b"x" * 250), "mono at 16000"),
    ],
)
def test_lies_are_damage(data: bytes, words: str) -> None:
    with pytest.raises(DamagedError, match=words):
        read_nac0(data)


def test_metadata_keeps_plain_values_only() -> None:
    data = file({"title": "a", "bitrate": 9, "list": [1], "dict": {}, "nothing": None, "yes": True, "x": 0.5}, 1, b"")
    assert read_nac0(data)[1] == {"title": "a", "bitrate": 1, "nothing": None, "yes": True, "x": 0.5}


def test_codes_that_do_not_fit_are_refused() -> None:
    two = np.zeros((2, 100), np.int64)
    for codes, words in (
        (some_codes(3, 100, 32000), "even number"),
        (Codes((two, two), 32000, NAC0_CODEC), "one item"),
        (some_codes(2, 100, 32001), "32001 samples"),
        (some_codes(2, 101, 32000), "32000 samples"),
        (some_codes(2, 0, 1), "1 samples"),
        (replace(some_codes(2, 100, 32000), start=100), "whole files"),
    ):
        with pytest.raises(InputError, match=words):
            write_nac0(codes)
