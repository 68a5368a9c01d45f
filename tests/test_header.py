"""header: every field comes back, every limit holds on both sides, every flipped bit is noticed."""

from __future__ import annotations

from binascii import crc_hqx
from dataclasses import replace
from math import lcm

import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_codes import CODECS, ENCODEC_48K, HAC, ODD, PEARL, SNAC, infos

from nacre.codes import CodecInfo
from nacre.container.header import LEAD, LIMITS, Header, metadata_size, parse_header
from nacre.container.varint import varint
from nacre.errors import DamagedError, InputError

TAGS = st.dictionaries(st.text(min_size=1, max_size=10), st.text(max_size=40), max_size=5)


def sealed(metadata: bytes) -> bytes:
    data = LEAD.pack(b"NAC", 1, len(metadata), 1) + metadata
    return data + crc_hqx(data, 0xFFFF).to_bytes(2, "big")


@given(infos(), st.data(), TAGS, st.sampled_from([0, 1, 5000]))
def test_every_field_comes_back(info: CodecInfo, data: st.DataObject, tags: dict[str, str], prior: int) -> None:
    header = Header(info, data.draw(st.integers(1, info.levels)), tags, prior)
    back = parse_header(header.packed + b"surplus")
    assert back == header
    assert (back.info, back.tags, back.crc, back.packed) == (info, tags, header.crc, header.packed)


def test_a_worked_header() -> None:
    data = Header(PEARL, 2).packed
    assert data[:9] == bytes.fromhex("4e414301 00000016 02")  # NAC, version 1, 22 bytes of metadata, 1.5 kbit/s
    assert data[9:12] == bytes([4 + 8, 6 << 4 | 8, 66 + 1])  # delay and preroll; 24000 and 320; 12 levels, 2 of them
    assert data[12:13] == bytes([2 * 10])  # 1024 entries, on all levels
    assert data[13:16] == varint(480) + bytes([40])
    assert data[16] == 4 * 9 + 2 + 1  # nine packed letters, a digest of 8 bytes
    assert data[17:19] == ((16 * 40 + 5) * 40 + 1).to_bytes(2, "big")  # p, e, a
    assert data[23:31] == bytes.fromhex(PEARL.digest)
    assert len(data) == 34 - 1  # no table


@pytest.mark.parametrize("info", CODECS, ids=lambda info: info.name)
def test_a_flipped_bit_is_noticed(info: CodecInfo) -> None:
    data = Header(info, 1, {"title": "x"}).packed
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit >> 3] ^= 1 << (bit & 7)
        if bit >> 3 != 8 or flipped[8]:
            with pytest.raises(DamagedError):
                parse_header(bytes(flipped))
    for end in range(len(data)):
        with pytest.raises(DamagedError):
            parse_header(data[:end])


@pytest.mark.parametrize(
    ("info", "levels", "frames", "seconds"),
    [(HAC, 1, 92, 1.23), (PEARL, 2, 80, 1.07), (PEARL, 8, 75, 1.0), (SNAC, 3, 80, 1.71), (ENCODEC_48K, 4, 150, 1.0)],
)
def test_packets_of_about_a_second(info: CodecInfo, levels: int, frames: int, seconds: float) -> None:
    header = Header(info, levels)
    assert header.packet_frames == frames
    assert frames * info.hop / info.sample_rate == pytest.approx(seconds, abs=0.005)


