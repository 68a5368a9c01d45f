"""Where samples come from: a file, a pipe or a stream, told apart by their first bytes, read front to back.

PCM in WAV and raw samples are read here; all else goes to libsndfile: FLAC, Ogg, AIFF and the rest from a file
(what comes through a pipe goes to a temporary file first), MP3 through a pipe.
"""

from __future__ import annotations

import io
import os
import stat
import sys
import tempfile
import threading
from abc import ABC, abstractmethod
from contextlib import ExitStack, suppress
from typing import BinaryIO, cast

import numpy as np
import soundfile

from ..errors import DamagedError, InputError
from ..opening import open_file, unreadable
from .channels import Block, check_channels, from_ogg
from .pcm import RawFormat, read_header, unpack
from .resampling import check_rate

SourceLike = str | os.PathLike[str] | BinaryIO
_COPY = 1 << 16  # bytes moved at once
_ENDLESS = 1 << 62  # libsndfile says so many frames when it does not know
_MAGICS = (b"RIFF", b"RF64", b"fLaC", b"OggS", b"FORM", b"caff", b".snd", b"riff")


class Stream:
    """Bytes of a file or pipe, front to back; the first ones can be looked at before they are read."""

    def __init__(self, file: BinaryIO, name: str, size: int | None) -> None:
        self.file, self.name = file, name
        self.size = size  # bytes, None on a pipe
        self.place = 0  # bytes read so far
        self.seen: bytearray | None = None  # set it to keep a copy of what is read
        self._ahead = b""

    def peek(self, count: int) -> bytes:
        """The next `count` bytes, fewer at the end, left in place."""
        self._ahead += self._fill(count - len(self._ahead))
        return self._ahead[:count]

    def read(self, count: int) -> bytes:
        """The next `count` bytes, fewer only at the end."""
        head, self._ahead = self._ahead[:count], self._ahead[count:]
        data = head + self._fill(count - len(head))
        self.place += len(data)
        if self.seen is not None:
            self.seen += data
        return data

    def read_some(self, count: int) -> bytes:
        """At most `count` bytes as they come, none at the end; a file with a buffer waits for all of them."""
        self._ahead = self._ahead or self._read_once(count)
        return self.read(min(count, len(self._ahead)))

    def read_ahead(self) -> bytes:
        """What was fetched of the file already; without any it waits for some."""
        head, self._ahead = self._ahead, b""
        peek = getattr(self.file, "peek", None)
        try:
            return head + (self.file.read(len(peek(1))) if peek else b"")
        except OSError as error:
            raise unreadable(self.name, error) from error

    def put_back(self, data: bytes) -> None:
        """Let `data` be what comes next."""
        self._ahead = data + self._ahead

    def skip(self, count: int) -> None:
        """Go past `count` bytes, or to the end."""
        while count > 0 and (data := self.read(min(count, _COPY))):
            count -= len(data)

    def _fill(self, count: int) -> bytes:
        parts = []
        while count > 0 and (data := self._read_once(count)):
            parts.append(data)
            count -= len(data)
        return b"".join(parts)

    def _read_once(self, count: int) -> bytes:
        try:
            return self.file.read(count)
        except OSError as error:
            raise unreadable(self.name, error) from error


class Source(ABC):
    """Samples at the rate and with the channels they have, front to back."""

    name: str
    sample_rate: int  # Hz
    channels: int
    frames: int | None  # samples a channel, as promised; None when unknown

    @abstractmethod
    def read(self, count: int) -> Block:
        """The next `count` samples `[C, count]`, fewer only at the end."""


class PcmSource(Source):
    """Plain samples, with or without a length."""

    def __init__(self, stream: Stream, raw: RawFormat, data_bytes: int | None, headless: bool) -> None:
        self.name, self.sample_rate, self.channels = stream.name, raw.sample_rate, raw.channels
        self.frames = None if data_bytes is None else data_bytes // raw.frame_bytes
        self._stream, self._raw, self._left, self._headless = stream, raw, self.frames, headless

    def read(self, count: int) -> Block:
        """The next `count` samples `[C, count]`, fewer only at the end."""
        if self._left is not None:
            count = min(count, self._left)
            self._left -= count
        data = self._stream.read(count * self._raw.frame_bytes)
        spare = len(data) % self._raw.frame_bytes
        if spare and self._headless:
            raise DamagedError(
                f"{self.name} ends inside a sample; it was cut short or is not {self._raw.encoding} "
                f"with {self.channels} channel(s), so state its true format"
            )
        return unpack(data[: len(data) - spare], self._raw)


class _Forward(soundfile.SoundFile):  # type: ignore[misc]  # soundfile has no types
    """A file read front to back: soundfile would seek after every block.

    That costs time, and fails at the end of a FLAC that does not know its length.
    """

    def seekable(self) -> bool:
        return False


