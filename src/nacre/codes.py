"""Codes: what a codec says, and CodecInfo: who said it. The coin every room of the house takes; numpy only.

Letters in shapes: `B` batch, `K` levels, `F` frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import lcm
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import InputError

Level = NDArray[np.int64]
MAX_CODEBOOK = 1 << 20  # the largest codebook a level may have: 20 bits a code


@dataclass(frozen=True)
class CodecInfo:
    """Everything about a codec that its codes need to be stored, cut, joined and decoded."""

    name: str  # as `nacre.load` knows it, "pearl-24k"
    digest: str  # first 16 hex digits of the SHA-256 of the weights, "" when unknown
    sample_rate: int  # Hz
    channels: int
    hop: int  # samples a frame of the finest level
    codebook_sizes: tuple[int, ...]  # entries of each level's codebook, coarse level first
    strides: tuple[int, ...] = ()  # frames that one code of each level spans; () means 1 everywhere
    delay: int = 0  # samples by which decoded audio lags the codes; dropped at the start
    preroll: int = 0  # frames a decoder must hear before a place to give the whole file's samples there
    segment: int = 0  # frames that one `Codes.scale` value covers, 0 for codecs without scale
    overlap: int = 0  # samples that a segment, coded by itself, shares with the one after it
    # samples beyond its frame that a stream waits for, there and back; says nothing of the codes, so files leave it out
    lookahead: int = field(default=0, compare=False)
    # lost frames in a row that the decoder was trained to make up, told as code -1 in every level; not in files either
    conceals: int = field(default=0, compare=False)

    def __post_init__(self) -> None:
        if not self.strides:
            object.__setattr__(self, "strides", (1,) * len(self.codebook_sizes))
        counts = (self.delay, self.preroll, self.segment, self.lookahead, self.conceals)
        if min(self.sample_rate, self.channels, self.hop) < 1 or min(counts) < 0:
            raise InputError(f"a codec needs a positive sample rate, channel count and hop, got {self}")
        if not self.codebook_sizes or len(self.strides) != len(self.codebook_sizes):
            raise InputError(
                f"expected one stride a level, got {len(self.strides)} for {len(self.codebook_sizes)} levels"
            )
        if min(self.codebook_sizes) < 2 or max(self.codebook_sizes) > MAX_CODEBOOK or min(self.strides) < 1:
            raise InputError(f"codebooks hold 2 to {MAX_CODEBOOK} entries and strides are positive, got {self}")
        if self.overlap and not (0 < 2 * self.overlap <= self.segment * self.hop and not self.delay):
            raise InputError(f"segments overlap by at most half of themselves, and without delay, got {self}")

    @property
    def levels(self) -> int:
        """How many levels the codec can say."""
        return len(self.codebook_sizes)

    @property
    def frame_rate(self) -> float:
        """Frames of the finest level a second."""
        return self.sample_rate / self.hop

    @property
    def bits(self) -> tuple[int, ...]:
        """Bits one code of each level takes when packed."""
        return tuple((size - 1).bit_length() for size in self.codebook_sizes)

    @property
    def stride(self) -> int:
        """Frames after which all levels start anew together: where codes may be cut."""
        return lcm(*self.strides)

    @property
    def latency(self) -> float:
        """Seconds between a sample going in and coming out when computing takes no time."""
        return (self.hop * self.stride + self.delay + self.lookahead) / self.sample_rate

    def bitrate(self, levels: int | None = None) -> float:
        """Bits a second of the first `levels` levels (all of them by default), packed and without entropy coding."""
        count = self.check_levels(levels)
        return sum(b / s for b, s in zip(self.bits[:count], self.strides[:count], strict=True)) * self.frame_rate

    def levels_for(self, bitrate: float) -> int:
        """The most levels that fit into `bitrate` bits a second."""
        fits = [k for k in range(1, self.levels + 1) if self.bitrate(k) <= bitrate * (1 + 1e-9)]
        if not fits:
            least = self.bitrate(1)
            raise InputError(f"{self.name} needs at least {least / 1000:g} kbps, got {bitrate / 1000:g}; ask for more")
        return fits[-1]

    def check_levels(self, levels: int | None) -> int:
        """`levels`, or all of them for None; an error when the codec has no such number."""
        if levels is None:
            return self.levels
        if not isinstance(levels, int | np.integer) or not 1 <= levels <= self.levels:
            raise InputError(f"{self.name} has 1 to {self.levels} levels, got {levels!r}")
        return int(levels)

    @property
    def step(self) -> int:
        """Samples from the start of one segment to the next one's, 0 for codecs without overlap."""
        return self.segment * self.hop - self.overlap if self.overlap else 0

    def frames(self, length: int) -> int:
        """Frames that code `length` samples: enough for the decoder's delay, none for silence of no length."""
        if self.step and length:
            whole, rest = divmod(length - 1, self.step)  # the last segment is no longer than a step
            return whole * self.segment + rest // self.hop + 1
        return -(-(length + self.delay) // self.hop) if length else 0

    def span(self, start: int, stop: int) -> int:
        """Samples that decoding frames `start` to `stop` of a running stream brings out."""
        return self._sounded(stop) - self._sounded(start)

    def place(self, sample: int) -> int:
        """The last frame from which a decoder must go to give `sample`, were it not for `preroll`."""
        if self.step:
            return max(0, sample - self.overlap) // self.step * self.segment
        return (sample + self.delay) // self.hop

    def shaped_as(self, other: CodecInfo, levels: int) -> bool:
        """Whether `levels` levels of codes mean to both codecs the same samples, places and entries."""
        return self._shape(levels) == other._shape(levels)

    def _shape(self, levels: int) -> tuple[Any, ...]:
        sizes, strides = self.codebook_sizes[:levels], self.strides[:levels]
        return self.sample_rate, self.channels, self.hop, self.delay, self.segment, self.overlap, sizes, strides

    def _sounded(self, frames: int) -> int:
        """Samples that the first `frames` frames stand for; of overlapping segments, all that was heard of them."""
        if not self.step:
            return max(0, frames * self.hop - self.delay)
        whole, rest = divmod(frames, self.segment)
        return whole * self.step + max(rest * self.hop, self.overlap if whole else 0)


@dataclass(frozen=True, eq=False, repr=False)
class Codes:
    """What a codec says: one integer array a level, each `[B, frames of that level]`.

    A piece of a longer stream knows its place (`start`, in frames of the finest level) and how many samples
    decoding it brings out (`length`), so the pieces' lengths add up to the whole's.
    """

    levels: tuple[Level, ...]
    length: int  # samples
    info: CodecInfo
    start: int = 0  # frames before the first one here
    scale: NDArray[np.float32] | None = None  # [B, segments], for codecs that normalise loudness
    lost: NDArray[np.bool_] | None = None  # [F], True where a frame never arrived

    def __post_init__(self) -> None:
        levels = tuple(_as_level(level) for level in self.levels)
        object.__setattr__(self, "levels", levels)
        self.info.check_levels(len(levels))
        batch, frames = len(levels[0]), self.frames
        for k, (level, size) in enumerate(zip(levels, self.info.codebook_sizes, strict=False)):
            expected = -(-frames // self.info.strides[k])
            if level.shape != (batch, expected):
                raise InputError(f"level {k} should have shape ({batch}, {expected}), got {level.shape}")
            if level.size and not 0 <= int(level.min()) <= int(level.max()) < size:
                raise InputError(f"level {k} holds codes from {level.min()} to {level.max()}, expected 0 to {size - 1}")
        if self.length < 0 or self.start < 0 or self.start % self.info.stride:
            raise InputError(f"length and start must fit the frames, got length {self.length}, start {self.start}")
        if self.lost is not None and self.lost.shape != (frames,):
            raise InputError(f"lost should mark {frames} frames, got shape {self.lost.shape}")

    @property
    def batch(self) -> int:
        """Items in the batch."""
        return int(self.levels[0].shape[0])

    @property
    def frames(self) -> int:
        """Frames of the finest level present."""
        return max(int(level.shape[1]) * s for level, s in zip(self.levels, self.info.strides, strict=False))

    @property
    def seconds(self) -> float:
        """Duration of the audio."""
        return self.length / self.info.sample_rate

    @property
    def packed_bits(self) -> int:
        """Bits the codes take at their true width, without entropy coding."""
        return sum(level.size * b for level, b in zip(self.levels, self.info.bits, strict=False))

    def __repr__(self) -> str:
        lost = 0 if self.lost is None else int(self.lost.sum())
        parts = [self.info.name, f"{len(self.levels)} levels", f"{self.frames} frames", f"{self.seconds:.2f} s"]
        parts += [f"from frame {self.start}"] * (self.start > 0) + [f"{lost} lost"] * (lost > 0)
        parts += [f"batch of {self.batch}"] * (self.batch != 1)
        return f"Codes({', '.join(parts)})"

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Codes)
            and (self.info, self.length, self.start) == (other.info, other.length, other.start)
            and len(self.levels) == len(other.levels)
            and all(np.array_equal(a, b) for a, b in zip(self.levels, other.levels, strict=True))
            and _same(self.scale, other.scale)
            and _same(self.lost, other.lost)
        )

    def head(self, levels: int) -> Codes:
        """The first `levels` levels: the same audio at a lower bitrate."""
        return replace(self, levels=self.levels[: self.info.check_levels(levels)])

    def made_by(self, info: CodecInfo) -> Codes:
        """These codes as the codec of `info` made them, for files of earlier codecs do not say which weights did.

        `codec.decode(legacy.read(path).codes.made_by(codec.info))`: name and shape must fit, the weights you vouch for.
        """
        alike = self.info.name == info.name and self.info.shaped_as(info, len(self.levels))
        if alike and self.info.digest in ("", info.digest):
            return replace(self, info=info)
        raise InputError(
            f"these codes were made by {self.info.name} ({self.info.digest or 'no digest'}), not by {info.name} "
            f"({info.digest or 'no digest'}); load the model that made them"
        )

    def cut(self, start: int, stop: int) -> Codes:
        """Frames `start` to `stop`, counted from the first one here; both must fall where all levels start anew."""
        stride, stop = self.info.stride, min(stop, self.frames)
        if not 0 <= start <= stop or start % stride or (stop % stride and stop != self.frames):
            raise InputError(f"cannot cut frames {start} to {stop} of {self.frames}; cut at multiples of {stride}")
        begin, end = self.start + start, self.start + stop
        before = self.info.span(self.start, begin)
        length = self.length - before if stop == self.frames else self.info.span(begin, end)
        segment = self.info.segment
        return Codes(
            levels=tuple(
                level[:, start // s : -(-stop // s)] for level, s in zip(self.levels, self.info.strides, strict=False)
            ),
            length=max(0, min(length, self.length - before)),
            info=self.info,
            start=begin,
            scale=self.scale[:, start // segment : -(-stop // segment)]
            if self.scale is not None and segment
            else self.scale,
            lost=None if self.lost is None else self.lost[start:stop],
        )

    @staticmethod
    def join(pieces: Sequence[Codes]) -> Codes:
        """The pieces one after another, as they came from a stream."""
        if not pieces:
            raise InputError("nothing to join: expected at least one piece of codes")
        first, at = pieces[0], pieces[0].start
        for piece in pieces:
            if (piece.info, piece.start, len(piece.levels)) != (first.info, at, len(first.levels)):
                raise InputError(
                    f"pieces do not follow each other: expected frame {at} of {first.info.name}, got {piece.start}"
                )
            if piece.batch != first.batch:
                raise InputError(f"pieces of one stream have one batch size, got {first.batch} and {piece.batch}")
            at += piece.frames
        scales = [piece.scale for piece in pieces if piece.scale is not None]
        lost = [np.zeros(p.frames, np.bool_) if p.lost is None else p.lost for p in pieces]
        return Codes(
            levels=tuple(np.concatenate(level, axis=1) for level in zip(*(p.levels for p in pieces), strict=True)),
            length=sum(piece.length for piece in pieces),
            info=first.info,
            start=first.start,
            scale=np.concatenate(scales, axis=1) if scales else None,
            lost=np.concatenate(lost) if any(p.lost is not None for p in pieces) else None,
        )


def _as_level(level: Any) -> Level:
    array = np.asarray(level)
    if array.ndim != 2 or array.dtype.kind not in "iu":
        raise InputError(f"a level is an integer array [batch, frames], got {array.dtype} of shape {array.shape}")
    return array.astype(np.int64, copy=False)


def _same(a: NDArray[Any] | None, b: NDArray[Any] | None) -> bool:
    return a is b if a is None or b is None else np.array_equal(a, b)
