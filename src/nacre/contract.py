"""What every codec promises, with torch or without: encode, decode, stream; numpy only.

A causal codec supplies two steps that turn frames of samples into levels and back, and gets the rest
here: whole files are the stream of one long chunk, so a stream and a file cannot differ.

Letters in shapes: `B` batch, `C` channels, `T` samples, `F` frames.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .codes import CodecInfo, Codes, Level
from .errors import DamagedError, InputError

Wave = NDArray[np.float32]
BLOCK_SECONDS = 10  # a whole file is coded in blocks of this length, so memory does not grow with it


class CodecContract(ABC):
    """encode(wave) -> Codes, decode(Codes) -> wave, stream() for both in chunks of any size."""

    info: CodecInfo

    @abstractmethod
    def encode_frames(self, wave: Wave, state: Any, levels: int) -> tuple[Level, ...]:
        """Code whole frames: `[B, C, F * hop]` in, `levels` arrays `[B, F]` out; `state` moves on in place.

        A codec that looks ahead (`info.lookahead`) may give fewer; it gives the rest after `end(state)`.
        """

    @abstractmethod
    def decode_frames(self, levels: tuple[Level, ...], state: Any) -> Wave:
        """Sound of whole frames, `[B, C, F * hop]`, lagging by `info.delay` samples; `state` moves on in place.

        A codec that looks ahead may give fewer samples; it gives the rest after `end(state)`.
        """

    @abstractmethod
    def new_state(self) -> Any:
        """The state of a stream that has heard nothing yet."""

    def begin(self, state: Any, frame: int) -> None:  # noqa: B027 - to most codecs all places are the same
        """The coming frames to decode begin at `frame` of the whole; called before each `decode_frames` of any."""

    def end(self, state: Any) -> None:  # noqa: B027 - causal codecs hold nothing back
        """Make the coming call the last one of `state`: it may bring no frames and gives all that was held back."""

    def decodes(self, info: CodecInfo) -> bool:
        """True when codes of the codec of `info` are this one's."""
        return (info.name, info.digest) == (self.info.name, self.info.digest)

    def encode(self, wave: Wave, levels: int | None = None) -> Codes:
        """Code a whole wave `[B, C, T]`, float32 at `info.sample_rate`, with the first `levels` levels."""
        return self.stream(levels).encode(wave, last=True)

    def decode(self, codes: Codes) -> Wave:
        """The wave `[B, C, T]` of `codes`, exactly `codes.length` samples long."""
        return self.stream().decode(codes, last=True)

    def stream(self, levels: int | None = None) -> Stream:
        """A new two-way stream; any number of them run side by side on one codec."""
        return Stream(self, self.info.check_levels(levels))


