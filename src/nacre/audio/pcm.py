"""Plain samples in bytes: raw formats and the WAV header, read and written on streams that cannot seek.

libsndfile reads and writes WAV files, but not on pipes, not beyond 4 GB, and it takes a file cut short for a
whole one; so PCM in WAV is done here. Blocks are float32 `[C, T]`, `C` channel, `T` sample.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import DamagedError, InputError
from .channels import Block, check_channels
from .resampling import check_rate

WIDTHS = {"u8": 1, "s16le": 2, "s24le": 3, "s32le": 4, "f32le": 4, "f64le": 8}  # bytes a sample
_TAGS = {(1, 8): "u8", (1, 16): "s16le", (1, 24): "s24le", (1, 32): "s32le", (3, 32): "f32le", (3, 64): "f64le"}
_EXTENSIBLE = 0xFFFE
_GUID_TAIL = bytes.fromhex("0000 0000 1000 8000 00aa 0038 9b71")  # after the tag, in WAVE_FORMAT_EXTENSIBLE
_SPEAKERS = {3: 0x7, 4: 0x33, 5: 0x37, 6: 0x3F, 7: 0x70F, 8: 0x63F}  # channel masks of the usual layouts
_UNKNOWN = 0xFFFFFFFF
MAX_HEADER = 1 << 24  # bytes that may stand before the samples: pictures and notes of a sane size


class Readable(Protocol):
    """A binary stream that need not seek."""

    def read(self, count: int, /) -> bytes:
        """The next `count` bytes, fewer only at the end."""


@dataclass(frozen=True)
class RawFormat:
    """How samples without a header are to be read or written, interleaved, little-endian."""

    encoding: str  # s16le, s24le, s32le or f32le; also u8 and f64le
    sample_rate: int  # Hz
    channels: int = 1

    def __post_init__(self) -> None:
        if self.encoding not in WIDTHS:
            raise InputError(f"expected a raw format out of {', '.join(WIDTHS)}, got {self.encoding!r}")
        check_rate(self.sample_rate)
        check_channels(self.channels)

    @property
    def frame_bytes(self) -> int:
        """Bytes that one sample of all channels takes."""
        return WIDTHS[self.encoding] * self.channels


def unpack(data: bytes, raw: RawFormat) -> Block:
    """Whole frames of bytes as a block `[C, T]`, full scale at 1."""
    if raw.encoding == "s24le":
        wide = np.zeros((len(data) // 3, 4), np.uint8)
        wide[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)  # the high bytes, so that the sign is right
        samples = wide.view("<i4")[:, 0].astype(np.float32) / np.float32(1 << 31)
    elif raw.encoding == "u8":
        samples = (np.frombuffer(data, np.uint8).astype(np.float32) - 128) / 128
    elif raw.encoding.startswith("s"):
        bits = 8 * WIDTHS[raw.encoding]
        samples = np.frombuffer(data, f"<i{bits // 8}").astype(np.float32) / np.float32(1 << (bits - 1))
    else:
        # Doubles too large turn infinite, which the reader refuses by time.
        with np.errstate(over="ignore", invalid="ignore"):
            samples = np.frombuffer(data, f"<f{WIDTHS[raw.encoding]}").astype(np.float32)
    return samples.reshape(-1, raw.channels).T


def pack(block: Block, encoding: str) -> bytes:
    """A block `[C, T]` as interleaved bytes; what integers cannot hold is clipped."""
    flat = block.T
    if encoding.startswith("f"):
        return flat.astype(f"<f{WIDTHS[encoding]}").tobytes()
    bits = 8 * WIDTHS[encoding]
    values = quantise(flat, bits)
    if bits == 8:
        return (values + 128).astype(np.uint8).tobytes()
    if bits == 24:
        return values.astype("<i4").reshape(-1, 1).view(np.uint8)[:, :3].tobytes()
    return values.astype(f"<i{bits // 8}").tobytes()


def quantise(samples: NDArray[np.float32], bits: int) -> NDArray[np.int32]:
    """Samples as integers of `bits` bits, to the nearest, clipped to full scale.

    Full scale is 2^(bits-1) in both directions, so that what was read comes out the same; exactly 1.0 becomes the
    largest value there is and counts as fitting.
    """
    full = 2.0 ** (bits - 1)
    return np.clip(np.rint(samples.astype(np.float64) * full), -full, full - 1).astype(np.int32)


def count_clipped(block: Block) -> int:
    """How many samples lie beyond [-1, 1], where integers must clip them."""
    return int(np.count_nonzero(np.abs(block) > 1))


class WavHeader(NamedTuple):
    """What stands before the samples of a WAV stream."""

    raw: RawFormat | None  # None when the samples are compressed
    data_bytes: int | None  # None when the writer did not know


def read_header(stream: Readable, name: str) -> WavHeader:
    """Read a WAV or RF64 header up to the first sample; the stream need not seek.

    Writers on pipes do not know the length and put a stand-in: ffmpeg 0xFFFFFFFF, sox 0x7FFFF000, arecord
    0x80000000, others 0. Such data go on to the end of the stream.
    """
    kind, riff_bytes, _ = struct.unpack("<4sI4s", _exactly(stream, 12, name))
    raw, long_bytes, place = None, None, 12
    while place < MAX_HEADER:
        chunk, size = struct.unpack("<4sI", _exactly(stream, 8, name))
        place += 8
        if chunk == b"data":
            if raw is None:
                raise DamagedError(f"{name} has no format chunk before its samples; it is not a whole WAV file")
            length = _data_bytes(size, place, riff_bytes, long_bytes if kind == b"RF64" else None)
            return WavHeader(raw, length)
        if place + size > MAX_HEADER:
            break
        body = _exactly(stream, size + size % 2, name)
        place += len(body)
        if chunk == b"fmt ":
            raw = _read_format(body[:size], name)
            if raw is None:
                return WavHeader(None, None)
        elif chunk == b"ds64" and size >= 16:
            (long_bytes,) = struct.unpack_from("<Q", body, 8)
    raise DamagedError(
        f"{name} has no samples within its first {MAX_HEADER >> 20} MiB; it is damaged or not a WAV file"
    )


def _exactly(stream: Readable, count: int, name: str) -> bytes:
    data = stream.read(count)
    if len(data) < count:
        raise DamagedError(f"{name} ends inside its WAV header; it was cut short")
    return data


def _data_bytes(size: int, place: int, riff_bytes: int, long_bytes: int | None) -> int | None:
    if size == _UNKNOWN and long_bytes:
        return long_bytes
    if size >= 0xFFFFFF00 or 0x7FFFF000 <= size <= 0x80000000:
        return None
    # Nothing to come, or nobody came back to fill it in? Only a RIFF size that counts a chunk after this one tells.
    if size == 0 and (riff_bytes + 8 <= place or riff_bytes >= 0x7FFFF000):
        return None
    return size


def _read_format(body: bytes, name: str) -> RawFormat | None:
    if len(body) < 16:
        raise DamagedError(f"{name} has a format chunk of {len(body)} bytes, expected at least 16; it is damaged")
    tag, channels, sample_rate, _, frame_bytes, bits = struct.unpack_from("<HHIIHH", body)
    if tag == _EXTENSIBLE and len(body) >= 40 and body[26:40] == _GUID_TAIL:
        (tag,) = struct.unpack_from("<H", body, 24)
    # Samples of 12 or 20 bits stand in the high bits of the next whole number of bytes.
    width = frame_bytes // channels if channels else 0
    encoding = _TAGS.get((tag, 8 * width))
    if encoding is None or not 8 * width - 8 < bits <= 8 * width or frame_bytes != width * channels:
        return None
    try:
        return RawFormat(encoding, sample_rate, channels)
    except InputError as error:
        raise InputError(f"{name} cannot be read: {error}") from None


def wav_header(raw: RawFormat, data_bytes: int | None = None, patchable: bool = False) -> bytes:
    """A WAV header; without `data_bytes` for a pipe, with stand-in lengths.

    A `patchable` header keeps room for 64-bit lengths, as EBU Tech 3306 advises, and has the same size whatever
    the length: beyond 4 GB it turns to RF64.
    """
    form = _format_chunk(raw)
    room = 36 if patchable else 0
    known = 0 if data_bytes is None else data_bytes
    total = 4 + room + len(form) + 8 + known + known % 2
    long = data_bytes is not None and total > _UNKNOWN
    if data_bytes is None or long:
        start, size = _UNKNOWN, _UNKNOWN
    else:
        start, size = total, data_bytes
    wide = struct.pack("<4sIQQQI", b"ds64", 28, total, known, known // raw.frame_bytes, 0)
    spare = struct.pack("<4sI28x", b"JUNK", 28)
    reserve = (wide if long else spare)[:room]
    head = struct.pack("<4sI4s", b"RF64" if long else b"RIFF", start, b"WAVE")
    return head + reserve + form + struct.pack("<4sI", b"data", size)


def _format_chunk(raw: RawFormat) -> bytes:
    width = WIDTHS[raw.encoding]
    tag = 3 if raw.encoding.startswith("f") else 1
    rest = (raw.channels, raw.sample_rate, raw.sample_rate * raw.frame_bytes, raw.frame_bytes, 8 * width)
    if raw.channels <= 2:
        return struct.pack("<4sIHHIIHH", b"fmt ", 16, tag, *rest)
    mask = _SPEAKERS.get(raw.channels, 0)
    more = struct.pack("<HHIH", 22, 8 * width, mask, tag) + _GUID_TAIL
    return struct.pack("<4sIHHIIHH", b"fmt ", 40, _EXTENSIBLE, *rest) + more
