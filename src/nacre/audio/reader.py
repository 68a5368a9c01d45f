"""Reading sound front to back in blocks, at the rate and with the channels wanted; memory does not grow with length.

`C` channel, `T` sample. Everything that comes out is finite float32.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from ..errors import DamagedError, InputError
from .channels import Block, check_channels, mix_channels
from .pcm import RawFormat
from .resampling import Resampler, check_finite, check_rate, resampled_length
from .sources import SourceLike, open_source

_STEP = 64, 16384  # samples read at once: at least, so that tiny blocks stay cheap, and at most


@dataclass(frozen=True)
class Audio:
    """A whole sound in memory."""

    samples: NDArray[np.float32]  # [1, C, T]
    sample_rate: int  # Hz

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return float(self.samples.shape[2] / self.sample_rate)


class AudioReader:
    """A sound being read: a context manager whose `blocks()` come at `sample_rate` with `channels` channels.

    `source` is a path, `-` for standard input, or a binary stream; with `raw` its samples have no header.
    """

    def __init__(
        self,
        source: SourceLike,
        sample_rate: int | None = None,
        channels: int | None = None,
        raw: RawFormat | None = None,
    ) -> None:
        with ExitStack() as stack:
            self._source = open_source(source, raw, stack)
            self.name = self._source.name
            self.source_rate, self.source_channels = self._source.sample_rate, self._source.channels
            self.sample_rate = check_rate(sample_rate or self.source_rate)
            self.channels = check_channels(channels or self.source_channels)
            mix_channels(np.zeros((self.source_channels, 0), np.float32), self.channels)  # say now that it cannot be
            self._stack = stack.pop_all()
        self._begun = False

    @property
    def source_frames(self) -> int | None:
        """Samples a channel in the source; None where only its end will tell, until it is reached."""
        return self._source.frames

    @property
    def frames(self) -> int | None:
        """Samples a channel that `blocks()` will give in all: the source's at the new rate, rounded, halves up."""
        known = self.source_frames
        return None if known is None else resampled_length(known, self.source_rate, self.sample_rate)

    @property
    def duration(self) -> float | None:
        """Length of the source in seconds, None where only its end will tell."""
        return None if self.source_frames is None else self.source_frames / self.source_rate

    def blocks(self, seconds: float = 1.0) -> Iterator[NDArray[np.float32]]:
        """All samples in blocks `[1, C, n]` of `seconds`, the last one shorter; none when there is no sound.

        The blocks joined are the same whatever `seconds` is. A source is read once.
        """
        size = round(seconds * self.sample_rate)
        if size < 1:
            raise InputError(f"expected blocks of at least one sample, got {seconds} s at {self.sample_rate} Hz")
        if self._begun:
            raise InputError(f"{self.name} is read once, front to back; open it again to read it again")
        self._begun = True
        return self._reblock(size)

    def _reblock(self, size: int) -> Iterator[NDArray[np.float32]]:
        waiting: list[Block] = []
        count = 0
        for chunk in self._chunks(size):
            waiting.append(chunk)
            count += chunk.shape[1]
            if count < size:
                continue
            joined = np.concatenate(waiting, axis=1)
            whole = count // size * size
            for start in range(0, whole, size):
                yield joined[None, :, start : start + size]
            waiting, count = [joined[:, whole:]], count - whole
        if count:
            yield np.concatenate(waiting, axis=1)[None]

    def _chunks(self, size: int) -> Iterator[Block]:
        """Blocks `[C, n]` as they come from the source, converted; a live pipe is not kept waiting beyond one block."""
        step = min(max(size * self.source_rate // self.sample_rate, _STEP[0]), _STEP[1])
        resampler = Resampler(self.source_rate, self.sample_rate, self.channels)
        place, last = 0, False
        while not last:
            block = self._source.read(step)
            check_finite(block, place, self.source_rate, self.name)
            place += block.shape[1]
            last = block.shape[1] < step
            yield resampler.push(mix_channels(block, self.channels), last)
        promised, self._source.frames = self.source_frames, place  # at the end the length is known
        if promised is not None and place < promised:
            raise DamagedError(
                f"{self.name} was cut short or is damaged: it promises {promised / self.source_rate:.3f} s of sound, "
                f"{place / self.source_rate:.3f} s could be read"
            )

    def read(self) -> Audio:
        """Everything at once."""
        blocks = list(self.blocks(10.0))
        if not blocks:
            return Audio(np.zeros((1, self.channels, 0), np.float32), self.sample_rate)
        return Audio(np.concatenate(blocks, axis=2), self.sample_rate)

    def close(self) -> None:
        """Close what was opened; standard input and streams handed in stay open."""
        self._stack.close()

    def __enter__(self) -> AudioReader:
        """Itself; leaving closes it."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()
