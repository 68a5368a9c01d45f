"""recover: whole packets are found again, in time that does not run away."""

from __future__ import annotations

import io
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_codes import PEARL, SNAC, packed, random_codes

from nacre.container.header import Header, parse_header
from nacre.container.recover import Finder, reach, repair_last, wait_for_header, whole_packet
from nacre.container.source import Source
from nacre.container.writer import NacWriter
from nacre.errors import DamagedError

CODES = random_codes(PEARL, 8, 1000, calm=3)
DATA = packed(CODES)
HEADER = parse_header(DATA)
NOISE = np.random.default_rng(5).bytes(5000)


@settings(max_examples=30)
@given(st.integers(len(HEADER.packed), len(DATA) - 3500))
def test_a_stream_can_be_taken_up_anywhere(cut: int) -> None:
    source = Source(DATA[cut:])
    number = Finder(source, HEADER).find(None)
    assert number is not None
    assert whole_packet(source.data, 0, HEADER, number)
    before = Finder(Source(DATA[len(HEADER.packed) + 1 :]), HEADER).find(None)
    assert before == 1
    assert source.offset < reach(HEADER)


@pytest.mark.parametrize("between", [b"", b"x", NOISE, bytes(5000), b"\x02" * 3000])
def test_packets_behind_damage_are_found_with_their_number(between: bytes) -> None:
    raw = packed(CODES, raw=True)
    header = parse_header(raw)
    source = Source(raw[len(header.packed) : -1000][:100] + between + raw[len(header.packed) + 753 * 5 :])
    assert Finder(source, header).find(0) == 5
    assert source.offset == 100 + len(between)


def test_the_next_packet_is_enough_where_the_damaged_one_says_it_is() -> None:
    raw = packed(CODES, raw=True)
    header = parse_header(raw)
    at = len(header.packed)
    two = bytearray(raw[at : at + 2 * 753])
    two[300] ^= 1
    assert Finder(Source(bytes(two)), header).find(0) == 1


def test_packets_that_came_already_are_not_taken_again() -> None:
    raw = packed(CODES, raw=True)
    header = parse_header(raw)
    at = len(header.packed)
    source = Source(raw[at + 753 * 2 : at + 753 * 6] + raw[at + 753 * 5 :])
    assert (Finder(source, header).find(5), source.offset) == (6, 753 * 5)


def test_copies_of_the_header_stand_in_no_ones_way() -> None:
    sink = io.BytesIO()
    with NacWriter(sink, PEARL, 8, raw=True, announce=1) as writer:
        writer.write(CODES)
    data, header = sink.getvalue(), writer.header
    for cut in (1, 700, 900):
        assert Finder(Source(data[len(header.packed) + cut :]), header).find(None) in (1, 2)
    damaged = bytearray(data[len(header.packed) :])
    damaged[400] ^= 1
    source = Source(bytes(damaged))
    assert Finder(source, header).find(0) == 1
    assert source.offset == 753


def test_nothing_is_found_in_nothing() -> None:
    for data in (b"", NOISE, bytes(100_000), b"\x00\x01" * 50_000):
        source = Source(data)
        assert Finder(source, Header(SNAC, 3)).find(7) is None
        assert source.fill(1) == 0


@pytest.mark.parametrize("garbage", [b"\0" * 31 + b"\1", b"\0\0\0\1", b"\x02", b"\xfa\x01\0"])
def test_a_search_through_garbage_ends_soon(garbage: bytes) -> None:
    data = (garbage * 100_000)[:100_000]
    start = time.process_time()
    Finder(Source(data), Header(PEARL, 12)).find(3)
    assert time.process_time() - start < 4


def test_one_wrong_bit_in_the_last_tag_is_undone() -> None:
    codes = random_codes(PEARL, 2, 50)
    data = packed(codes, raw=True)
    header = parse_header(data)
    last = data[len(header.packed) :]
    for bit in range(24):
        damaged = bytearray(last)
        damaged[bit >> 3] ^= 1 << (bit & 7)
        packet = repair_last(damaged, header, 0)
        assert packet is not None
        assert packet.total == codes.length
        assert damaged == last
    damaged[60] ^= 3
    assert repair_last(damaged, header, 0) is None


def test_a_header_is_waited_for() -> None:
    source = Source(NOISE + b"NAC\x01" + NOISE[:20] + b"NAC" + DATA)
    assert wait_for_header(source) == HEADER
    assert source.data[:100] == DATA[len(HEADER.packed) :][:100]
    with pytest.raises(DamagedError, match="no header"):
        wait_for_header(Source(NOISE + b"NAC\x01\0\0"))
