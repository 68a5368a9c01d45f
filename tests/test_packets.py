"""packets: tags say what they must, checksums know the place, payloads come back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_codes import ENCODEC_48K, ODD, PEARL, TINY, any_codes, random_codes

from nacre.codes import Codes
from nacre.container import packets, priors
from nacre.container.header import Header
from nacre.container.varint import varint
from nacre.errors import DamagedError

HEADER = Header(PEARL, 8)


@given(any_codes(), st.booleans(), st.integers(0, 3))
def test_the_last_packet_comes_back(codes: Codes, coded: bool, number: int) -> None:
    header = Header(codes.info, len(codes.levels))
    if not 0 < codes.frames <= header.packet_frames:
        return
    tables = priors.tables(codes.info)
    payload = packets.pack_coded(codes, tables) if coded else packets.pack_raw(codes)
    tag = packets.last_tag(header, number, codes.frames, codes.length, len(payload) if coded else None)
    data = packets.seal(tag, payload, header, number)
    if len(payload) > packets.raw_size(header, codes.frames):  # no writer would
        return
    packet = packets.parse_tag(data, 0, header, number)
    assert (packet.last, packet.coded, packet.whole) == (True, coded, len(data))
    assert (packet.frames, packet.total) == (codes.frames, codes.length)
    assert packets.number_at(data, 0, packet, header) == number
    assert not packets.check_number(data, 0, packet, header, number + 1)
    levels, scale = packets.unpack(payload, packet, header, tables)
    assert Codes(levels, codes.length, codes.info, 0, scale) == codes


def test_known_tags() -> None:
    assert packets.full_tag(None) == b"\0"
    assert packets.full_tag(100) == varint(801)
    assert packets.last_tag(HEADER, 0, 2, 100, None) == varint(8 * 100 + 2)  # 100 samples and 480 of delay
    assert packets.last_tag(HEADER, 1, 1, 75 * 320 - 479, 7) == varint(8 * 1 + 3) + b"\x07"
    assert packets.last_tag(HEADER, 0, 3, 100, None) == varint(8 * 3 + 4) + b"\x64"
    assert packets.last_tag(HEADER, 0, 0, 0, None) == b"\x02"
    assert packets.begin(HEADER, 2) == 2 * 75 * 320 - 480


@pytest.mark.parametrize(
    "tag",
    [
        varint(8),  # a raw packet says no number
        varint(8 * 751 + 1),  # coded and larger than raw
        varint(8 * (1 << 48) + 2),  # too many samples
        varint(8 * 76 + 4) + b"\0",  # too many frames
        varint(8 * 4 + 5) + b"\0" + varint(41),
        varint(8 * 4 + 4) + varint((1 << 48) + 1),
        b"\x06",
        b"\x07",
        b"\xff" * 20,
        b"\x80",
    ],
)
def test_senseless_tags_are_refused(tag: bytes) -> None:
    with pytest.raises(DamagedError):
        packets.parse_tag(tag, 0, HEADER, 0)


def test_frames_are_whole_turns_of_all_levels() -> None:
    header = Header(ODD, 4)
    assert packets.parse_tag(varint(8 * 6 + 4) + b"\0", 0, header, 0).frames == 6
    with pytest.raises(DamagedError):
        packets.parse_tag(varint(8 * 7 + 4) + b"\0", 0, header, 0)
    assert packets.parse_tag(varint(8 * 7 + 4) + b"\0", 0, Header(ODD, 1), 0).frames == 7


def test_payloads_that_hold_what_no_codec_says_are_refused() -> None:
    header = Header(TINY, 2)
    packet = packets.Packet(packets.RAW, 4, 1, 3)
    with pytest.raises(DamagedError, match="codes below 3, got 3"):
        packets.unpack(b"\0\0\xff", packet, header, ())
    header = Header(ENCODEC_48K, 2)
    codes = random_codes(ENCODEC_48K, 2, 150)
    payload = packets.pack_raw(codes)
    packet = packets.Packet(packets.RAW, 150, 1, len(payload))
    assert packets.unpack(payload, packet, header, ())[1] == codes.scale
    with pytest.raises(DamagedError, match="scales"):
        packets.unpack(b"\0\0\xc0\x7f" + payload[4:], packet, header, ())
    with pytest.raises(DamagedError, match="scales"):
        packets.unpack(b"\0", packets.Packet(packets.CODED, 150, 1, 1), header, ())


def test_a_packet_cut_short_has_no_number() -> None:
    data = packets.seal(b"\0", bytes(750), HEADER, 3)
    packet = packets.parse_tag(data, 0, HEADER, 3)
    assert packets.number_at(data, 0, packet, HEADER) == 3
    assert packets.number_at(data[:-1], 0, packet, HEADER) is None
