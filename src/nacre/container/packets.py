"""One packet of a `.nac` file: its tag, payload and checksum. docs/format.md has the bytes."""

from __future__ import annotations

from binascii import crc_hqx
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..codes import Codes, Level
from ..errors import DamagedError
from . import bits, entropy
from .header import MAX_PACKET, Header
from .priors import Counts
from .varint import Cursor, varint

RAW, CODED, LAST, LAST_CODED, ODD, ODD_CODED, COPY, TABLE = range(8)
MAX_LENGTH = 1 << 48  # samples in a file
MAX_TAG = 20  # bytes
FRAMING = 3  # bytes around the payload of a full raw packet


@dataclass(frozen=True)
class Packet:
    """What a tag says about the packet it begins."""

    kind: int
    frames: int
    head: int  # bytes of the tag
    size: int  # bytes of the payload
    total: int | None = None  # samples in the whole file, known from the last packet

    @property
    def whole(self) -> int:
        """Bytes of tag, payload and checksum."""
        return self.head + self.size + 2

    @property
    def last(self) -> bool:
        """Whether this packet ends the codes."""
        return self.kind >= LAST

    @property
    def coded(self) -> bool:
        """Whether the payload is entropy-coded."""
        return bool(self.kind & 1)

    @property
    def lost(self) -> bool:
        """Whether the packet only says that its frames were lost before the file was written."""
        return self.coded and self.frames > 0 and not self.size  # coded frames take a byte at least


def raw_size(header: Header, frames: int) -> int:
    """Bytes of the raw payload of `frames` frames."""
    if frames == header.packet_frames:
        return header.packet_bytes
    return (header.code_bits(frames) + 7) // 8


def begin(header: Header, number: int) -> int:
    """The first sample of packet `number`."""
    return header.info.span(0, number * header.packet_frames)


def parse_tag(data: bytes | bytearray, at: int, header: Header, number: int) -> Packet:
    """The packet whose tag stands at `data[at:]`; a DamagedError when no tag of packet `number` looks like that."""
    cursor = Cursor(data, at)
    value, kind = divmod(cursor.varint(8 * MAX_LENGTH + 7), 8)
    full, total, frames, size = header.packet_frames, None, header.packet_frames, value
    if kind in (COPY, TABLE) or (kind == RAW and value):
        raise DamagedError("expected a packet")
    if kind in (LAST, LAST_CODED):
        total = begin(header, number) + value
        frames = usual_frames(header, total) - number * full
    elif kind in (ODD, ODD_CODED):
        frames, total = value, cursor.varint(MAX_LENGTH)
    if not 0 <= frames <= full or (total or 0) > MAX_LENGTH or frames % header.granule:
        raise DamagedError(f"expected a packet of 0 to {full} frames, got {frames}")
    if kind in (LAST_CODED, ODD_CODED):
        size = cursor.varint(MAX_PACKET)
    most = raw_size(header, frames)
    if kind & 1 and size > most:
        raise DamagedError(f"expected at most {most} bytes for {frames} frames, got {size}")
    return Packet(kind, frames, cursor.at - at, size if kind & 1 else most, total)


def number_at(data: bytes | bytearray, at: int, packet: Packet, header: Header) -> int | None:
    """The packet's number modulo 65536 as its checksum tells it; None when its end is not in `data`."""
    end = at + packet.whole - 2
    if end + 2 > len(data):
        return None
    stored = int.from_bytes(data[end : end + 2], "big")
    return stored ^ crc_hqx(memoryview(data)[at:end], header.crc)


def check_number(data: bytes | bytearray, at: int, packet: Packet, header: Header, number: int) -> bool:
    """Whether the packet is undamaged and really number `number`."""
    return number_at(data, at, packet, header) == number & 0xFFFF


def seal(tag: bytes, payload: bytes, header: Header, number: int) -> bytes:
    """Tag, payload and the checksum that fits packet `number`."""
    crc = crc_hqx(tag + payload, header.crc) ^ (number & 0xFFFF)
    return tag + payload + crc.to_bytes(2, "big")


def full_tag(coded: int | None) -> bytes:
    """The tag of a full packet: raw, or `coded` bytes of entropy-coded payload."""
    return varint(RAW) if coded is None else varint(8 * coded + CODED)


def last_tag(header: Header, number: int, frames: int, total: int, coded: int | None) -> bytes:
    """The tag of the last packet, `number`, of a file of `total` samples."""
    samples = total - begin(header, number)
    usual = samples >= 0 and usual_frames(header, total) - number * header.packet_frames == frames
    kind = (LAST if usual else ODD) + (coded is not None)
    tag = varint(8 * samples + kind) if usual else varint(8 * frames + kind) + varint(total)
    return tag if coded is None else tag + varint(coded)


def pack_raw(codes: Codes) -> bytes:
    """Scales, then every code at its true width, level by level."""
    spread = [bits.spread(level, width) for level, width in zip(codes.levels, codes.info.bits, strict=False)]
    return _scale_bytes(codes) + np.packbits(np.concatenate(spread), bitorder="little").tobytes()


def pack_coded(codes: Codes, tables: tuple[Counts, ...]) -> bytes:
    """Scales, then the entropy-coded levels."""
    return _scale_bytes(codes) + entropy.encode(codes.levels, codes.info, tables)


def unpack(
    payload: bytes, packet: Packet, header: Header, tables: tuple[Counts, ...]
) -> tuple[tuple[Level, ...], NDArray[np.float32] | None]:
    """Levels and scales `[1, scales]` of a packet; a DamagedError when the payload holds what cannot be."""
    info, scale = header.info, None
    counts = [packet.frames // stride for stride in info.strides[: header.levels]]
    if info.segment:
        scale, payload = _unpack_scale(payload, header.scales(packet.frames))
    if packet.coded:
        return entropy.decode(payload, counts, info, tables), scale
    flags, levels, at = np.unpackbits(np.frombuffer(payload, np.uint8), bitorder="little"), [], 0
    for count, width, size in zip(counts, info.bits, info.codebook_sizes, strict=False):
        level = bits.gather(flags[at : at + count * width], width)[None]
        if count and int(level.max()) >= size:
            raise DamagedError(f"expected codes below {size}, got {level.max()}")
        levels.append(level)
        at += count * width
    return tuple(levels), scale


def usual_frames(header: Header, total: int) -> int:
    """Frames that code `total` samples: whole turns of all levels."""
    stride = header.info.stride
    return -(-header.info.frames(total) // stride) * stride


def _unpack_scale(payload: bytes, count: int) -> tuple[NDArray[np.float32], bytes]:
    if len(payload) < 4 * count:
        raise DamagedError(f"expected {count} scales, got {len(payload)} bytes")
    scale = np.frombuffer(payload, "<f4", count).astype(np.float32)[None]
    if not np.isfinite(scale).all():
        raise DamagedError("the scales of a packet are no finite numbers")
    return scale, payload[4 * count :]


def _scale_bytes(codes: Codes) -> bytes:
    return b"" if codes.scale is None else codes.scale.astype("<f4").tobytes()
