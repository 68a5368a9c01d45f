"""EnCodec's `.ecdc`: a JSON header, then codes, segment by segment. The bytes are in docs/legacy.md.

Codes take 10 bits each, or fewer where EnCodec's language model foretells them. That one computes in floating point,
so such a file is read where it was written: the same machine, the same torch, the same number of threads.

Letters in shapes: `K` levels, `F` frames.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..codes import CodecInfo, Codes
from ..errors import DamagedError, InputError
from .arithmetic import ArithmeticDecoder, ArithmeticEncoder
from .bits import pack, packed_size, unpack
from .fields import MAX_LENGTH, check_whole, split_header, whole

# By the name in the file. A segment of encodec-48k is 1 s, starts every 0.99 s and is coded by itself.
ECDC_CODECS = {
    "encodec_24khz": CodecInfo("encodec-24k", "", 24000, 1, 320, (1024,) * 32),
    "encodec_48khz": CodecInfo("encodec-48k", "", 48000, 2, 320, (1024,) * 16, segment=150, overlap=480),
}
_WIDTH = 10
_MAX_FORETOLD = 1 << 26  # codes of one file: hours of sound, and what they take in memory is allotted at once
_SYMBOLS_A_BIT = 5700  # the most that fit: every symbol keeps a share of 2^-23 for each of the 1023 others


class LanguageModel(Protocol):
    """What foretells codes: `EnCodecLM`, or anything else that gives the same whole numbers here and there."""

    def predictor(self, levels: int) -> Callable[[NDArray[np.int64] | None], NDArray[np.int64]]:
        """For one segment: from the codes `[K]` of the frame before (None at first) cumulative counts `[K, 1024]`."""
        ...


def segment_frames(info: CodecInfo, length: int, rounded: bool = False) -> tuple[int, ...]:
    """Frames of each segment that codes `length` samples; encodec-24k has one segment.

    `rounded` counts as encodec 0.1.1 does when it reads, in floating point: for a few lengths one frame more.
    """
    size, step = (info.segment * info.hop, info.step) if info.segment else (length, max(1, length))
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


def read_header(data: bytes) -> tuple[CodecInfo, dict[str, str | int | bool], bytes]:
    """Whose codes the bytes of an `.ecdc` file hold, its header as it stands there, and what follows it."""
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
    return info, {"m": name, "al": length, "nc": levels, "lm": lm}, body


def read_ecdc(data: bytes, model: LanguageModel | None = None) -> tuple[Codes, dict[str, str | int | bool]]:
    """The codes in the bytes of an `.ecdc` file, and its header as it stands there.

    `model` is the language model that packed the file, if one did.
    """
    info, metadata, body = read_header(data)
    length, levels = int(metadata["al"]), int(metadata["nc"])
    if not metadata["lm"]:
        layout = _find_layout(info, length, levels, len(body))
        return _unpack_segments(body, layout, levels, info, length), metadata
    if model is None:
        raise InputError(
            f"this .ecdc is packed with EnCodec's language model, which must be at hand: --lm {_lm(info)}, or "
            "model= from Python; and it is read on the machine that wrote it"
        )
    return _foretold_segments(body, levels, info, length, model), metadata


def write_ecdc(codes: Codes, model: LanguageModel | None = None) -> bytes:
    """The `.ecdc` file of one whole item of encodec-24k or encodec-48k codes, packed by `model` if there is one."""
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
    header = json.dumps({"m": key, "al": codes.length, "nc": len(codes.levels), "lm": model is not None}).encode()
    parts = [struct.pack("!4sBI", b"ECDC", 0, len(header)), header]
    for i, frames in enumerate(layout):
        if codes.scale is not None and info.segment:
            parts.append(struct.pack("!f", codes.scale[0, i]))
        segment = rows[i * info.segment : i * info.segment + frames]
        parts.append(pack(segment, _WIDTH) if model is None else _foretell(segment, model))
    return b"".join(parts)


def _lm(info: CodecInfo) -> str:
    """What the catalogue calls the language model of a codec."""
    return info.name.replace("encodec-", "encodec-lm-")


def _foretell(rows: NDArray[np.int64], model: LanguageModel) -> bytes:
    """The codes `[F, K]` of a segment, in as few bits as `model` leaves."""
    encoder, predict, before = ArithmeticEncoder(), model.predictor(rows.shape[1]), None
    for row in rows:
        for code, counts in zip(row.tolist(), predict(before), strict=True):
            encoder.push(code, counts)
        before = row
    return encoder.finish()


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
    return _whole(rows, scale, info, length)


def _foretold_segments(body: bytes, levels: int, info: CodecInfo, length: int, model: LanguageModel) -> Codes:
    if length // info.hop * levels > min(_MAX_FORETOLD, _SYMBOLS_A_BIT * 8 * len(body)):
        raise DamagedError(f"{len(body)} bytes cannot hold codes for {length} samples: cut short, or a false length")
    layout = segment_frames(info, length)
    rows = np.zeros((segment_places(info, layout), levels), np.int64)
    scale, rest = np.zeros((1, len(layout)), np.float32), memoryview(body)
    for i, frames in enumerate(layout):
        if info.segment:
            if len(rest) < 4:
                raise DamagedError(f"the file ends before segment {i} of {len(layout)}: cut short")
            scale[0, i], rest = struct.unpack_from("!f", rest)[0], rest[4:]
        decoder, predict, before = ArithmeticDecoder(rest), model.predictor(levels), None
        for frame in range(i * info.segment, i * info.segment + frames):
            rows[frame] = [decoder.pull(counts) for counts in predict(before)]
            before = rows[frame]
        rest = rest[decoder.used :]
    if rest:
        raise DamagedError(f"{len(rest)} bytes follow the codes: damaged, or packed by another model or machine")
    return _whole(rows, scale, info, length)


def _whole(rows: NDArray[np.int64], scale: NDArray[np.float32], info: CodecInfo, length: int) -> Codes:
    if not np.isfinite(scale).all() or (scale < 0).any():
        raise DamagedError("the scale of a segment is negative or not a number; the file is damaged there")
    return Codes(tuple(rows.T[:, None]), length, info, scale=scale if info.segment else None)
