"""EnCodec's `.ecdc`: a JSON header, then 10-bit codes, segment by segment. The bytes are in docs/legacy.md.

Letters in shapes: `K` levels, `F` frames.
"""

from __future__ import annotations

import json
import math
import struct

import numpy as np

from ..codes import CodecInfo, Codes
from ..errors import DamagedError, InputError
from .bits import pack, packed_size, unpack
from .fields import MAX_LENGTH, check_whole, split_header, whole

# By the name in the file. A segment of encodec-48k is 1 s, starts every 0.99 s and is coded by itself.
ECDC_CODECS = {
    "encodec_24khz": CodecInfo("encodec-24k", "", 24000, 1, 320, (1024,) * 32),
    "encodec_48khz": CodecInfo("encodec-48k", "", 48000, 2, 320, (1024,) * 16, segment=150),
}
_SEGMENT, _SEGMENT_STEP = 48000, 47520  # samples
_WIDTH = 10


def segment_frames(info: CodecInfo, length: int, rounded: bool = False) -> tuple[int, ...]:
    """Frames of each segment that codes `length` samples; encodec-24k has one segment.

    `rounded` counts as encodec 0.1.1 does when it reads, in floating point: for a few lengths one frame more.
    """
    size, step = (_SEGMENT, _SEGMENT_STEP) if info.segment else (length, max(1, length))
    sizes = [min(length - start, size) for start in range(0, length, step)]
    if rounded:
        return tuple(math.ceil(each / info.sample_rate * (info.sample_rate // info.hop)) for each in sizes)
    return tuple(-(-each // info.hop) for each in sizes)


def segment_places(info: CodecInfo, layout: tuple[int, ...]) -> int:
    """Frames that `Codes` has for segments of these many frames.

    A segment that another one follows takes `info.segment` places, even where it has one frame less (when less than
    half a frame follows it): so scale i belongs to frames i * segment and on, and the empty place holds code 0.
    """
    return max(0, len(layout) - 1) * info.segment + sum(layout[-1:])


def read_ecdc(data: bytes) -> tuple[Codes, dict[str, str | int | bool]]:
    """The codes in the bytes of an `.ecdc` file, and its header as it stands there."""
    fields, header, body = split_header(data, "!4xBI")
    if fields[0] != 0 or not isinstance(header, dict):
        raise InputError(
            f"expected .ecdc version 0 with a JSON object, got version {fields[0]} and a {type(header).__name__}"
        )
    name, lm = header.get("m"), header.get("lm")
    if not isinstance(name, str) or name not in ECDC_CODECS:
        got = repr(name[:40]) if isinstance(name, str) else "no name"
        raise InputError(f"expected codes of {' or '.join(ECDC_CODECS)}, got {got}; only these two wrote .ecdc files")
    info = ECDC_CODECS[name]
    length = whole(header.get("al"), 0, MAX_LENGTH, "al, the length in samples,")
    levels = whole(header.get("nc"), 1, info.levels, "nc, the number of codebooks,")
    if not isinstance(lm, bool):
        raise DamagedError(f"lm should be true or false, got a {type(lm).__name__}")
    if lm:
        raise InputError(
            "this .ecdc is packed with EnCodec's language model, which nacre cannot run yet; "
            "write it again without (encodec without -l)"
        )
    layout = _find_layout(info, length, levels, len(body))
    metadata: dict[str, str | int | bool] = {"m": name, "al": length, "nc": levels, "lm": lm}
    return _unpack_segments(body, layout, levels, info, length), metadata


def write_ecdc(codes: Codes) -> bytes:
    """The `.ecdc` file, without language model, of one whole item of encodec-24k or encodec-48k codes."""
    known = {info.name: key for key, info in ECDC_CODECS.items()}
    key = known[check_whole(codes, tuple(known), ".ecdc")]
    info = ECDC_CODECS[key]
    layouts = {segment_places(info, each): each for each in (_layouts(info, codes.length)[::-1])}
    if codes.batch != 1 or codes.frames not in layouts:
        expected = " or ".join(str(places) for places in layouts)
        raise InputError(
            f".ecdc holds one item of {expected} frames for {codes.length} samples, "
            f"got {codes.batch} of {codes.frames}; give one whole file's codes"
        )
    layout = layouts[codes.frames]
    if info.segment and (codes.scale is None or codes.scale.shape != (1, len(layout))):
        raise InputError(f"{info.name} needs one scale for each of {len(layout)} segments; encode with the scale kept")
    rows = np.concatenate(codes.levels).T
    header = json.dumps({"m": key, "al": codes.length, "nc": len(codes.levels), "lm": False}).encode()
    parts = [struct.pack("!4sBI", b"ECDC", 0, len(header)), header]
    for i, frames in enumerate(layout):
        if codes.scale is not None and info.segment:
            parts.append(struct.pack("!f", codes.scale[0, i]))
        parts.append(pack(rows[i * info.segment : i * info.segment + frames], _WIDTH))
    return b"".join(parts)


def _layouts(info: CodecInfo, length: int) -> list[tuple[int, ...]]:
    return [segment_frames(info, length), segment_frames(info, length, rounded=True)]


def _find_layout(info: CodecInfo, length: int, levels: int, size: int) -> tuple[int, ...]:
    """The layout that fills `size` bytes: encodec writes what its layers gave, others may count as it reads."""
    least = packed_size(length // info.hop * levels, _WIDTH)
    if size < least:  # before a hostile length makes a list of segments
        raise DamagedError(f"expected at least {least} bytes of codes for {length} samples, got {size}: cut short")
    extra = 4 if info.segment else 0
    sizes = {
        sum(packed_size(frames * levels, _WIDTH) + extra for frames in each): each
        for each in _layouts(info, length)[::-1]
    }
    if size not in sizes:
        expected = " or ".join(str(each) for each in sorted(sizes))
        raise DamagedError(
            f"expected {expected} bytes of codes for {length} samples, got {size}: cut short or not its own"
        )
    return sizes[size]


def _unpack_segments(body: bytes, layout: tuple[int, ...], levels: int, info: CodecInfo, length: int) -> Codes:
    rows = np.zeros((segment_places(info, layout), levels), np.int64)
    scale = np.zeros((1, len(layout)), np.float32)
    rest = memoryview(body)
    for i, frames in enumerate(layout):
        if info.segment:
            scale[0, i] = struct.unpack_from("!f", rest)[0]
            rest = rest[4:]
        values = unpack(rest, frames * levels, _WIDTH)
        rows[i * info.segment : i * info.segment + frames] = values.reshape(frames, levels)
        rest = rest[packed_size(frames * levels, _WIDTH) :]
    if not np.isfinite(scale).all() or (scale < 0).any():
        raise DamagedError("the scale of a segment is negative or not a number; the file is damaged there")
    return Codes(tuple(rows.T[:, None]), length, info, scale=scale if info.segment else None)
