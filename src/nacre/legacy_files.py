"""Sound to the files of earlier codecs and back: EnCodec's `.ecdc`, DAC's `.dac`, Lyra's `.lyra`, the `.nac` of 2023.

None of these files says which weights made it: the model of that name which is here, or the one that a person names,
is taken for them. Codes are held whole (a file has at most 256 MiB); sound goes block by block, but for `.dac`, whose
loudness is that of the whole.
"""

from __future__ import annotations

import io
import math
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

import numpy as np

from .atomic import write_whole
from .audio import AudioWriter, RawFormat, Resampler, open_audio
from .codes import CodecInfo, Codes
from .container import legacy
from .contract import CodecContract, Wave
from .errors import InputError
from .files import BLOCK_SECONDS, DecodeOptions, EncodeOptions, Outcome, Progress, output_rate, vouched
from .files import decode_file as decode_nac
from .files import encode_file as encode_nac

SUFFIXES = {  # how files are called that can be written, and whose codes they hold
    ".ecdc": ("encodec-24k", "encodec-48k"),
    ".dac": ("dac-44k", "dac-24k", "dac-16k", "dac-44k-16kbps"),
    ".lyra": ("lyra-v2",),
}
_ENCODE, _DECODE = EncodeOptions(), DecodeOptions()
Speaks = Callable[[str], legacy.LanguageModel]  # the language model for the codec of that name


class Shelf(Protocol):
    """What finds codecs: `models.Shelf`."""

    @property
    def named(self) -> bool:
        """True when a person said which model it is."""

    def __call__(self, info: CodecInfo) -> CodecContract:
        """The codec for what a file says of its maker."""

    def codec(self, name: str = "") -> CodecContract:
        """The codec that a person named."""


def kind_of(source: str | os.PathLike[str]) -> legacy.Kind | None:
    """Which of these files `source` is, `-` for standard input; None for a `.nac` of version 1, and for any other."""
    if source == "-":
        return legacy.sniff(cast(io.BufferedReader, sys.stdin.buffer).peek(6)[:6])
    try:
        with open(source, "rb") as file:
            return legacy.kind_of(source, file.read(6))
    except (OSError, ValueError):
        return None  # who opens it for good says what is wrong


def check_target(target: str) -> None:
    """Refuse `encode a.wav b.wav`, which is a slip, and would hide codes under the name of a sound."""
    if target != "-" and Path(target).suffix.lower() not in (".nac", *SUFFIXES):
        raise InputError(f"{target}: encoded sound goes into a .nac, .ecdc, .dac or .lyra file; choose such a name")


def encode_file(
    codec: CodecContract,
    source: str,
    target: str,
    options: EncodeOptions = _ENCODE,
    progress: Progress | None = None,
    speaks: Speaks | None = None,
) -> Outcome:
    """Encode the sound `source` into the kind of file that the suffix of `target` says, `.nac` among them.

    `speaks` gives the language model that packs an `.ecdc`.
    """
    suffix = Path(target).suffix.lower()
    if speaks is not None and suffix != ".ecdc":
        raise InputError(f"a language model packs .ecdc files only, got {target}; leave --lm out")
    if suffix not in SUFFIXES:
        return encode_nac(codec, source, target, options, progress)
    name = codec.info.name
    if name not in SUFFIXES[suffix]:
        models = " or ".join(SUFFIXES[suffix])
        raise InputError(f"a {suffix} file holds codes of {models}, got {name}; name one of them with --model")
    if options.tags:
        raise InputError(f"a {suffix} file has no room for tags; leave --tag out, or write a .nac")
    whole = suffix == ".dac"  # at its own rate and with all its channels
    rate, channels = (None, None) if whole else (codec.info.sample_rate, codec.info.channels)
    with open_audio(source, rate, channels, options.pcm) as reader:
        if whole:
            sound = reader.read()
            data = _dac_of(codec, sound.samples, sound.sample_rate, options)
            levels, seconds = options.levels, sound.duration
        else:
            codes = _coded(codec, reader.blocks(BLOCK_SECONDS), options.levels, reader.duration, progress)
            model = None if speaks is None else speaks(name)
            data = legacy.write_lyra(codes) if suffix == ".lyra" else legacy.write_ecdc(codes, model)
            levels, seconds = len(codes.levels), codes.seconds
        write_whole(target, data, options.overwrite)
        mixed = 0 if whole or reader.source_channels == codec.info.channels else reader.source_channels
        return Outcome(
            source=source,
            target=target,
            seconds=seconds,
            samples=reader.source_frames or 0,
            sample_rate=reader.source_rate,
            bytes=len(data),
            levels=levels or codec.info.levels,
            channels=reader.source_channels if whole else codec.info.channels,
            mixed_from=mixed,
        )


