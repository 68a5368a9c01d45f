"""index: what it says about every packet's place is where the packet is."""

from __future__ import annotations

import io

import pytest
from random_codes import CODECS, PEARL, TINY, packed, random_codes

from nacre.codes import CodecInfo
from nacre.container.header import Header, parse_header
from nacre.container.index import Index, TableWriter, locate, table_size
from nacre.container.packets import COPY, parse_tag
from nacre.container.writer import NacWriter


def indexed(data: bytes) -> tuple[Header, Index | None]:
    header = parse_header(data)
    return header, locate(io.BytesIO(b"before" + data), 6, header)


def places(data: bytes, header: Header) -> list[int]:
    """Where packets begin, found by walking over all of them."""
    at, found = len(header.packed), list[int]()
    while True:
        if data[at] == COPY:
            at += 1 + len(header.packed)
        found.append(at)
        packet = parse_tag(data, at, header, len(found) - 1)
        at += packet.whole
        if packet.last:
            return found


@pytest.mark.parametrize("calm", [1, 300])
@pytest.mark.parametrize("info", CODECS, ids=lambda info: info.name)
def test_offsets_are_where_the_packets_are(info: CodecInfo, calm: int) -> None:
    codes = random_codes(info, min(4, info.levels), 2500, calm=calm)
    data = packed(codes)
    header, index = indexed(data)
    assert index is not None
    assert (index.offsets is None) == (calm == 1)
    assert index.length == codes.length
    assert index.count == max(0, codes.frames - 1) // header.packet_frames
    assert [index.offset(number) for number in range(index.count + 1)] == places(data, header)


def test_copies_of_the_header_are_stepped_over() -> None:
    sink = io.BytesIO()
    codes = random_codes(PEARL, 8, 1000)
    with NacWriter(sink, PEARL, 8, raw=True, announce=3) as writer:
        writer.write(codes)
    header, index = indexed(sink.getvalue())
    assert index is not None
    assert sink.getvalue().count(header.packed) == 1 + 13 // 3
    assert [index.offset(number) for number in range(14)] == places(sink.getvalue(), header)


def test_a_file_cut_or_grown_in_the_middle_has_no_index() -> None:
    for calm in (1, 300):
        data = packed(random_codes(TINY, 2, 2500, calm=calm))
        for changed in (data[:100] + data[101:], data[:100] + b"x" + data[100:], data[:-1], data + b"x"):
            assert indexed(changed)[1] is None
        assert indexed(data[:100] + b"x" + data[101:])[1] is not None


def test_a_table_is_only_written_where_it_is_needed_and_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    header = Header(PEARL, 2)
    table = TableWriter()
    for _ in range(1000):
        table.raw()
    assert table.packed(header, 5, 9) == b""
    table.coded(100)
    data = table.packed(header, 5, 9)
    assert data[:-6] == bytes([8 * 6 + 7, 5, 9, 0, 0xE8, 7, 102])
    assert table_size(data, 0, header) == len(data) == int.from_bytes(data[-4:], "big")
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit >> 3] ^= 1 << (bit & 7)
        assert table_size(flipped, 0, header) is None
    monkeypatch.setattr("nacre.container.index.MAX_TABLE", 4)
    assert table.packed(header, 5, 9) == b""


def test_a_table_cannot_promise_more_than_the_file_holds() -> None:
    header = Header(PEARL, 2)
    table = TableWriter()
    table._run = 1 << 40
    table.coded(1)
    data = header.packed + table.packed(header, 5, 9)
    assert locate(io.BytesIO(data), 0, header) is None