class SoundSource(Source):
    """Whatever libsndfile reads, from a file descriptor."""

    def __init__(self, descriptor: int, name: str, known: bool, feed: _Feed | None = None) -> None:
        self.name, self._feed = name, feed
        try:
            self._file = _Forward(descriptor, closefd=False)
        except soundfile.LibsndfileError as error:
            self._check_feed()
            if known:
                raise DamagedError(
                    f"{name} begins like a sound file but cannot be read: {error.error_string}"
                ) from error
            raise InputError(
                f"{name} is not a sound file that can be read here; expected WAV, FLAC, Ogg, Opus, MP3 or AIFF, "
                "or raw samples with their format stated"
            ) from error
        self.sample_rate, self.channels = self._file.samplerate, self._file.channels
        self.frames = None if self._file.frames >= _ENDLESS else self._file.frames
        self._ogg = self._file.format == "OGG"
        self._place = 0

    def read(self, count: int) -> Block:
        """The next `count` samples `[C, count]`, fewer only at the end."""
        try:
            block = self._file.read(count, dtype="float32", always_2d=True).T
        except soundfile.LibsndfileError as error:
            self._check_feed()
            raise DamagedError(
                f"{self.name} is damaged near {self._place / self.sample_rate:.3f} s: {error.error_string}"
            ) from error
        self._place += block.shape[1]
        if block.shape[1] < count:
            self._check_feed()
        block = np.ascontiguousarray(block)
        return from_ogg(block) if self._ogg else block

    def close(self) -> None:
        """Let libsndfile go; the descriptor stays open."""
        self._file.close()

    def _check_feed(self) -> None:
        """What kept the bytes from coming, where that is why libsndfile has no more."""
        if self._feed is not None and self._feed.error is not None:
            raise self._feed.error


def open_source(source: SourceLike, raw: RawFormat | None, stack: ExitStack) -> Source:
    """Open a path, `-` for standard input, or a binary stream; `stack` closes what was opened."""
    stream = _open_stream(source, stack)
    if raw is not None:
        whole = stream.size is not None and stream.size % raw.frame_bytes == 0
        return PcmSource(stream, raw, stream.size if whole else None, headless=True)
    found = _sniff(stream, stack)
    try:
        check_rate(found.sample_rate)
        check_channels(found.channels)
    except InputError as error:
        raise InputError(f"{found.name} cannot be used: {error}") from error
    return found


def _open_stream(source: SourceLike, stack: ExitStack) -> Stream:
    if not isinstance(source, str | os.PathLike):
        return Stream(source, "the stream", None)
    if source == "-":
        return Stream(sys.stdin.buffer, "standard input", None)
    file = stack.enter_context(open_file(source))
    status = os.fstat(file.fileno())
    return Stream(file, os.fspath(source), status.st_size if stat.S_ISREG(status.st_mode) else None)


def _sniff(stream: Stream, stack: ExitStack) -> Source:
    magic = stream.peek(12)
    if not magic:
        raise InputError(f"{stream.name} is empty; expected a sound file")
    if magic[:4] in (b"RIFF", b"RF64") and magic[8:] == b"WAVE":
        return _open_wav(stream, stack)
    tagged = _skip_tags(stream)
    magic = stream.peek(12)
    if _is_mp3(magic) or (tagged and magic[:4] not in _MAGICS):
        feed = _Feed(stream, stack)
        return _sound(feed.out, stream.name, tagged, stack, feed)
    if magic[:4] not in _MAGICS and stream.size is None:
        raise InputError(
            f"{stream.name} is not sound of a known kind; "
            "send WAV, FLAC, Ogg or MP3, or state the format of raw samples"
        )
    return _from_file(stream, magic, b"", stack)


def _open_wav(stream: Stream, stack: ExitStack) -> Source:
    stream.seen = bytearray()
    raw, data_bytes = read_header(stream, stream.name)
    seen, stream.seen = bytes(stream.seen), None
    if raw is None:  # compressed: µ-law, ADPCM and others
        return _from_file(stream, seen[:4], seen, stack)
    if stream.size is not None:
        here = stream.size - stream.place
        if data_bytes is not None and data_bytes > here:
            rate = raw.sample_rate * raw.frame_bytes
            raise DamagedError(
                f"{stream.name} was cut short: its header promises {data_bytes / rate:.3f} s of sound, "
                f"{here / rate:.3f} s are there"
            )
        data_bytes = here if data_bytes is None else data_bytes
    return PcmSource(stream, raw, data_bytes, headless=False)


def _skip_tags(stream: Stream) -> bool:
    """Go past ID3v2 tags: libsndfile cannot on a pipe when they hold a picture."""
    tagged = False
    while (head := stream.peek(10))[:3] == b"ID3" and len(head) == 10:
        size = sum((byte & 0x7F) << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True))
        stream.skip(10 + size + (10 if head[5] & 0x10 else 0))
        tagged = True
    return tagged


