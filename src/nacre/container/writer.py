"""Writes `.nac` files, packet by packet, onto anything that takes bytes."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import BinaryIO

import numpy as np

from ..atomic import WholeFile
from ..codes import CodecInfo, Codes
from ..errors import InputError
from . import priors
from .header import Header
from .index import TableWriter
from .packets import COPY, MAX_LENGTH, full_tag, last_tag, pack_coded, pack_raw, seal

_WORTH = 6  # bytes that entropy coding must save on a packet: its part of the seek table
_WORTH_FIRST = 24  # the same for the first such packet, which brings the table about


class NacWriter:
    """Codes in, in pieces of any number of frames; a `.nac` file out. Use it in a `with` statement.

    `sink` is a path, "-" for stdout, or a binary file; nothing is ever sought in. A path is written beside and
    renamed at the end, so that no half file is left after an exception. `raw` turns entropy coding off. `announce`
    repeats the header every so many seconds, for listeners who join a broadcast.
    """

    def __init__(
        self,
        sink: str | os.PathLike[str] | BinaryIO,
        info: CodecInfo,
        levels: int | None = None,
        tags: Mapping[str, str] | None = None,
        raw: bool = False,
        overwrite: bool = False,
        announce: float = 0.0,
    ) -> None:
        number = priors.FLAT if raw else priors.number_for(info)
        self.header = Header(info, info.check_levels(levels), dict(tags or {}), number)
        self._tables = None if raw else priors.tables(info, number)
        every = announce * info.frame_rate / self.header.packet_frames
        self._announce = max(1, round(every)) if announce > 0 else 0  # packets between two copies of the header
        self._index = TableWriter()
        self._pending: list[Codes] = []
        self._heard = 0  # frames taken in
        self._number = 0  # packets written
        self._length = 0  # samples
        packed = self.header.packed  # fails before anything is opened
        self._sink = _Sink(sink, overwrite)
        try:
            self._sink.write(packed)
        except BaseException:  # nobody has a writer yet who could discard it
            self._sink.discard()
            raise

    def write(self, codes: Codes) -> None:
        """Take the next piece; every packet that is full and not the last is written at once."""
        codes = self._check(codes)
        if codes.frames:
            self._pending.append(codes)
        self._heard += codes.frames
        self._length += codes.length
        if self._length > MAX_LENGTH:
            raise InputError(f"a .nac file holds at most {MAX_LENGTH} samples; begin another file")
        full = self.header.packet_frames
        if self._heard - self._number * full <= full:
            return
        joined, at = Codes.join(self._pending), 0
        while joined.frames - at > full:
            self._write_full(joined.cut(at, at + full))
            at += full
        self._pending = [joined.cut(at, joined.frames)]

    def close(self) -> None:
        """Write what is left and finish the file; without this there is no file."""
        if self._sink.closed:
            return
        try:
            self._write_last()
            self._sink.finish()
        finally:
            self._sink.discard()

    def discard(self) -> None:
        """Give up: a file that was to be written at a path is not left behind."""
        self._sink.discard()

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return self._sink.size

    def __enter__(self) -> NacWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self.discard()
            return
        self.close()

    def _check(self, codes: Codes) -> Codes:
        info, header = self.header.info, self.header
        if self._sink.closed:
            raise InputError("this file is finished; open another NacWriter")
        if codes.info != info:
            raise InputError(f"this file holds codes of {info}, got codes of {codes.info}")
        if codes.batch != 1:
            raise InputError(f"a .nac file holds one wave, got a batch of {codes.batch}; write one file for each")
        if codes.start != self._heard:
            raise InputError(f"expected codes that start at frame {self._heard}, got frame {codes.start}")
        if len(codes.levels) < header.levels:
            raise InputError(f"this file holds {header.levels} levels, got {len(codes.levels)}")
        if (codes.scale is not None) != bool(info.segment):
            every = f"one scale for every {info.segment} frames" if info.segment else "no scales"
            raise InputError(f"{info.name} has {every}, these codes have {'none' if codes.scale is None else 'some'}")
        if codes.scale is not None and (
            codes.scale.shape != (1, header.scales(codes.frames)) or not np.isfinite(codes.scale).all()
        ):
            raise InputError(f"expected {header.scales(codes.frames)} finite scales, got {codes.scale.shape}")
        return codes.head(header.levels) if len(codes.levels) > header.levels else codes

    def _write_full(self, codes: Codes) -> None:
        if self._announce and self._number and self._number % self._announce == 0:
            self._sink.write(bytes([COPY]) + self.header.packed)
            self._index.copy()
        payload, coded = self._payload(codes, _WORTH if self._index.needed else _WORTH_FIRST)
        tag = full_tag(len(payload) if coded else None)
        self._sink.write(seal(tag, payload, self.header, self._number))
        self._number += 1
        if coded:
            self._index.coded(len(payload))
        else:
            self._index.raw()

    def _write_last(self) -> None:
        rest = Codes.join(self._pending) if self._pending else None
        payload, coded = self._payload(rest, 2) if rest else (b"", False)
        frames, size = rest.frames if rest else 0, len(payload) if coded else None
        tag = last_tag(self.header, self._number, frames, self._length, size)
        packet = seal(tag, payload, self.header, self._number)
        self._sink.write(packet + self._index.packed(self.header, self._length, len(packet)))

    def _payload(self, codes: Codes, worth: int) -> tuple[bytes, bool]:
        if codes.lost is not None and codes.lost.any():  # its frames would pass for sound
            return b"", True
        raw = pack_raw(codes)
        if self._tables is None:
            return raw, False
        coded = pack_coded(codes, self._tables)
        return (coded, True) if len(coded) + worth <= len(raw) else (raw, False)


class _Sink:
    """Where the bytes go: a path, whole or not at all, stdout, or somebody's binary file."""

    def __init__(self, sink: str | os.PathLike[str] | BinaryIO, overwrite: bool) -> None:
        self.closed = False
        self.size = 0
        self._whole: WholeFile | None = None
        if sink == "-":
            self._file: BinaryIO = sys.stdout.buffer
        elif isinstance(sink, (str, os.PathLike)):
            self._whole = WholeFile(sink, overwrite)
            self._file = self._whole.open()
        else:
            self._file = sink

    def write(self, data: bytes) -> None:
        self.size += len(data)
        view = memoryview(data)
        with self._plain_errors():
            while view:
                done = self._file.write(view)
                view = view[done if done is not None else len(view) :]  # a plain object may say nothing

    def finish(self) -> None:
        with self._plain_errors():
            self._file.flush()
        if self._whole is not None:
            self._whole.keep()
        self.closed = True

    def discard(self) -> None:
        self.closed = True
        if self._whole is not None:
            self._whole.drop()

    @contextmanager
    def _plain_errors(self) -> Iterator[None]:
        """What the system says of a path, in a sentence; what goes wrong in somebody's file is theirs."""
        try:
            yield
        except OSError as error:
            if self._whole is None:
                raise
            raise self._whole.sorry(error) from error
