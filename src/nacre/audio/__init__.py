"""Sound in and out: any file or pipe, any rate and channel count, block by block; numpy, soundfile and soxr only.

    with open_audio("talk.mp3", sample_rate=24000, channels=1) as reader:
        for block in reader.blocks(seconds=1.0):  # float32 [1, C, n]
            ...
    with AudioWriter("talk.wav", 24000) as writer:
        writer.write(block)

`read` and `write` do the same at once. A wave is float32 `[batch, channel, sample]`, full scale at 1; a sound
file holds one batch item. `-` stands for standard input and output. What is here:

    channels.py    how channels are mixed          resampling.py  rates, and how long things become
    pcm.py         raw samples and WAV headers     sources.py     files and pipes in
    sinks.py       files and pipes out             reader.py, writer.py  the two ends people use
"""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray

from .channels import MAX_CHANNELS, mix_channels
from .pcm import RawFormat
from .reader import Audio, AudioReader
from .resampling import MAX_RATE, MIN_RATE, Resampler, resample, resampled_length
from .sinks import KINDS
from .sources import SourceLike
from .writer import AudioWriter

__all__ = [
    "KINDS",
    "MAX_CHANNELS",
    "MAX_RATE",
    "MIN_RATE",
    "Audio",
    "AudioReader",
    "AudioWriter",
    "RawFormat",
    "Resampler",
    "duration",
    "mix_channels",
    "open_audio",
    "read",
    "resample",
    "resampled_length",
    "write",
]


def open_audio(
    source: SourceLike, sample_rate: int | None = None, channels: int | None = None, raw: RawFormat | None = None
) -> AudioReader:
    """Open a sound for reading in blocks, at its own rate and channel count unless others are asked for."""
    return AudioReader(source, sample_rate, channels, raw)


def read(
    source: SourceLike, sample_rate: int | None = None, channels: int | None = None, raw: RawFormat | None = None
) -> Audio:
    """A whole sound at once, samples float32 `[1, C, T]`."""
    with AudioReader(source, sample_rate, channels, raw) as reader:
        return reader.read()


def write(
    target: str | os.PathLike[str],
    wave: NDArray[np.float32],
    sample_rate: int,
    *,
    encoding: str | None = None,
    raw: RawFormat | None = None,
    overwrite: bool = False,
) -> int:
    """Write a whole wave `[1, C, T]` or `[C, T]`; how many samples had to be clipped."""
    channels = np.shape(wave)[-2] if np.ndim(wave) >= 2 else 1
    with AudioWriter(target, sample_rate, channels, encoding=encoding, raw=raw, overwrite=overwrite) as writer:
        writer.write(wave)
    return writer.clipped


def duration(source: SourceLike, raw: RawFormat | None = None) -> float:
    """Length in seconds; from the header where it says so, else by reading to the end."""
    with AudioReader(source, raw=raw) as reader:
        if reader.duration is not None:
            return reader.duration
        return float(sum(block.shape[2] for block in reader.blocks()) / reader.source_rate)