@given(infos(), st.data())
def test_packets_hold_whole_units_and_keep_framing_small(info: CodecInfo, data: st.DataObject) -> None:
    header = Header(info, data.draw(st.integers(1, info.levels)))
    frames, unit = header.packet_frames, lcm(*info.strides, info.segment or 1)
    count, bits = frames // unit, header.code_bits(frames)
    assert frames == count * unit
    assert bits == count * header.unit_bits <= 1 << 19
    codes = sum(frames // stride for stride in info.strides[: header.levels])
    assert max(frames, codes) <= 1 << 16
    full = max(bits + header.unit_bits, 8 * (frames + unit), 8 * codes * (count + 1) / count) > 1 << 19
    assert full or 0.015 * bits >= 24 + -bits % 8


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("sample_rate", (1 << 20) + 1),
        ("channels", 256),
        ("hop", (1 << 16) + 1),
        ("codebook_sizes", (4,) * 129),
        ("strides", (4097,) * 12),
        ("strides", (4001, 4003, *[1] * 10)),
        ("delay", (1 << 20) + 1),
        ("preroll", (1 << 16) + 1),
        ("segment", (1 << 16) + 1),
        ("name", "x" * 65),
        ("name", ""),
        ("digest", "0" * 66),
        ("digest", "xyz"),
        ("digest", "ABCD"),
    ],
)
def test_a_writer_refuses_what_passes_the_limits(field: str, value: object) -> None:
    info = replace(PEARL, **{"strides": (), field: value})
    with pytest.raises(InputError):
        _ = Header(info, 1).packed


@pytest.mark.parametrize("tags", [{"": "x"}, {"k" * 65: ""}, {"k": "v" * 4097}, {str(i): "" for i in range(65)}])
def test_tags_have_limits(tags: dict[str, str]) -> None:
    with pytest.raises(InputError):
        Header(PEARL, 1, tags)
    with pytest.raises(InputError, match="fewer tags"):
        _ = Header(PEARL, 1, {str(i): "v" * 4096 for i in range(20)}).packed
    for tags in ({"\udcff": "x"}, {"x": "\udcff"}):  # what a shell makes of a byte that is no UTF-8
        with pytest.raises(InputError, match=r"text in UTF-8, got '.udcff'"):
            Header(PEARL, 1, tags)


def test_a_reader_refuses_hostile_fields() -> None:
    good = Header(ODD, 2, {"a": "b"}).packed[9:-2]
    assert parse_header(sealed(good)).info == ODD
    assert metadata_size(LEAD.pack(b"NAC", 1, 65535, 1)) == 65535
    with pytest.raises(DamagedError, match="at most 65535"):
        metadata_size(LEAD.pack(b"NAC", 1, 65536, 1))
    with pytest.raises(DamagedError, match="newer nacre"):
        metadata_size(LEAD.pack(b"NAC", 2, 4, 1))
    for lead, seen in (
        (b"RIFF12345", "WAV, which is sound already"),
        (b"", "no bytes at all"),
        (b"x" * 9, "'xxxx'"),
    ):
        with pytest.raises(DamagedError, match=f"begins with 'NAC', got {seen}$"):
            metadata_size(lead)
    for metadata in (
        b"",
        good + b"\0",
        good[:-1],
        bytes([0, 0xFF]) + good[2:],  # no such rate
        bytes([0, 0x68]) + varint(LIMITS["levels"] * 200),  # too many levels
        bytes([0, 0x68, 0, 2 * 10, 4 * 1 + 1, 0xFF, 0xFF]),  # a letter that does not exist
        bytes([0, 0x68, 0, 2 * 10, 4 * 3 + 1, 0, 0]),  # letters that are none
        bytes([0, 0x68, 0, 2 * 10, 4 * 1, 0xFF]),  # not UTF-8
        bytes([0, 0x68, 0, 2 * 10, 4 * 0]),  # no name
        bytes([0, 0x68, 0, 2 * 0, 4 * 1, 65]),  # a codebook of one entry
        bytes([0, 0x68, 0]) + varint(2 * ((1 << 20) + 19)) + bytes([4, 65]),  # a codebook too large
        bytes([1, 0x68, 0, 2 * 10, 0, 4, 65]),  # no channels
        bytes([2, 0x68, 0, 2 * 10, 0, 4, 65]),  # no stride
        bytes([128, 0x68, 0, 2 * 10, 4, 65, 2, 1, 65, 0, 1, 65, 0]),  # a tag twice
    ):
        with pytest.raises(DamagedError):
            parse_header(sealed(metadata))
