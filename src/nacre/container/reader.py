"""Reads `.nac` files, from the beginning, in the middle, or from a pipe."""

from __future__ import annotations

import math
from collections.abc import Iterator
from types import TracebackType

import numpy as np

from ..codes import CodecInfo, Codes
from ..errors import DamagedError, InputError
from .header import LEAD, Header, metadata_size, parse_header
from .index import locate
from .recover import Finder, wait_for_header
from .sequence import Damage, Sequence
from .source import Readable, Source

__all__ = ["MAX_READ", "Damage", "NacReader"]

MAX_READ = 1 << 26  # codes that are put together at once; longer files are read piece by piece


class NacReader:
    """A `.nac` file's codes, tags and damage. Use it in a `with` statement.

    `source` is a path, "-" for stdin, a binary file (a pipe will do) or bytes. To take a stream up in the middle give
    `join`: the stream's header as bytes, or b"" to wait for a copy of the header in the stream.
    """

    def __init__(self, source: Readable, join: bytes | None = None) -> None:
        self._source, self._joined = Source(source), join is not None
        try:
            self.header, self._sequence = self._open() if join is None else self._join(join)
        except BaseException:
            self._source.close()
            raise

    @property
    def info(self) -> CodecInfo:
        """The codec that made the codes."""
        return self.header.info

    @property
    def levels(self) -> int:
        """Levels in the file."""
        return self.header.levels

    @property
    def tags(self) -> dict[str, str]:
        """The user's tags."""
        return dict(self.header.tags)

    @property
    def length(self) -> int | None:
        """Samples in the file; None from a pipe until the last packet was read."""
        return self._sequence.length

    @property
    def damage(self) -> list[Damage]:
        """Everything found so far that is not as it was written."""
        return self._sequence.damage

    @property
    def size(self) -> int:
        """Bytes of the file, or those read so far from a pipe."""
        return self._source.size

    def packets(self) -> Iterator[Codes]:
        """The codes from here on, a piece a packet; frames of lost packets are zeros and marked `lost`."""
        while (piece := self._sequence.next()) is not None:
            yield piece

    def seek(self, seconds: float) -> int:
        """Go to the packet that holds the sound at `seconds`; the frame it starts at."""
        return self.seek_frame(self._frame(seconds))

    def seek_frame(self, frame: int) -> int:
        """Go to the packet that holds `frame`, or to the last one; the frame it starts at.

        Beyond the end of a stream that has no index it is the end, and the frame the one after it.
        """
        sequence, target = self._sequence, max(0, frame) // self.header.packet_frames
        if sequence.index is not None:
            target = min(target, sequence.index.count)
            sequence.go(target, sequence.index.offset(target))
        elif target < sequence.number:
            if not self._source.seekable or self._joined:
                raise InputError("cannot go back in a pipe or a joined stream; save it as a file first")
            sequence.go(0, len(self.header.packed))
        while sequence.number < target and sequence.next() is not None:
            pass
        return sequence.number * self.header.packet_frames

    def read_frames(self, start: int, stop: int) -> Codes:
        """Frames `start` to `stop`, both where all levels start anew; fewer where the file ends before."""
        if not 0 <= start <= stop:
            raise InputError(f"expected a range of frames, got {start} to {stop}")
        first = self.seek_frame(start)
        pieces, count = [self._nothing(first)], 0
        for piece in self.packets():
            pieces.append(piece)
            count += sum(level.size for level in piece.levels)
            if count > MAX_READ:
                raise InputError(f"more than {MAX_READ} codes at once; read this file piece by piece with packets()")
            if piece.start + piece.frames >= stop:
                break
        codes = Codes.join(pieces)
        return codes.cut(max(0, min(start - first, codes.frames)), max(0, stop - first))

    def read(self, start: float = 0.0, stop: float | None = None) -> Codes:
        """The frames that hold the sound from `start` to `stop` seconds, to the end by default."""
        stride = self.info.stride
        first = self._frame(start) // stride * stride
        if stop is None:
            return self.read_frames(first, 1 << 62)
        last = -(-self.info.frames(round(stop * self.info.sample_rate)) // stride) * stride
        return self.read_frames(first, max(first, last))

    def close(self) -> None:
        """Close the file if it was opened here."""
        self._source.close()

    def __enter__(self) -> NacReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open(self) -> tuple[Header, Sequence]:
        source = self._source
        source.fill(LEAD.size)
        end = LEAD.size + metadata_size(bytes(source.data[: LEAD.size])) + 2
        source.fill(end)
        header = parse_header(bytes(source.data[:end]))
        source.drop(end)
        index = locate(source.file, source.base, header) if source.seekable else None
        return header, Sequence(source, header, index, 0)

    def _join(self, known: bytes) -> tuple[Header, Sequence]:
        header = parse_header(known) if known else wait_for_header(self._source)
        number = Finder(self._source, header).find(None)
        if number is None:
            raise DamagedError(f"no whole packets of {header.info.name} were found in this stream")
        return header, Sequence(self._source, header, None, number)

    def _frame(self, seconds: float) -> int:
        if not math.isfinite(seconds):
            raise InputError(f"expected a number of seconds, got {seconds}")
        sample = max(0, round(seconds * self.info.sample_rate))
        return self.info.place(sample) if sample else 0

    def _nothing(self, start: int) -> Codes:
        levels = tuple(np.zeros((1, 0), np.int64) for _ in range(self.levels))
        return Codes(levels, 0, self.info, start, np.zeros((1, 0), np.float32) if self.info.segment else None)
