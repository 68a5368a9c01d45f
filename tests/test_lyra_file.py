"""lyra_file: Lyra's own packet, any codes there and back, tails that fill no packet."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nacre import Codes, InputError
from nacre.container.lyra_file import BITRATES, LYRA_CODEC, read_lyra, write_lyra

PACKET = bytes.fromhex("a4833dbe75673afb")  # frame 20 of google/lyra's testdata/sample1_16kHz.wav at 3.2 kbps
LEVELS = [10, 4, 8, 3, 3, 13, 11, 14, 7, 5, 6, 7, 3, 10, 15, 11]


def test_lyras_own_packet() -> None:
    codes = read_lyra(PACKET, 3_200)
    assert [int(level[0, 0]) for level in codes.levels] == LEVELS
    assert (codes.frames, codes.length) == (1, 320)
    assert write_lyra(codes) == PACKET


def test_the_three_bitrates() -> None:
    assert {bitrate: LYRA_CODEC.bitrate(levels) for bitrate, levels in BITRATES.items()} == {
        3_200: 3_200,
        6_000: 6_000,
        9_200: 9_200,
    }
    assert [len(write_lyra(read_lyra(bytes(23 * 4), bitrate))) for bitrate in BITRATES] == [88, 90, 92]
    assert (LYRA_CODEC.latency, LYRA_CODEC.frame_rate, set(LYRA_CODEC.bits)) == (0.02, 50, {4})


@given(st.binary(max_size=200), st.sampled_from(sorted(BITRATES)))
def test_bytes_come_back_but_for_the_tail(data: bytes, bitrate: int) -> None:
    codes = read_lyra(data, bitrate)
    size = BITRATES[bitrate] // 2
    assert codes.frames == len(data) // size
    assert write_lyra(codes) == data[: len(data) // size * size]


def test_googles_test_files_have_a_tail() -> None:
    assert [read_lyra(bytes(size), 6_000).frames for size in (16, 32)] == [1, 2]


def test_what_does_not_fit_is_refused() -> None:
    codes = read_lyra(bytes(23), 9_200)
    with pytest.raises(InputError, match="3200, 6000 and 9200 bit/s, got 8000"):
        read_lyra(b"", 8_000)
    with pytest.raises(InputError, match="holds codes of lyra-v2, got other"):
        write_lyra(replace(codes, info=replace(codes.info, name="other")))
    for wrong in (
        codes.head(17),
        Codes(tuple(np.zeros((2, 3), np.int64) for _ in range(46)), 960, LYRA_CODEC),
    ):
        with pytest.raises(InputError, match="one sound in 16, 30 or 46 levels"):
            write_lyra(wrong)


def test_what_google_would_misread_is_refused() -> None:
    codes = read_lyra(bytes(46), 9_200)
    wide = replace(
        codes, info=replace(LYRA_CODEC, codebook_sizes=(1024,) * 46), levels=(*codes.levels[1:], 200 + codes.levels[0])
    )
    with pytest.raises(InputError, match="from 0 to 15, got 200"):
        write_lyra(wide)
    with pytest.raises(InputError, match="without gaps"):
        write_lyra(replace(codes, lost=np.ones(2, np.bool_)))
    with pytest.raises(InputError, match="without gaps"):
        write_lyra(replace(codes, start=5))