def _is_mp3(magic: bytes) -> bool:
    """Does an MPEG audio frame begin here? Eleven sync bits, and no reserved version, layer, bit rate or rate."""
    if len(magic) < 4 or magic[0] != 0xFF or magic[1] & 0xE0 != 0xE0:
        return False
    version, layer = magic[1] >> 3 & 3, magic[1] >> 1 & 3
    return version != 1 and layer != 0 and magic[2] >> 4 != 15 and magic[2] >> 2 & 3 != 3


class _Feed:
    """The rest of a stream as a pipe, filled by a thread.

    Given an MP3 file without a Xing header, libsndfile guesses the length from the first frame and stops there,
    which can lose most of the file; on a pipe it reads to the end.
    """

    def __init__(self, stream: Stream, stack: ExitStack) -> None:
        self.error: Exception | None = None  # why the stream ended before its end
        held = ExitStack()  # what the thread closes
        stream = _behind_python(stream, held)
        self.out, into = os.pipe()  # `out` is the descriptor to read from
        thread = threading.Thread(target=self._pump, args=(stream, into, held), daemon=True)
        thread.start()
        stack.callback(thread.join, 1)  # it ends when its pipe is closed, if it does not wait for a pipe's other end
        stack.callback(os.close, self.out)

    def _pump(self, stream: Stream, into: int, held: ExitStack) -> None:
        with held, suppress(OSError), os.fdopen(into, "wb", 0) as pipe:  # OSError: nobody listens any more
            while data := self._next(stream):
                while data:
                    data = data[pipe.write(data) :]

    def _next(self, stream: Stream) -> bytes:
        try:
            return stream.read_some(_COPY)
        except Exception as error:  # noqa: BLE001 - a caller's stream fails in its own way, told where sound is read
            self.error = error
            return b""


def _behind_python(stream: Stream, held: ExitStack) -> Stream:
    """What is left of a file or pipe, without Python's buffer, whose lock a thread that waits would hold for ever:
    nobody could close the file, and Python would end by abortion.
    """
    file = getattr(stream.file, "raw", stream.file)
    if not isinstance(file, io.FileIO):  # a stream of another kind: what it reads is not what its descriptor holds
        return stream
    fetched = stream.read_ahead()
    raw = held.enter_context(open(os.dup(file.fileno()), "rb", buffering=0))  # noqa: SIM115
    rest = Stream(cast(BinaryIO, raw), stream.name, stream.size)
    rest.put_back(fetched)
    return rest


def _from_file(stream: Stream, magic: bytes, seen: bytes, stack: ExitStack) -> Source:
    """Let libsndfile read a file, the one that is there or a temporary one with `seen` and all that comes."""
    file = stream.file
    if stream.size is None:
        # Unbuffered: libsndfile moves the place in the file under Python's buffer, which closing would trip over.
        file = stack.enter_context(tempfile.TemporaryFile(buffering=0))  # noqa: SIM115
        try:
            while data := seen or stream.read(_COPY):
                seen = data[file.write(data) :]
        except OSError as error:
            raise InputError(f"{stream.name} cannot be kept in a temporary file: {error.strerror}") from error
    _check_whole(file, stream.name)
    os.lseek(file.fileno(), 0, os.SEEK_SET)  # file.seek may only move within Python's buffer
    return _sound(file.fileno(), stream.name, magic[:4] in _MAGICS, stack)


def _sound(descriptor: int, name: str, known: bool, stack: ExitStack, feed: _Feed | None = None) -> SoundSource:
    source = SoundSource(descriptor, name, known, feed)
    stack.callback(source.close)
    return source


def _check_whole(file: BinaryIO, name: str) -> None:
    """Refuse a file cut short where libsndfile would take what is left for the whole."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    kind, promised = file.read(4), file.read(4)
    short = False
    if kind in (b"FORM", b"RIFF"):
        length = int.from_bytes(promised, "big" if kind == b"FORM" else "little")
        short = length < 0x7FFFF000 and length + 8 > size + 1  # some writers count a padding byte they do not write
    elif kind == b"OggS":
        file.seek(max(0, size - (1 << 17)))  # a page has at most 65307 bytes
        short = not _ends_whole(file.read())
    if short:
        raise DamagedError(f"{name} was cut short: its end is missing")


def _ends_whole(tail: bytes) -> bool:
    """Is the last Ogg page whole, and does it say that the stream ends?"""
    page = tail[tail.rfind(b"OggS") :]
    if len(page) < 27 or len(page) < 27 + page[26]:
        return False
    lacing = page[27 : 27 + page[26]]
    return bool(page[5] & 4) and len(page) >= 27 + len(lacing) + sum(lacing)
