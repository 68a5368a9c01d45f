"""reader: any place of a file, any kind of source, streams taken up in the middle, memory that does not grow."""

from __future__ import annotations

import io
import os
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_codes import ENCODEC_48K, PEARL, SNAC, TINY, packed, random_codes
from test_source import Pipe

from nacre.codes import CodecInfo, Codes
from nacre.container import legacy
from nacre.container import reader as room
from nacre.container.reader import NacReader
from nacre.container.writer import NacWriter
from nacre.errors import DamagedError, InputError

CODES = {
    (info.name, calm): random_codes(info, min(4, info.levels), 1200, calm=calm)
    for info in (PEARL, SNAC, ENCODEC_48K, TINY)
    for calm in (1, 300)
}
FILES = {key: packed(codes, title="höre") for key, codes in CODES.items()}


@settings(max_examples=40)
@given(st.sampled_from(sorted(CODES)), st.lists(st.tuples(st.integers(0, 1300), st.integers(0, 500)), max_size=4))
def test_any_stretch_of_frames(key: tuple[str, int], stretches: list[tuple[int, int]]) -> None:
    codes, reader = CODES[key], NacReader(FILES[key])
    unit = reader.header.unit
    for start, count in stretches:
        first = start // unit * unit
        last = first + count // unit * unit
        found = reader.read_frames(first, last)
        expected = codes.cut(min(first, 1200), max(min(first, 1200), last))
        assert found.levels[0].shape == expected.levels[0].shape
        assert found == expected or found.frames == 0
    assert not reader.damage
    assert reader.read() == codes


