"""One clip of training sound: where it lies, and any stretch of it at any rate without decoding the whole.

A clip is a file, or a part of a `.tar` read in place. Stretches of a clip are those of the whole: at another rate
they equal the stretch of the resampled whole to about 1e-6, in Opus and Vorbis to about 1e-3 of full scale.
`C` channel, `T` sample.
"""

from __future__ import annotations

import io
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import soundfile
from numpy.typing import NDArray

from ..audio import mix_channels, resample, resampled_length
from ..audio.channels import from_ogg
from ..errors import DamagedError

_ENDLESS = 1 << 62  # libsndfile says so many frames when it does not know
_CONTEXT = 1024  # samples around a stretch that soxr's filter hears, at the lower of both rates
_BLOCK = 1 << 16  # samples read at once where only reading tells the length


@dataclass(frozen=True, slots=True)
class Clip:
    """Where a clip lies and what its header says."""

    path: str  # the file, or the `.tar` it is in
    key: str  # its name in the `.tar` or folder, without suffix
    offset: int  # bytes into `path`
    size: int  # bytes
    sample_rate: int  # Hz, its own
    channels: int
    frames: int  # samples a channel
    speaker: str = ""  # as the `.json` beside it says

    def length(self, sample_rate: int) -> int:
        """Samples a channel at `sample_rate`."""
        return resampled_length(self.frames, self.sample_rate, sample_rate)

    @property
    def name(self) -> str:
        """How messages name it."""
        return self.path if self.offset == 0 else f"{self.key} in {self.path}"


class _Part:
    """Bytes `offset` to `offset + size` of an open file, as much of a file as soundfile wants."""

    def __init__(self, file: io.FileIO, offset: int, size: int) -> None:
        self._file, self._offset, self._size, self._place = file, offset, size, 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._place = offset + (0, self._place, self._size)[whence]
        return self._place

    def tell(self) -> int:
        return self._place

    def read(self, count: int) -> bytes:
        self._file.seek(self._offset + self._place)
        data = self._file.read(max(0, min(count, self._size - self._place)))
        self._place += len(data)
        return data


class _Sound(soundfile.SoundFile):  # type: ignore[misc]  # soundfile has no types
    """A sound whose `read` does not seek afterwards, which costs more than the read in Ogg."""

    def seekable(self) -> bool:
        return False


@contextmanager
def _opened(path: str, offset: int, size: int, name: str) -> Iterator[_Sound]:
    """An open clip; whatever goes wrong in between is one of our errors."""
    try:
        with open(path, "rb", buffering=0) as file, _Sound(_Part(file, offset, size)) as sound:
            yield sound
    except soundfile.LibsndfileError as error:
        raise DamagedError(f"{name} cannot be read as sound: {error.error_string}") from error
    except (OSError, ValueError) as error:
        raise DamagedError(f"{name} cannot be read: {getattr(error, 'strerror', None) or error}") from error


def find_clip(path: str, key: str, offset: int, size: int, speaker: str = "") -> Clip:
    """The clip in `size` bytes at `offset` of `path`, from its header; DamagedError where there is no sound."""
    name = Clip(path, key, offset, size, 0, 0, 0).name
    with _opened(path, offset, size, name) as sound:
        frames = sound.frames if sound.frames < _ENDLESS else _count(sound)
        rate, channels = sound.samplerate, sound.channels
    if frames < 1:
        raise DamagedError(f"{name} holds no sound")
    return Clip(path, key, offset, size, rate, channels, frames, speaker)


def _count(sound: _Sound) -> int:
    frames = 0
    while came := len(sound.read(_BLOCK, dtype="float32", always_2d=True)):
        frames += came
    return frames


def read_clip(
    clip: Clip, sample_rate: int, channels: int, start: int = 0, count: int | None = None
) -> NDArray[np.float32]:
    """Samples `start` to `start + count` of a clip at `sample_rate` with `channels` channels: `[C, T]` in [-1, 1].

    Fewer come back at the end of the clip, or where the file is shorter than its header says.
    """
    whole = clip.length(sample_rate)
    stop = whole if count is None else min(whole, start + count)
    if stop <= start:
        return np.zeros((channels, 0), np.float32)
    first, last, skip = _source_stretch(clip, sample_rate, start, stop)
    with _opened(clip.path, clip.offset, clip.size, clip.name) as sound:
        if first:
            sound.seek(first)
        block = np.ascontiguousarray(sound.read(last - first, dtype="float32", always_2d=True).T)
        block = from_ogg(block) if sound.format == "OGG" else block
    if not np.isfinite(block).all():
        raise DamagedError(f"{clip.name} holds a NaN or infinite sample")
    wave = resample(mix_channels(block, channels), clip.sample_rate, sample_rate)
    return np.clip(wave[:, skip : skip + stop - start], -1, 1)


def _source_stretch(clip: Clip, sample_rate: int, start: int, stop: int) -> tuple[int, int, int]:
    """First and last source sample for `start` to `stop`, and how many resampled ones come before `start`.

    The first lies where both rates have a sample, so that the resampler meets the same phases as in the whole.
    """
    if clip.sample_rate == sample_rate:
        return start, stop, 0
    common = math.gcd(clip.sample_rate, sample_rate)
    down, up = clip.sample_rate // common, sample_rate // common
    context = math.ceil(_CONTEXT * max(1.0, down / up))
    beat = max(0, start * down // up - context) // down
    last = min(clip.frames, -(-stop * down // up) + context)
    return beat * down, last, start - beat * up
