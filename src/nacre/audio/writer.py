"""Writing sound block by block: a whole file or none, and clipping counted.

A file appears under its name only when all of it is written; until then it is a hidden one beside it, removed
when anything goes wrong, Ctrl-C included. `C` channel, `T` sample.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np
import soundfile
from numpy.typing import NDArray

from ..atomic import WholeFile
from ..errors import InputError
from .channels import check_channels
from .pcm import RawFormat
from .resampling import check_finite, check_rate
from .sinks import KINDS, WAV, Kind, PcmSink, Sink, SoundSink

_STDOUT = "standard output"  # its name in messages


class AudioWriter:
    """A sound being written: a context manager with `write(wave)`; `clipped` counts samples beyond [-1, 1].

    `target` is a path whose suffix says the kind, or `-` for standard output. `encoding` is int16 (the default),
    int24, int32 or float32, as far as the kind can; lossy kinds have their own. With `raw` samples go out without a
    header, and rate and channels must be those of `raw`.
    """

    def __init__(
        self,
        target: str | os.PathLike[str],
        sample_rate: int,
        channels: int = 1,
        *,
        encoding: str | None = None,
        raw: RawFormat | None = None,
        overwrite: bool = False,
    ) -> None:
        self.sample_rate, self.channels = check_rate(sample_rate), check_channels(channels)
        self.name = _STDOUT if target == "-" else str(target)
        self.clipped = 0  # samples, all channels together
        self.frames = 0  # samples a channel
        self._raw = raw
        self._kind = self._find_kind(encoding)
        self._encoding = encoding or next(iter(self._kind.subtypes))
        self._sink: Sink | None = None
        self._stack = ExitStack()
        if target == "-" and sys.stdout.isatty():
            raise InputError("standard output is a terminal; send it to a file or another program")
        self._whole = None if target == "-" else WholeFile(target, overwrite)

    def _find_kind(self, encoding: str | None) -> Kind:
        raw = self._raw
        if raw is not None:
            if (raw.sample_rate, raw.channels) != (self.sample_rate, self.channels) or encoding is not None:
                raise InputError(
                    f"raw samples go out as {raw.encoding}, {raw.channels} channel(s) at {raw.sample_rate} Hz, so "
                    "no other encoding, channel count or rate can be stated "
                    f"(got {encoding}, {self.channels} channel(s) at {self.sample_rate} Hz)"
                )
            return WAV
        kind = WAV if self.name == _STDOUT else KINDS.get(Path(self.name).suffix.lower())
        if kind is None:
            raise InputError(f"{self.name}: the kind of file is not known by its suffix; use one of {' '.join(KINDS)}")
        if encoding is not None and encoding not in kind.subtypes:
            raise InputError(f"{self.name} can hold samples as {', '.join(kind.subtypes)}, not as {encoding}")
        if kind.rates and self.sample_rate not in kind.rates:
            raise InputError(
                f"{self.name} cannot hold {self.sample_rate} Hz, "
                f"only {', '.join(map(str, kind.rates))} Hz; resample first"
            )
        if self.channels > kind.channels:
            raise InputError(f"{self.name} can hold up to {kind.channels} channels, not {self.channels}")
        return kind

    def __enter__(self) -> AudioWriter:
        """Begin the file, hidden beside its place."""
        with _plain_errors(self.name), ExitStack() as stack:
            file: BinaryIO = sys.stdout.buffer
            if self._whole is not None:
                stack.callback(self._whole.drop)  # before it is there: Ctrl-C may come in between
                file = self._whole.open()
            self._sink = self._open_sink(file)
            stack.callback(self._sink.close)
            self._stack = stack.pop_all()
        return self

    def _open_sink(self, file: BinaryIO) -> Sink:
        if self._kind is WAV:
            raw = self._raw or RawFormat(WAV.subtypes[self._encoding], self.sample_rate, self.channels)
            return PcmSink(file, raw, header=self._raw is None, patchable=self._whole is not None)
        return SoundSink(file, self._kind, self._encoding, self.sample_rate, self.channels)

    def write(self, wave: NDArray[np.float32]) -> None:
        """Write the next samples, `[1, C, T]` or `[C, T]`; NaN and infinite ones are refused."""
        if self._sink is None:
            raise InputError("an AudioWriter is used in a with statement: with AudioWriter(...) as writer")
        wave = np.asarray(wave)
        block = wave[0] if wave.ndim == 3 and len(wave) == 1 else wave
        if block.ndim != 2 or len(block) != self.channels or not np.issubdtype(block.dtype, np.floating):
            raise InputError(
                f"expected float samples [1, {self.channels}, sample] or [{self.channels}, sample], "
                f"got {wave.dtype} of shape {list(wave.shape)}"
            )
        check_finite(block, self.frames, self.sample_rate, f"the sound for {self.name}")
        with _plain_errors(self.name):
            self.clipped += self._sink.write(block.astype(np.float32, copy=False))
        self.frames += block.shape[1]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Put the file in its place, or remove it when something went wrong."""
        sink, self._sink = self._sink, None
        with _plain_errors(self.name), self._stack:
            if kind is not None or sink is None:
                return
            sink.finish()
            if self._whole is not None:
                self._whole.keep()


@contextmanager
def _plain_errors(name: str) -> Iterator[None]:
    """Turn what the system and libsndfile say into one of our errors.

    AssertionError is soundfile's word for a short write, ValueError Python's for a zero byte in a name.
    """
    try:
        yield
    except soundfile.LibsndfileError as error:
        said = error.error_string.rstrip(".")  # it says as little of a full disk as of anything else
        raise InputError(f"{name} cannot be written: {said}; is there room for it?") from error
    except (OSError, ValueError, AssertionError) as error:
        raise InputError(
            f"{name} cannot be written: {getattr(error, 'strerror', None) or error or 'is the disk full?'}"
        ) from error
