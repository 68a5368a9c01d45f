"""The head of a `.nac` file: who made the codes, how many levels, tags. docs/format.md has the bytes."""

from __future__ import annotations

import struct
from binascii import crc_hqx
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import isqrt, lcm

from ..codes import CodecInfo
from ..errors import DamagedError, InputError
from .varint import Cursor, varint

MAGIC = b"NAC"
VERSION = 1
LEAD = struct.Struct("!3sBIB")  # as in 2023: magic, version, bytes of metadata, bitrate
MAX_METADATA = 65535
MAX_PACKET = 1 << 16  # bytes, frames and codes of one packet
LIMITS = {  # the largest value a header may hold, see docs/format.md
    "sample_rate": 1 << 20,
    "channels": 255,
    "hop": 1 << 16,
    "levels": 128,
    "stride": 4096,
    "delay": 1 << 20,
    "preroll": 1 << 16,
    "segment": 1 << 16,
    "overlap": 1 << 20,
    "unit": 1 << 16,
    "name": 64,
    "digest": 32,
    "tags": 64,
    "tag": 64,
    "tag value": 4096,
    "prior": 1 << 16,
}
_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 96000)
_HOPS = (80, 120, 128, 160, 240, 256, 300, 320, 384, 480, 512, 600, 640, 960, 1920)
_OVERLAPS = 1 << 17  # added to a segment, says that the overlap follows
_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789-._"
_SOUNDS = {b"RIFF": "WAV", b"fLaC": "FLAC", b"OggS": "Ogg", b"FORM": "AIFF", b"ID3": "MP3", b"\xff\xfb": "MP3"}
_DIGEST_BYTES = 8  # of the usual digest, 16 hexadecimal digits
_CHANNELS, _STRIDES, _DELAY, _PREROLL, _SEGMENT, _DIGEST, _PRIOR, _TAGS = (1 << i for i in range(8))


