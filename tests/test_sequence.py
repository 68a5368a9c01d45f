"""sequence: damage costs the packet it hits, is reported by number and time, and the rest is untouched."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_codes import ENCODEC_48K, PEARL, TINY, any_codes, packed, random_codes
from test_source import Pipe

from nacre.codes import CodecInfo, Codes
from nacre.container.header import parse_header
from nacre.container.packets import full_tag, last_tag, pack_raw, seal
from nacre.container.reader import NacReader
from nacre.container.sequence import MOST_DAMAGE
from nacre.errors import DamagedError


def read(data: bytes, pipe: bool = False) -> tuple[list[Codes], NacReader]:
    reader = NacReader(Pipe(data) if pipe else data)  # type: ignore[arg-type]
    return list(reader.packets()), reader


def check_pieces(pieces: list[Codes], whole: Codes, full: int) -> int:
    """How many packets were lost: all others hold what `whole` does."""
    lost = 0
    for piece in pieces:
        assert piece.start % full == 0
        if piece.lost is not None:
            assert piece.lost.all()
            assert not any(level.any() for level in piece.levels)
            lost += 1
            continue
        expected = whole.cut(piece.start, piece.start + piece.frames)
        assert replace(piece, length=0) == replace(expected, length=0)
    return lost


@pytest.mark.parametrize("pipe", [False, True])
@pytest.mark.parametrize(("info", "levels", "calm"), [(TINY, 2, 1), (TINY, 2, 300), (PEARL, 1, 1), (ENCODEC_48K, 1, 1)])
def test_a_flipped_bit_costs_one_packet_at_most(info: CodecInfo, levels: int, calm: int, pipe: bool) -> None:
    header = parse_header(packed(random_codes(info, levels, 1)))
    full = header.packet_frames
    codes = random_codes(info, levels, 2 * full + full // 2, calm=calm)
    data = packed(codes)
    every = 1 if calm > 1 and not pipe else 7  # bits
    for bit in range(8 * len(header.packed), 8 * len(data), every):
        flipped = bytearray(data)
        flipped[bit >> 3] ^= 1 << (bit & 7)
        pieces, reader = read(bytes(flipped), pipe)
        assert check_pieces(pieces, codes, full) <= 1
        assert len(reader.damage) == 1 or (pipe and calm == 1 and len(reader.damage) <= 2)
        damage = reader.damage[0]
        assert damage.start == pytest.approx(info.span(0, damage.packet * full) / info.sample_rate)
        if not pipe:
            assert sum(piece.length for piece in pieces) == reader.length == codes.length
            assert sum(piece.frames for piece in pieces) == codes.frames


@pytest.mark.parametrize("pipe", [False, True])
@pytest.mark.parametrize("calm", [1, 300])
def test_a_file_cut_short_gives_all_whole_packets(calm: int, pipe: bool) -> None:
    header = parse_header(packed(random_codes(TINY, 2, 1)))
    full = header.packet_frames
    codes = random_codes(TINY, 2, 2 * full + 30, calm=calm)
    data = packed(codes)
    starts = []
    reader = NacReader(Pipe(data))  # type: ignore[arg-type]
    for _ in reader.packets():
        starts.append(reader._source.offset)
    for end in range(len(header.packed), len(data)):
        pieces, reader = read(data[:end], pipe)
        whole = sum(end >= start for start in starts)
        assert len(pieces) == whole
        assert check_pieces(pieces, codes, full) == 0
        assert len(reader.damage) == 1
        heard = codes.length if whole == 3 else info_span(whole * full)
        assert sum(piece.length for piece in pieces) == reader.length == heard
    for end in range(len(header.packed)):
        with pytest.raises(DamagedError):
            read(data[:end], pipe)


def info_span(frames: int) -> int:
    return TINY.span(0, frames)


@pytest.mark.parametrize("pipe", [False, True])
@pytest.mark.parametrize("calm", [1, 300])
def test_missing_and_foreign_bytes_leave_the_rest_in_its_place(calm: int, pipe: bool) -> None:
    codes = random_codes(PEARL, 4, 900, calm=calm)
    data, full = packed(codes), parse_header(packed(codes)).packet_frames
    a, b = len(data) // 4, len(data) // 2
    for changed in (data[:a] + data[a + 100 :], data[:a] + data[b:], data[:a] + b"x" * 77 + data[a:]):
        pieces, reader = read(changed, pipe)
        assert 1 <= check_pieces(pieces, codes, full) <= 5
        assert [piece.start for piece in pieces] == list(range(0, 900, full))
        assert sum(piece.length for piece in pieces) == reader.length == codes.length
        runs = [range(place.packet, place.packet + place.packets) for place in reader.damage if place.seconds]
        assert [number for run in runs for number in run] == [
            piece.start // full for piece in pieces if piece.lost is not None
        ]


def of_lost_packets(count: int, kept: int) -> bytes:
    """A file without seek table of `count` packets, all but every `kept`-th lost before it was written."""
    header = parse_header(packed(random_codes(PEARL, 1, 1)))
    whole = pack_raw(random_codes(PEARL, 1, header.packet_frames))
    parts = [header.packed]
    for n in range(count):
        there = n % kept == kept - 1
        parts.append(seal(full_tag(None if there else 0), whole if there else b"", header, n))
    total = PEARL.span(0, count * header.packet_frames)
    return b"".join([*parts, seal(last_tag(header, count, 0, total, None), b"", header, count)])


def test_a_run_of_lost_packets_is_told_once() -> None:
    pieces, reader = read(of_lost_packets(50, kept=20))
    assert sum(piece.lost is not None for piece in pieces) == 48
    lost = [(place.packet, place.packets) for place in reader.damage if place.seconds]
    assert lost == [(0, 19), (20, 19), (40, 10)]
    second = reader.damage[1]
    assert second.seconds == pytest.approx(sum(piece.length for piece in pieces[20:39]) / PEARL.sample_rate)
    assert second.start == pytest.approx(sum(piece.length for piece in pieces[:20]) / PEARL.sample_rate)
    told = list(reader.damage)
    reader.seek(0.0)
    assert sum(piece.lost is not None for piece in reader.packets()) == 48
    assert reader.damage == told  # heard twice, told once


def test_not_every_one_of_many_places_is_told() -> None:
    count = 2 * MOST_DAMAGE + 50
    pieces, reader = read(of_lost_packets(count, kept=2))
    assert len(reader.damage) == MOST_DAMAGE
    assert sum(place.seconds for place in reader.damage) == pytest.approx(
        sum(piece.length for piece in pieces if piece.lost is not None) / PEARL.sample_rate
    )
    last = reader.damage[-1]
    assert "not listed" in last.reason and last.packet + last.packets >= count - 1


def test_a_zeroed_stretch_is_silence_of_the_right_length() -> None:
    codes = random_codes(PEARL, 2, 8000)
    data = bytearray(packed(codes))
    data[5000:9096] = bytes(4096)
    for pipe in (False, True):
        pieces, _ = read(bytes(data), pipe)
        assert check_pieces(pieces, codes, 80) in (21, 22, 23)
        assert sum(piece.length for piece in pieces) == codes.length


def test_what_follows_the_end_is_reported() -> None:
    codes = random_codes(TINY, 2, 500)
    pieces, reader = read(packed(codes) + b"and more")
    assert check_pieces(pieces, codes, reader.header.packet_frames) == 0
    assert [damage.seconds for damage in reader.damage] == [0.0]
    data = packed(random_codes(TINY, 2, 900, calm=900))
    for changed in (data[:-1], data[:-9]):
        _, reader = read(changed)
        assert ["seek table" in damage.reason for damage in reader.damage] == [True]
    for changed in (data + b"x", data + data, packed(codes) + packed(codes)):  # the latter have no seek table
        _, reader = read(changed)
        assert ["the file goes on after its end" in damage.reason for damage in reader.damage] == [True]


def test_a_live_pipe_is_read_no_further_than_the_packets_reach() -> None:
    codes = random_codes(PEARL, 8, 200)
    data = packed(codes, raw=True)
    pipe = Pipe(data)
    reader = NacReader(pipe)  # type: ignore[arg-type]
    packets = reader.packets()
    next(packets)
    assert pipe.given == len(reader.header.packed) + 753
    assert reader.length is None
    assert len(list(packets)) == 2
    assert pipe.given == len(data)
    assert reader.length == codes.length


@settings(max_examples=80)
@given(any_codes(), st.lists(st.tuples(st.floats(0, 1), st.binary(max_size=6)), min_size=1, max_size=4), st.booleans())
def test_any_damage_ends_in_true_codes_or_a_plain_error(
    codes: Codes, edits: list[tuple[float, bytes]], pipe: bool
) -> None:
    data = packed(codes)
    for place, new in edits:
        at = int(place * len(data))
        data = data[:at] + new + data[at + len(new) // 2 :]
    try:
        pieces, reader = read(data, pipe)
    except DamagedError:
        return
    if reader.header != parse_header(packed(codes)):
        return
    inside = [piece for piece in pieces if piece.start + piece.frames <= codes.frames]
    check_pieces(inside, codes, reader.header.packet_frames)
    frames = np.cumsum([0, *(piece.frames for piece in pieces)])
    assert [piece.start for piece in pieces] == frames[:-1].tolist()


@pytest.mark.parametrize("bit", range(16))
def test_one_wrong_bit_in_the_last_tag_is_repaired_before_a_seek_table_too(bit: int) -> None:
    codes = random_codes(TINY, 2, 1000, calm=300)
    data = bytearray(packed(codes))
    index = NacReader(bytes(data))._sequence.index
    assert index is not None and index.offsets is not None
    data[index.offset(index.count) + (bit >> 3)] ^= 1 << (bit & 7)
    pieces, reader = read(bytes(data))
    assert Codes.join(pieces) == codes
    assert [place.reason for place in reader.damage] == ["one bit of the last packet was wrong; it was repaired"]


def test_a_damaged_file_says_the_same_when_it_is_read_again() -> None:
    codes = random_codes(TINY, 2, 2600 * 3)
    header = parse_header(packed(codes))
    step = header.packet_bytes + 3
    data = bytearray(packed(random_codes(TINY, 2, 100 * header.packet_frames)))
    del data[len(header.packed) + 20 * step : len(header.packed) + 60 * step], data[-1:]
    reader = NacReader(bytes(data))
    first = list(reader.packets())
    damage = list(reader.damage)
    assert sum(piece.lost is None for piece in first) > 50
    for _ in range(200):  # searches use up no budget between them
        reader.seek(0)
        assert list(reader.packets()) == first
    assert reader.damage == damage
