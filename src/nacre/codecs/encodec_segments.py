"""EnCodec at 48 kHz codes segments of a second, each by itself, that overlap a little and fade into each other.

Défossez et al. 2022 (arXiv 2210.13438). A norm over the whole time makes a segment one piece: nothing is known of
it before its end, and nothing else bears on it. So a stream is a segment late, and gives the file's own numbers.

Letters in shapes: `B` batch, `C` channels, `T` samples, `F` frames.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..codes import CodecInfo, Codes, Level
from ..contract import CodecContract, Stream, Wave
from ..errors import InputError

Scale = NDArray[np.float32]


class SegmentCodec(Protocol):
    """What codes one segment at a time."""

    def encode_segment(self, wave: Wave, levels: int) -> tuple[tuple[Level, ...], Scale]:
        """Levels `[B, F]` of one segment `[B, C, T]`, and how loud it was, `[B]`."""
        ...

    def decode_segment(self, levels: tuple[Level, ...], scale: Scale) -> Wave:
        """Sound `[B, C, F * hop]` of one segment."""
        ...


class SegmentStream(Stream):
    """A stream of segments: codes come segment by segment, sound too, but for the overlap, which the next one ends."""

    def __init__(self, codec: CodecContract, segments: SegmentCodec, levels: int) -> None:
        super().__init__(codec, levels)
        self._segments = segments
        self._tail: Wave | None = None  # sound that the next segment fades out
        self._first = 0  # samples that the first segment gave; the fades take their slope from it

    def encode(self, wave: Wave, last: bool = False) -> Codes:
        """Push samples `[B, C, T]`, get the codes of every segment that is now whole; `last` also codes the rest."""
        info, start = self.codec.info, self._sent
        given = min(info.span(0, start), self._heard)
        buffer, parts = self._take(wave), [_nothing(len(wave), self.levels)]
        self._ended = last
        while buffer.shape[2] >= info.step + info.overlap or (last and buffer.shape[2]):
            segment, buffer = buffer[:, :, : info.step + info.overlap], buffer[:, :, info.step :]
            levels, scale = self._segments.encode_segment(np.ascontiguousarray(segment), self.levels)
            room = info.segment - levels[0].shape[1] if buffer.shape[2] else 0  # one that is followed is as long as all
            parts.append((tuple(np.pad(level, ((0, 0), (0, room))) for level in levels), scale[:, None]))
        self._pending = buffer.copy()
        levels = tuple(np.concatenate(level, axis=1) for level in zip(*(each for each, _ in parts), strict=True))
        self._sent += levels[0].shape[1]
        done = self._heard if last else min(info.span(0, self._sent), self._heard)
        return Codes(levels, done - given, info, start, np.concatenate([scale for _, scale in parts], axis=1))

    def decode(self, codes: Codes, last: bool = False) -> Wave:
        """Push codes, get their sound as far as no coming segment bears on it; `last` brings out the rest."""
        info = self.codec.info
        self._follow(codes)
        if codes.frames:
            _check(codes, info)
        self._owed += codes.length
        ahead = info.span(0, codes.start) + codes.length - codes.start // info.segment * info.step
        parts = [np.zeros((codes.batch, info.channels, 0), np.float32)]
        for at in range(0, codes.frames, info.segment):
            piece = codes.cut(at, at + info.segment)
            parts += [self._pay(part) for part in self._sound(piece, ahead)]
            ahead -= info.step
        if last and self._tail is not None:
            parts.append(self._pay(self._tail))
            self._tail = None
        return np.concatenate(parts, axis=2)

    def _sound(self, piece: Codes, ahead: int) -> list[Wave]:
        """What segment `piece` brings out; `ahead` samples are promised from its start on."""
        info, kept = self.codec.info, self._tail
        if piece.lost is not None and piece.lost.any():
            self._tail, fresh = None, piece.start == 0
            gap = info.step + (info.overlap if kept is not None or fresh else 0)
            before = [] if kept is None else [kept]
            return [*before, np.zeros((piece.batch, info.channels, gap - sum(b.shape[2] for b in before)), np.float32)]
        frames = piece.frames
        if frames == info.segment and ahead <= (frames - 1) * info.hop:
            frames -= 1  # so little follows that this segment has a frame less
        assert piece.scale is not None
        wave = self._segments.decode_segment(tuple(level[:, :frames] for level in piece.levels), piece.scale[:, 0])
        self._first = self._first or (info.step + info.overlap if piece.start else wave.shape[2])
        skip = 0
        if kept is not None:
            wave[:, :, : kept.shape[2]] = self._fade(kept, wave[:, :, : kept.shape[2]])
        elif piece.start:
            skip = info.overlap  # the segment before stands for these
        self._tail = wave[:, :, info.step :].copy()
        return [wave[:, :, skip : info.step]]

    def _fade(self, old: Wave, new: Wave) -> Wave:
        """`new` with what is left of `old` fading out under it."""
        length = self._first - self.codec.info.step
        share = ((np.arange(old.shape[2]) + 1) / (length + 1)).astype(np.float32)
        faded: Wave = old[:, :, : new.shape[2]] * (1 - share[: new.shape[2]]) + new * share[: new.shape[2]]
        return faded


def _nothing(batch: int, levels: int) -> tuple[tuple[Level, ...], Scale]:
    return tuple(np.zeros((batch, 0), np.int64) for _ in range(levels)), np.zeros((batch, 0), np.float32)


def _check(codes: Codes, info: CodecInfo) -> None:
    """An error unless `codes` are whole segments, each with its scale."""
    count = -(-codes.frames // info.segment)
    if codes.start % info.segment:
        raise InputError(f"{info.name} codes begin at multiples of {info.segment} frames, got {codes.start}; cut there")
    if codes.scale is None or codes.scale.shape != (codes.batch, count):
        got = None if codes.scale is None else list(codes.scale.shape)
        raise InputError(f"expected a scale for each of {count} segments, [{codes.batch}, {count}], got {got}")