def decode_file(
    shelf: Shelf,
    source: str,
    target: str,
    options: DecodeOptions = _DECODE,
    progress: Progress | None = None,
    speaks: Speaks | None = None,
) -> Outcome:
    """Decode `source`, a `.nac` of today or one of these files, into the sound file `target`."""
    kind = kind_of(source)
    if kind is None:
        return decode_nac(shelf, source, target, options, progress)
    data = legacy.read_all(sys.stdin.buffer if source == "-" else source)
    sound = _sound_of(kind, data, shelf, options, speaks)
    begin, end = options.start, math.inf if options.stop is None else options.stop
    if not begin < end or begin > sound.seconds:
        stop = "its end" if end == math.inf else f"{end:g} s"
        raise InputError(
            f"the sound is {sound.seconds:.2f} s long, so nothing is from {begin:g} s to {stop}; choose others"
        )
    rate = output_rate(sound.sample_rate, sound.info, target, options)
    raw = RawFormat(options.pcm, rate, sound.channels) if options.pcm else None
    with AudioWriter(
        target, rate, sound.channels, encoding=options.encoding, raw=raw, overwrite=options.overwrite
    ) as writer:
        resampler = Resampler(sound.sample_rate, rate, sound.channels)
        done = 0
        for wave in _stretch(sound.waves, round(begin * sound.sample_rate), end * sound.sample_rate):
            writer.write(resampler.push(wave[0]))
            done += wave.shape[2]
            if progress:
                progress(done / sound.sample_rate, min(end, sound.seconds) - begin)
        writer.write(resampler.push(np.zeros((sound.channels, 0), np.float32), last=True))
    return Outcome(
        source=source,
        target=target,
        seconds=done / sound.sample_rate,
        samples=writer.frames,
        sample_rate=rate,
        bytes=len(data),
        levels=sound.levels,
        channels=sound.channels,
        clipped=writer.clipped,
        file_seconds=sound.seconds,
    )


@dataclass(frozen=True)
class _Sound:
    """What a file holds, as it is decoded."""

    info: CodecInfo
    waves: Iterator[Wave]  # [1, C, n], one after the other
    sample_rate: int  # Hz, of `waves`
    channels: int
    seconds: float
    levels: int


def _sound_of(kind: legacy.Kind, data: bytes, shelf: Shelf, options: DecodeOptions, speaks: Speaks | None) -> _Sound:
    """Find the codec of a file's codes, and begin to decode."""
    named = shelf.codec() if shelf.named else None
    packed, model = legacy.packed_header(data), None
    if packed is not None and speaks is not None:
        model = speaks(packed[0].name)
    old = legacy.read(
        io.BytesIO(data),
        named.info.name if named and kind == "dac" else None,
        model,
        legacy.lyra_bitrate(kind, options.bitrate),
    )
    codec, codes = named or shelf(old.codes.info), old.codes
    levels = len(codes.levels)
    if options.bitrate is not None and kind != "lyra":
        levels = min(levels, codec.info.levels_for(options.bitrate))
    if kind == "dac":
        wave, rate = _dac_sound(codec, data, levels)
        return _Sound(codec.info, iter([wave]), rate, wave.shape[1], wave.shape[2] / rate, levels)
    codes, info = vouched(codec, codes), codec.info
    return _Sound(info, _decoded(codec, codes.head(levels)), info.sample_rate, info.channels, codes.seconds, levels)


def _coded(
    codec: CodecContract,
    blocks: Iterator[Wave],
    levels: int | None,
    duration: float | None,
    progress: Progress | None,
) -> Codes:
    """All codes of a sound."""
    stream, info = codec.stream(levels), codec.info
    pieces, done = [], 0
    for block in blocks:
        pieces.append(stream.encode(block))
        done += block.shape[2]
        if progress:
            progress(done / info.sample_rate, duration)
    pieces.append(stream.encode(np.zeros((1, info.channels, 0), np.float32), last=True))
    return Codes.join(pieces)


def _decoded(codec: CodecContract, codes: Codes) -> Iterator[Wave]:
    """The sound of codes, some seconds at a time."""
    stream, info = codec.stream(), codec.info
    unit = math.lcm(info.stride, max(1, codes.info.segment))
    size = max(1, round(BLOCK_SECONDS * info.frame_rate) // unit) * unit
    for start in range(0, codes.frames, size):
        yield stream.decode(codes.cut(start, start + size), last=start + size >= codes.frames)


def _stretch(waves: Iterator[Wave], begin: int, end: float) -> Iterator[Wave]:
    """Samples `begin` to `end` of a sound that comes in pieces."""
    place = 0
    for wave in waves:
        last = wave.shape[2] if end == math.inf else max(0, round(end) - place)
        yield wave[:, :, max(0, begin - place) : last]
        place += wave.shape[2]
        if place >= end:
            return


def _dac_of(codec: CodecContract, wave: Wave, rate: int, options: EncodeOptions) -> bytes:
    from .codecs.dac import DAC
    from .converters.dac_windows import DacOptions, encode_dac

    if not isinstance(codec, DAC):
        raise InputError(f"a .dac is written by a DAC on torch, got another {codec.info.name}")
    return encode_dac(codec, wave, rate, DacOptions(levels=options.levels))


def _dac_sound(codec: CodecContract, data: bytes, levels: int) -> tuple[Wave, int]:
    from .codecs.dac import DAC
    from .converters.dac_windows import decode_dac

    if not isinstance(codec, DAC):
        raise InputError(f"a .dac is decoded by a DAC on torch, got {codec.info.name}; name its model with --model")
    wave, rate = decode_dac(codec, data, levels)
    if len(wave) != 1:
        raise InputError(
            f"this .dac holds {len(wave)} sounds of one length, and a sound file holds one; decode it in Python"
        )
    return wave, rate
