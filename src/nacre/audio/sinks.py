"""Where samples go: PCM with a WAV header or none, written here, and all else through libsndfile.

`KINDS` says which files there are, by suffix. Blocks are float32 `[C, T]`, `C` channel, `T` sample.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import BinaryIO, Protocol

import numpy as np
import soundfile
from numpy.typing import NDArray

from ..errors import InputError
from .channels import MAX_CHANNELS, Block, to_ogg
from .pcm import RawFormat, count_clipped, pack, quantise, wav_header

_PCM = {"int16": "s16le", "int24": "s24le", "int32": "s32le", "float32": "f32le"}
_INTEGERS = {"int16": "PCM_16", "int24": "PCM_24"}
_OPUS_RATES = (8000, 12000, 16000, 24000, 48000)
_MP3_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
# Samples handed to libsndfile at once: always as many, for what Vorbis writes depends on it, and never very many,
# for its encoder then overflows the stack.
_PIECE = 4096


@dataclass(frozen=True)
class Kind:
    """One kind of file: libsndfile's name for it and what it can hold."""

    format: str
    subtypes: dict[str, str] = field(default_factory=dict)  # by our encoding, the first is the default
    rates: tuple[int, ...] = ()  # () for any
    channels: int = MAX_CHANNELS
    empty: bool = True  # can it hold no samples at all?
    max_bytes: int | None = None  # of samples


WAV = Kind("WAV", _PCM)
_AIFF = Kind("AIFF", {**_INTEGERS, "int32": "PCM_32", "float32": "FLOAT"}, max_bytes=(1 << 32) - 4096)
_VORBIS = Kind("OGG", {"vorbis": "VORBIS"})
KINDS = {
    ".wav": WAV,
    ".flac": Kind("FLAC", _INTEGERS, channels=8, empty=False),
    ".ogg": _VORBIS,
    ".oga": _VORBIS,
    ".opus": Kind("OGG", {"opus": "OPUS"}, _OPUS_RATES, empty=False),
    ".mp3": Kind("MP3", {"mp3": "MPEG_LAYER_III"}, _MP3_RATES, channels=2, empty=False),
    ".aiff": _AIFF,
    ".aif": _AIFF,
}


class Sink(Protocol):
    """Where blocks go once they are checked."""

    def write(self, block: Block) -> int:
        """Write a block `[C, T]`; how many samples were clipped."""

    def finish(self) -> None:
        """Write what is still due."""

    def close(self) -> None:
        """Let go of it, finished or not; the file stays open."""


class PcmSink(Sink):
    """PCM with a WAV header, patched at the end where the file can seek, or with none."""

    def __init__(self, file: BinaryIO, raw: RawFormat, header: bool, patchable: bool) -> None:
        self._file, self._raw, self._bytes = file, raw, 0
        self._header, self._patchable = header, patchable
        if header:
            file.write(wav_header(raw, 0 if patchable else None, patchable))

    def write(self, block: Block) -> int:
        data = pack(block, self._raw.encoding)
        self._file.write(data)
        self._bytes += len(data)
        if not self._patchable:
            self._file.flush()  # whoever listens at the other end of a pipe hears it now
        return 0 if self._raw.encoding.startswith("f") else count_clipped(block)

    def finish(self) -> None:
        if self._header and self._bytes % 2:
            self._file.write(b"\0")
        if self._header and self._patchable:
            self._file.seek(0)
            self._file.write(wav_header(self._raw, self._bytes, patchable=True))
        self._file.flush()

    def close(self) -> None:
        """Nothing to let go of."""


class SoundSink(Sink):
    """What libsndfile writes."""

    def __init__(self, file: BinaryIO, kind: Kind, encoding: str, sample_rate: int, channels: int) -> None:
        self._kind, self._encoding, self._frames, self._channels = kind, encoding, 0, channels
        subtype = kind.subtypes[encoding]
        self._waiting = np.zeros((channels, 0), np.float32)
        self._sound = soundfile.SoundFile(
            file.fileno(), "w", sample_rate, channels, subtype, format=kind.format, closefd=False
        )

    def write(self, block: Block) -> int:
        self._frames += block.shape[1]
        if self._kind.max_bytes and self._frames * self._channels * 4 > self._kind.max_bytes:
            raise InputError(f"{self._kind.format} holds less than 4 GB; write .wav or .flac instead")
        if self._kind.format == "OGG":
            block = to_ogg(block)
        waiting = np.concatenate([self._waiting, block], axis=1)
        whole = waiting.shape[1] // _PIECE * _PIECE
        for start in range(0, whole, _PIECE):
            self._sound.write(self._values(waiting[:, start : start + _PIECE]))
        self._waiting = waiting[:, whole:].copy()
        return 0 if self._encoding == "float32" else count_clipped(block)

    def _values(self, block: Block) -> NDArray[np.generic]:
        """As libsndfile should get them: its own rounding of floats would not give back what was read."""
        samples = np.ascontiguousarray(block.T)
        if self._encoding == "float32":
            return samples
        if self._encoding.startswith("int"):
            bits = int(self._encoding[3:])
            values = quantise(samples, bits)
            return values.astype(np.int16) if bits == 16 else values << (32 - bits)
        return np.clip(samples, -1, 1)

    def finish(self) -> None:
        if self._waiting.shape[1]:
            self._sound.write(self._values(self._waiting))
        self._sound.close()
        if not self._frames and not self._kind.empty:
            name = next(iter(self._kind.subtypes)) if self._kind.format == "OGG" else self._kind.format
            raise InputError(f"a file of kind {name} cannot hold zero samples; write .wav instead")

    def close(self) -> None:
        if not self._sound.closed:
            self._sound.close()
