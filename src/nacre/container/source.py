"""Bytes from anything that can be read, a window at a time: a path, stdin, a pipe, a file object or bytes."""

from __future__ import annotations

import io
import os
import sys
from typing import BinaryIO

from ..opening import open_file, unreadable

Readable = str | os.PathLike[str] | BinaryIO | bytes
_CHUNK = 1 << 16


class Source:
    """A window onto a stream: `data` holds the bytes from `offset` on, as many as `fill` was asked for or more."""

    def __init__(self, source: Readable) -> None:
        self._owned, self.name = False, "the stream"
        if isinstance(source, (bytes, bytearray)):
            self.file: BinaryIO = io.BytesIO(source)
        elif source == "-":
            self.file, self.name = sys.stdin.buffer, "standard input"
        elif isinstance(source, (str, os.PathLike)):
            self.file, self.name, self._owned = open_file(source, buffering=0), os.fspath(source), True
        else:
            self.file = source
        self.seekable = _seekable(self.file)
        self.base = self.file.tell() if self.seekable else 0
        self.data = bytearray()
        self.offset = 0  # of data[0], from where the stream was taken over
        self._exhausted = False

    def fill(self, count: int) -> int:
        """Have `count` bytes in `data` if the stream holds them; how many there are."""
        while len(self.data) < count and not self._exhausted:
            try:
                more = self.file.read(max(count - len(self.data), _CHUNK if self.seekable else 1))
            except OSError as error:
                raise unreadable(self.name, error) from error
            self._exhausted = not more
            self.data += more or b""
        return len(self.data)

    def drop(self, count: int) -> None:
        """Move on by `count` bytes."""
        del self.data[:count]
        self.offset += count

    def jump(self, offset: int) -> None:
        """Move to `offset`; only where the stream is seekable."""
        self.file.seek(self.base + offset)
        self.data.clear()
        self.offset, self._exhausted = offset, False

    @property
    def size(self) -> int:
        """Bytes of the whole file, or those read so far from a pipe."""
        if not self.seekable:
            return self.offset + len(self.data)
        here = self.file.tell()
        size = self.file.seek(0, os.SEEK_END) - self.base
        self.file.seek(here)
        return size

    def close(self) -> None:
        """Close the file if it was opened here."""
        if self._owned:
            self.file.close()


def _seekable(file: BinaryIO) -> bool:
    try:
        return file.seekable()
    except (AttributeError, OSError):
        return False