def test_a_stretch_of_time_holds_its_frames() -> None:
    reader, codes = NacReader(FILES["snac-24k", 1]), CODES["snac-24k", 1]
    found = reader.read(10.0, 11.0)
    assert found.start == 240000 // 512 // 4 * 4
    assert found.start + found.frames == -(-(264000 // 512 + 1) // 4) * 4
    assert found == codes.cut(found.start, found.start + found.frames)
    assert reader.read(20.0) == codes.cut(480000 // 512 // 4 * 4, 1200)
    assert reader.read(1e6).frames == 0
    delayed = NacReader(FILES["pearl-24k", 1]).read(1.0, 2.0)
    assert delayed.start == (24000 + 480) // 320
    with pytest.raises(InputError):
        reader.read_frames(8, 4)


def test_seeking_goes_to_the_packet() -> None:
    reader = NacReader(FILES["pearl-24k", 300])
    full = reader.header.packet_frames
    assert reader.seek(5.0) == 5 * full
    pieces = reader.packets()
    assert next(pieces).start == 5 * full
    assert reader.seek(0.0) == 0
    assert next(pieces).start == 0
    assert reader.seek(1e9) == 1200 // full * full - (full if 1200 % full == 0 else 0)
    assert len(list(pieces)) == 1


def test_seeking_without_an_index_walks() -> None:
    key = "pearl-24k", 1
    data = FILES[key] + b"x"
    reader = NacReader(data)
    assert reader.length is None
    assert reader.read_frames(700, 800) == CODES[key].cut(700, 800)
    assert reader.read_frames(80, 100) == CODES[key].cut(80, 100)
    pipe = NacReader(Pipe(FILES[key]))  # type: ignore[arg-type]
    assert pipe.read_frames(700, 800) == CODES[key].cut(700, 800)
    with pytest.raises(InputError, match="cannot go back in a pipe"):
        pipe.seek(0.0)


def test_files_pipes_and_bytes_say_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, codes = FILES["encodec-48k", 1], CODES["encodec-48k", 1]
    path = tmp_path / "x.nac"
    path.write_bytes(data)

    class Stdin:
        buffer = Pipe(data, most=100)

    monkeypatch.setattr(sys, "stdin", Stdin)
    file = io.BytesIO(b"before" + data)
    file.seek(6)
    for source in (path, str(path), data, file, "-"):
        with NacReader(source) as reader:
            assert (reader.info, reader.levels, reader.tags) == (ENCODEC_48K, 4, {"title": "höre"})
            assert (reader.length is None) == (source == "-")
            assert reader.read() == codes
            assert (reader.length, reader.size) == (codes.length, len(data))
            assert reader.damage == []


def test_a_stream_is_joined_with_the_header_from_elsewhere() -> None:
    key = "snac-24k", 300
    header = NacReader(FILES[key]).header.packed
    for cut in range(len(header) + 1, len(FILES[key]) - 900, 41):
        reader = NacReader(Pipe(FILES[key][cut:]), join=header)  # type: ignore[arg-type]
        pieces = list(reader.packets())
        first = pieces[0].start
        assert first > 0
        assert Codes.join(pieces) == CODES[key].cut(first, 1200)
        assert (reader.damage, reader.length) == ([], CODES[key].length)
    with pytest.raises(DamagedError, match="no whole packets"):
        NacReader(b"x" * 5000, join=header)
    with pytest.raises(DamagedError):
        NacReader(FILES[key], join=b"no header")


def test_a_broadcast_is_joined_with_the_header_it_repeats() -> None:
    codes, sink = CODES["pearl-24k", 1], io.BytesIO()
    with NacWriter(sink, PEARL, 4, tags={"station": "x"}, announce=2) as writer:
        writer.write(codes)
    data = sink.getvalue()
    assert NacReader(data).read() == codes
    for cut in (1, 700, 1500):
        reader = NacReader(Pipe(data[cut:]), join=b"")  # type: ignore[arg-type]
        pieces = list(reader.packets())
        assert reader.tags == {"station": "x"}
        assert pieces[0].start in (150, 300)
        assert Codes.join(pieces) == codes.cut(pieces[0].start, 1200)
    with pytest.raises(DamagedError, match="no header"):
        NacReader(data[-300:], join=b"")


def test_reading_all_at_once_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MAX_READ", 1200 * 4 - 1)
    with pytest.raises(InputError, match="piece by piece"):
        NacReader(FILES["pearl-24k", 1]).read()


class Endless:
    """A pipe that makes up packets as they are asked for, without end."""

    def __init__(self, info: CodecInfo, packets: int) -> None:
        self.sink, self.packets = io.BytesIO(), packets
        self.writer = NacWriter(self.sink, info, 1)
        self.codes = random_codes(info, 1, self.writer.header.packet_frames)
        self.count = 0

    def read(self, count: int) -> bytes:
        while self.sink.tell() < count and self.count < self.packets:
            start = self.count * self.codes.frames
            self.writer.write(Codes(self.codes.levels, self.codes.length, self.codes.info, start))
            self.count += 1
        data = self.sink.getvalue()
        self.sink.seek(0)
        self.sink.truncate()
        self.sink.write(data[count:])
        return data[:count]


def test_memory_does_not_grow_with_length() -> None:
    peaks = []
    for packets in (20, 1500):
        reader = NacReader(Endless(TINY, packets))  # type: ignore[arg-type]
        pieces = reader.packets()
        next(pieces)
        tracemalloc.start()
        count = sum(int(np.any(piece.levels[0])) for piece in pieces)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert count >= packets - 3
    assert peaks[1] < peaks[0] + 500_000  # Python keeps some thousand freed tuples; the codes would take 5 MB


def test_a_joined_stream_does_not_go_back() -> None:
    key = "snac-24k", 300
    header = NacReader(FILES[key]).header.packed
    with NacReader(FILES[key][len(header) + 1 :], join=header) as reader, pytest.raises(InputError, match="go back"):
        reader.read()


@pytest.mark.parametrize("seconds", [float("inf"), float("nan")])
def test_seeking_takes_numbers(seconds: float) -> None:
    with pytest.raises(InputError, match="expected a number of seconds"):
        NacReader(FILES["snac-24k", 300]).seek(seconds)


@pytest.mark.skipif(not os.path.exists("/proc/self/mem"), reason="a Linux file that opens and cannot be read")
@pytest.mark.parametrize("open_it", [NacReader, legacy.read])
def test_a_disk_that_fails_is_a_sentence(open_it: Callable[[str], Any]) -> None:
    with pytest.raises(InputError, match=r"/proc/self/mem cannot be read: Input/output error"):
        open_it("/proc/self/mem")