@dataclass(frozen=True)
class Header:
    """What a `.nac` file says before its first packet."""

    info: CodecInfo
    levels: int  # the file holds the first `levels` levels
    tags: Mapping[str, str] = field(default_factory=dict)
    prior: int = 0  # number of the static table of the entropy coder, 0 for the flat one

    def __post_init__(self) -> None:
        info = self.info
        info.check_levels(self.levels)
        for name in ("sample_rate", "channels", "hop", "levels", "delay", "preroll", "segment", "overlap"):
            _check(name, getattr(info, name))
        _check("stride", max(info.strides))
        _check("unit", self.unit)
        _check("prior", self.prior)
        _check("name", len(info.name.encode()), 1)
        _check("tags", len(self.tags))
        for key, value in self.tags.items():
            _check("tag", len(_encode(key)), 1)
            _check("tag value", len(_encode(value)))
        if self.packet_frames < 1:
            raise InputError(f"{info.name} takes more than {MAX_PACKET} codes or bytes before it can be cut")

    @cached_property
    def unit(self) -> int:
        """Frames after which codes may be cut: all levels and the scales start anew."""
        return lcm(self.info.stride, self.info.segment or 1)

    @cached_property
    def unit_bits(self) -> int:
        """Bits that one unit takes raw, scales included."""
        info = self.info
        codes = zip(info.bits[: self.levels], info.strides, strict=False)
        return sum(bits * self.unit // stride for bits, stride in codes) + 32 * self.scales(self.unit)

    @cached_property
    def packet_frames(self) -> int:
        """Frames of a full packet: about a second, more where framing would pass 1.5 %."""
        info, unit, bits = self.info, self.unit, self.unit_bits
        count = max(1, (2 * info.sample_rate + info.hop * unit) // (2 * info.hop * unit))
        while 15 * count * bits < 1000 * (24 + -count * bits % 8):
            count += 1
        codes = sum(unit // stride for stride in info.strides[: self.levels])
        return unit * min(count, 8 * MAX_PACKET // bits, MAX_PACKET // unit, MAX_PACKET // codes)

    @cached_property
    def packet_bytes(self) -> int:
        """Bytes of a full packet's raw payload."""
        return (self.code_bits(self.packet_frames) + 7) // 8

    @cached_property
    def granule(self) -> int:
        """Frames after which all levels that are present start anew."""
        return lcm(*self.info.strides[: self.levels])

    def scales(self, frames: int) -> int:
        """How many scale values `frames` frames carry."""
        return -(-frames // self.info.segment) if self.info.segment else 0

    def code_bits(self, frames: int) -> int:
        """Bits of the raw codes and scales of `frames` frames."""
        info = self.info
        codes = zip(info.bits[: self.levels], info.strides, strict=False)
        return sum(bits * -(-frames // stride) for bits, stride in codes) + 32 * self.scales(frames)

    @cached_property
    def packed(self) -> bytes:
        """The header's bytes, its checksum included."""
        metadata = _metadata(self)
        if len(metadata) > MAX_METADATA:
            raise InputError(f"the header takes {len(metadata)} bytes, at most {MAX_METADATA} fit; use fewer tags")
        kbps = min(255, max(1, round(self.info.bitrate(self.levels) / 1000)))
        data = LEAD.pack(MAGIC, VERSION, len(metadata), kbps) + metadata
        return data + crc_hqx(data, 0xFFFF).to_bytes(2, "big")

    @cached_property
    def crc(self) -> int:
        """The header's checksum, from which those of the packets start."""
        return int.from_bytes(self.packed[-2:], "big")


def metadata_size(lead: bytes) -> int:
    """Bytes of metadata that the nine leading bytes promise; an error when they do not begin a version 1 file."""
    if len(lead) < LEAD.size or lead[:3] != MAGIC:
        raise DamagedError(f"expected a .nac file, which begins with 'NAC', got {_beginning(lead)}")
    _, version, size, _ = LEAD.unpack_from(lead)
    if version != VERSION:
        raise DamagedError(
            f"expected a .nac file of version {VERSION}, got version {version}; a newer nacre may read it"
        )
    if size > MAX_METADATA:
        raise DamagedError(f"the header promises {size} bytes of metadata, at most {MAX_METADATA} are allowed")
    return int(size)


def _beginning(lead: bytes) -> str:
    """What bytes that begin no `.nac` file look like, in words."""
    if not lead:
        return "no bytes at all"
    kind = next((kind for magic, kind in _SOUNDS.items() if lead.startswith(magic)), None)
    return f"{kind}, which is sound already" if kind else repr(bytes(lead[:4]))[1:]


def parse_header(data: bytes) -> Header:
    """The header at the beginning of `data`; surplus bytes are ignored."""
    end = LEAD.size + metadata_size(data)
    if len(data) < end + 2:
        raise DamagedError(f"the file ends inside its header: expected {end + 2} bytes, got {len(data)}")
    if crc_hqx(data[:end], 0xFFFF) != int.from_bytes(data[end : end + 2], "big"):
        raise DamagedError("the header is damaged: its checksum does not fit; fetch the file again")
    try:
        header = _parse(Cursor(data[LEAD.size : end]))
    except InputError as error:
        raise DamagedError(f"the header holds what no codec has: {error}") from error
    header.__dict__["packed"] = bytes(data[: end + 2])  # as it came, for checksums and copies
    return header


def _metadata(header: Header) -> bytes:
    info, rest = header.info, bytearray()
    flags = 0
    optional: list[tuple[int, Sequence[int]]] = [
        (_CHANNELS, [info.channels] if info.channels != 1 else []),
        (_STRIDES, info.strides if max(info.strides) != 1 else []),
        (_DELAY, [info.delay] if info.delay else []),
        (_PREROLL, [info.preroll] if info.preroll else []),
        (_SEGMENT, _pack_segment(info)),
    ]
    rest += varint(info.levels * (info.levels - 1) // 2 + header.levels - 1)
    rest += _pack_sizes(info.codebook_sizes)
    for flag, values in optional:
        flags |= flag if values else 0
        rest += b"".join(varint(value) for value in values)
    digest = _digest_bytes(info.digest)
    rest += _pack_name(info.name, len(digest) == _DIGEST_BYTES)
    if digest and len(digest) != _DIGEST_BYTES:
        flags |= _DIGEST
        rest += varint(len(digest))
    rest += digest
    if header.prior:
        flags |= _PRIOR
        rest += varint(header.prior)
    if header.tags:
        flags |= _TAGS
        rest += varint(len(header.tags))
        rest += b"".join(_pack_bytes(text.encode()) for pair in header.tags.items() for text in pair)
    return bytes([flags]) + _pack_rate(info) + bytes(rest)


def _parse(at: Cursor) -> Header:
    flags, both = at.byte(), at.byte()
    sample_rate = _pick(_RATES, both >> 4, at)
    hop = _pick(_HOPS, both & 15, at)
    pair = at.varint(LIMITS["levels"] * (LIMITS["levels"] + 1) // 2 - 1)
    count = (isqrt(8 * pair + 1) + 1) // 2
    levels = pair - count * (count - 1) // 2 + 1
    sizes = _parse_sizes(at, count)
    channels = at.varint(LIMITS["channels"]) if flags & _CHANNELS else 1
    strides = tuple(at.varint(LIMITS["stride"]) for _ in range(count)) if flags & _STRIDES else ()
    delay = at.varint(LIMITS["delay"]) if flags & _DELAY else 0
    preroll = at.varint(LIMITS["preroll"]) if flags & _PREROLL else 0
    segment = at.varint(2 * _OVERLAPS) if flags & _SEGMENT else 0
    overlap = at.varint(LIMITS["overlap"]) if segment > _OVERLAPS else 0
    segment %= _OVERLAPS
    name, size = _parse_name(at)
    if flags & _DIGEST:
        size = at.varint(LIMITS["digest"])
    digest = at.take(size).hex()
    prior = at.varint(LIMITS["prior"]) if flags & _PRIOR else 0
    tags = _parse_tags(at) if flags & _TAGS else {}
    if at.left:
        raise DamagedError(f"the header holds {at.left} bytes more than its fields take")
    info = CodecInfo(name, digest, sample_rate, channels, hop, sizes, strides, delay, preroll, segment, overlap)
    return Header(info, levels, tags, prior)


def _check(name: str, value: int, least: int = 0) -> None:
    if not least <= value <= LIMITS[name]:
        raise InputError(f"a .nac header holds a {name} of {least} to {LIMITS[name]}, got {value}")


def _encode(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:  # a shell hands over bytes that are no UTF-8 as half a pair of surrogates
        raise InputError(f"a tag is text in UTF-8, got {text!r}") from None


def _pack_rate(info: CodecInfo) -> bytes:
    rate = _RATES.index(info.sample_rate) + 1 if info.sample_rate in _RATES else 0
    hop = _HOPS.index(info.hop) + 1 if info.hop in _HOPS else 0
    rest = (b"" if rate else varint(info.sample_rate)) + (b"" if hop else varint(info.hop))
    return bytes([rate << 4 | hop]) + rest


def _pack_segment(info: CodecInfo) -> list[int]:
    if info.overlap:
        return [_OVERLAPS + info.segment, info.overlap]
    return [info.segment] if info.segment else []


def _pick(table: tuple[int, ...], index: int, at: Cursor) -> int:
    if index > len(table):
        raise DamagedError(f"the header names entry {index} of a table of {len(table)}")
    return table[index - 1] if index else at.varint(1 << 20)


def _pack_sizes(sizes: tuple[int, ...]) -> bytes:
    same = next(i for i in range(len(sizes)) if len(set(sizes[i:])) == 1)  # from here on one size
    out = bytearray()
    for i, size in enumerate(sizes[: same + 1]):
        code = size.bit_length() - 1 if size & (size - 1) == 0 else size + 18
        out += varint(2 * code + (i < same))
    return bytes(out)


def _parse_sizes(at: Cursor, count: int) -> tuple[int, ...]:
    sizes: list[int] = []
    more = 1
    while more and len(sizes) < count:
        code, more = divmod(at.varint(1 << 22), 2)
        size = 1 << code if code <= 20 else code - 18
        sizes += [size] * (1 if more else count - len(sizes))
    return tuple(sizes)


def _pack_name(name: str, digest: bool) -> bytes:
    plain = name.encode()
    if not set(name) <= set(_ALPHABET):
        return varint(4 * len(plain) + 2 * digest) + plain
    places = [_ALPHABET.index(letter) + 1 for letter in name] + [0] * (-len(name) % 3)
    groups = zip(places[::3], places[1::3], places[2::3], strict=True)
    return varint(4 * len(name) + 2 * digest + 1) + b"".join(
        struct.pack("!H", (a * 40 + b) * 40 + c) for a, b, c in groups
    )


def _parse_name(at: Cursor) -> tuple[str, int]:
    """The name, and the bytes of the digest behind it."""
    length, flags = divmod(at.varint(4 * LIMITS["name"] + 3), 4)
    size = _DIGEST_BYTES if flags & 2 else 0
    if not flags & 1:
        return at.text(length), size
    groups = [int.from_bytes(at.take(2), "big") for _ in range(-(-length // 3))]
    places = [place for group in groups for place in (group // 1600, group // 40 % 40, group % 40)]
    if any(group >= 64000 for group in groups) or 0 in places[:length] or any(places[length:]):
        raise DamagedError("the name in the header holds letters that do not exist")
    return "".join(_ALPHABET[place - 1] for place in places[:length]), size


def _pack_bytes(data: bytes) -> bytes:
    return varint(len(data)) + data


def _digest_bytes(digest: str) -> bytes:
    try:
        data = bytes.fromhex(digest)
    except ValueError:
        data = b""
    if data.hex() != digest or len(data) > LIMITS["digest"]:
        raise InputError(f"a digest is an even number of lower-case hexadecimal digits, at most 64, got {digest!r}")
    return data


def _parse_tags(at: Cursor) -> dict[str, str]:
    tags: dict[str, str] = {}
    for _ in range(at.varint(LIMITS["tags"])):
        key = at.text(at.varint(LIMITS["tag"]))
        if key in tags:
            raise DamagedError(f"the header holds the tag {key!r} twice")
        tags[key] = at.text(at.varint(LIMITS["tag value"]))
    return tags