class Stream:
    """One stream through a codec: chunks of any size in, whatever is ready out.

    The two directions are independent; use either or both. Chunks may hold any number of samples or
    frames, also none: the pieces joined are exactly what the whole file gives.
    """

    def __init__(self, codec: CodecContract, levels: int) -> None:
        self.codec, self.levels = codec, levels
        self._encoder, self._decoder = codec.new_state(), codec.new_state()
        self._pending: Wave | None = None  # samples that do not fill a frame yet
        self._heard = 0  # samples pushed
        self._fed = 0  # frames given to the encoder
        self._sent = 0  # frames coded
        self._owed = 0  # samples that decoding has promised and not given yet
        self._expected: int | None = None  # the next frame to decode
        self._batch: int | None = None  # items in what is decoded
        self._gone = 1 + codec.info.conceals  # frames lost since the last that came; as many before the first
        self._ended = False

    def encode(self, wave: Wave, last: bool = False) -> Codes:
        """Push samples `[B, C, T]`, get the codes of every frame that is now whole; `last` also codes the rest."""
        info = self.codec.info
        buffer = self._take(wave)
        unit = info.hop * info.stride
        if last:
            self._ended = True
            due = -(-info.frames(self._heard) // info.stride) * info.stride - self._fed
            buffer = np.pad(buffer, ((0, 0), (0, 0), (0, max(0, due * info.hop - buffer.shape[2]))))
        whole = buffer.shape[2] // unit * unit
        self._pending = buffer[:, :, whole:].copy()
        levels = self._blocks(buffer[:, :, :whole], unit)
        start = self._sent
        self._fed += whole // info.hop
        self._sent += levels[0].shape[1] * info.strides[0]
        done = info.span(0, self._sent)
        length = (self._heard if last else min(done, self._heard)) - info.span(0, start)
        return Codes(levels, length, info, start)

    def _take(self, wave: Wave) -> Wave:
        """What waits and `wave` behind it; an error when it does not belong to this stream."""
        wave = check_wave(wave, self.codec.info)
        if self._ended:
            raise InputError("this stream has ended (last=True was given); open another with codec.stream()")
        if self._pending is not None and len(self._pending) != len(wave):
            raise InputError(f"this stream began with a batch of {len(self._pending)}, got {len(wave)}; open another")
        self._heard += wave.shape[2]
        return wave if self._pending is None else np.concatenate([self._pending, wave], axis=2)

    def _blocks(self, wave: Wave, unit: int) -> tuple[Level, ...]:
        info = self.codec.info
        size = max(1, BLOCK_SECONDS * info.sample_rate // unit) * unit
        flush = self._ended and self._heard > 0 and info.lookahead > 0
        starts = list(range(0, wave.shape[2], size)) or [0] * flush
        parts = []
        for i in starts:
            if flush and i == starts[-1]:
                self.codec.end(self._encoder)
            parts.append(self.codec.encode_frames(wave[:, :, i : i + size], self._encoder, self.levels))
        if not parts:
            return tuple(np.zeros((wave.shape[0], 0), np.int64) for _ in range(self.levels))
        return tuple(np.concatenate(level, axis=1) for level in zip(*parts, strict=True))

    def decode(self, codes: Codes, last: bool = False) -> Wave:
        """Push codes, get the `codes.length` samples they bring out.

        Of frames marked lost in a row the codec makes up the first `info.conceals`; the rest fade and are silent. A
        codec that looks ahead gives fewer samples at first; `last` brings out what is still owed, and begins anew.
        """
        info = self.codec.info
        self._follow(codes)
        parts = []
        for piece in _pieces(codes, max(1, round(BLOCK_SECONDS * info.frame_rate) // info.stride) * info.stride):
            if piece.lost is None:
                self.codec.begin(self._decoder, piece.start)
                wave, self._gone = self.codec.decode_frames(piece.levels, self._decoder), 0
            else:
                parts.append(self._rest(piece))
                wave = self._gap(piece)
            self._owed += piece.length
            parts.append(self._pay(wave[:, :, max(0, info.delay - piece.start * info.hop) :]))
        if last:
            parts.append(self._rest(codes))
        if not parts:
            return np.zeros((codes.batch, info.channels, 0), np.float32)
        return np.concatenate(parts, axis=2)

    def _follow(self, codes: Codes) -> None:
        """An error unless `codes` are this codec's and go on where the last ones ended."""
        info = self.codec.info
        if not isinstance(codes, Codes):
            raise InputError(f"decode takes the Codes that encode gives, got {type(codes).__name__}")
        if (codes.info.name, codes.info.digest) != (info.name, info.digest):
            raise InputError(
                f"these codes were made by {codes.info.name} ({codes.info.digest or 'no digest'}), "
                f"this codec is {info.name} ({info.digest or 'no digest'}); decode them with the codec that made them"
            )
        check_shape(codes, info)
        if self._expected is not None and codes.start != self._expected:
            raise InputError(f"expected codes that start at frame {self._expected}, got frame {codes.start}")
        if self._batch is not None and codes.batch != self._batch:
            raise InputError(f"this stream began with a batch of {self._batch}, got {codes.batch}; open another")
        self._expected, self._batch = codes.start + codes.frames, codes.batch

    def _gap(self, piece: Codes) -> Wave:
        """Sound for frames that never came: made up while the codec can, one more to fade out, then silence."""
        info = self.codec.info
        most = info.conceals + 1 if info.conceals else 0
        count = min(piece.frames, max(0, most - self._gone))
        wave = np.zeros((piece.batch, info.channels, piece.frames * info.hop), np.float32)
        if count:
            absent = tuple(np.full_like(level[:, :count], -1) for level in piece.levels)
            wave[:, :, : count * info.hop] = self.codec.decode_frames(absent, self._decoder)
            if self._gone + count == most:
                wave[:, :, (count - 1) * info.hop : count * info.hop] *= np.linspace(1, 0, info.hop, dtype=np.float32)
        if count < piece.frames:
            self._decoder = self.codec.new_state()  # what came before the gap does not lead up to what follows it
        self._gone += piece.frames
        return wave

    def _rest(self, codes: Codes) -> Wave:
        """What the decoder holds back because it looks ahead, as if the sound ended here."""
        if not self._owed:
            return np.zeros((codes.batch, self.codec.info.channels, 0), np.float32)
        self.codec.end(self._decoder)
        wave = self.codec.decode_frames(tuple(level[:, :0] for level in codes.levels), self._decoder)
        self._decoder = self.codec.new_state()
        return self._pay(wave)

    def _pay(self, wave: Wave) -> Wave:
        paid = wave[:, :, : self._owed]
        self._owed = self._owed - paid.shape[2] if self.codec.info.lookahead else 0
        return paid


class UnpaddedStream(Stream):
    """A stream that leaves a last frame that is not whole to the layers, where others fill it with zeros."""

    def _blocks(self, wave: Wave, unit: int) -> tuple[Level, ...]:
        zeros = self._fed * self.codec.info.hop + wave.shape[2] - self._heard if self._ended else 0
        return super()._blocks(wave[:, :, : wave.shape[2] - max(0, zeros)], unit)


def check_wave(wave: Any, info: CodecInfo) -> Wave:
    """`wave` as float32 `[B, C, T]`, or an error that says what came and what was expected."""
    if hasattr(wave, "detach"):
        wave = wave.detach().cpu().numpy()
    wave = np.asarray(wave)
    if wave.ndim != 3 or not len(wave) or wave.shape[1] != info.channels or not np.issubdtype(wave.dtype, np.floating):
        raise InputError(
            f"{info.name} expects float samples [batch, {info.channels}, sample] at {info.sample_rate} Hz, "
            f"got {wave.dtype} of shape {list(wave.shape)}"
        )
    with np.errstate(over="ignore"):
        checked: Wave = wave.astype(np.float32, copy=False)
    if not np.isfinite(checked).all():
        raise InputError("the wave holds NaN or infinite samples; repair it before encoding")
    return checked


def check_shape(codes: Codes, info: CodecInfo) -> None:
    """An error unless the codec of `info` takes the levels of `codes` for what they are.

    A file tells of its maker in its own words, and a name and a digest are soon copied.
    """
    count = len(codes.levels)
    if not info.shaped_as(codes.info, info.check_levels(count)):
        raise DamagedError(
            f"these codes call themselves those of {codes.info.name}, and their rate, hop or codebooks are not its; "
            "they are damaged, or another model of that name made them"
        )


def _pieces(codes: Codes, size: int) -> Iterator[Codes]:
    """`codes` in pieces of at most `size` frames, each either wholly lost or wholly there (`lost` is None)."""
    stride = codes.info.stride
    units = -(-codes.frames // stride)
    if codes.lost is None and 0 < units * stride <= size:  # a frame on a line, most of the time
        yield codes
        return
    lost = np.zeros(units * stride, np.bool_)
    if codes.lost is not None:
        lost[: codes.frames] = codes.lost
    gone: NDArray[np.bool_] = np.any(lost.reshape(units, stride), axis=1)
    edges = np.flatnonzero(np.diff(gone)) + 1
    cuts = sorted({*edges.tolist(), *range(0, units, size // stride), units})
    for first, last in itertools.pairwise(cuts):
        piece = codes.cut(first * stride, last * stride)
        yield replace(piece, lost=np.ones(piece.frames, np.bool_) if gone[first] else None)
