"""Sound files to `.nac` files and back, block by block: memory does not grow with length.

The tags `rate` and `samples` of a file remember what was encoded, so that decoding gives it back at its own rate
and of its own length, to the sample.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .audio import AudioWriter, RawFormat, Resampler, open_audio
from .codes import CodecInfo, Codes
from .container import legacy
from .container.reader import Damage, NacReader
from .container.writer import NacWriter
from .contract import CodecContract, Wave
from .errors import InputError

BLOCK_SECONDS = 2.0
RATE, SAMPLES = "rate", "samples"  # tags
Progress = Callable[[float, float | None], None]  # seconds done, seconds in all when known
Source = Any  # a path, "-" for standard input, or a binary stream


@dataclass(frozen=True)
class EncodeOptions:
    """How to encode a file."""

    levels: int | None = None  # None for all the codec has
    tags: Mapping[str, str] = field(default_factory=dict)
    raw_codes: bool = False  # leave entropy coding out
    overwrite: bool = False
    pcm: RawFormat | None = None  # what samples without a header are


@dataclass(frozen=True)
class DecodeOptions:
    """How to decode a file."""

    bitrate: float | None = None  # bits a second at most, None for all levels the file has
    start: float = 0.0  # seconds
    stop: float | None = None  # seconds
    sample_rate: int | None = None  # None for that of the sound that was encoded
    encoding: str | None = None  # of the samples, "int16" …; None for what the kind of file usually holds
    overwrite: bool = False
    pcm: str | None = None  # write samples without a header, "s16le" …


@dataclass(frozen=True)
class Outcome:
    """What became of one file."""

    source: str
    target: str
    seconds: float  # of sound
    samples: int  # a channel, at the rate of the sound file
    sample_rate: int  # Hz, of the sound file
    bytes: int  # of the `.nac` file; 0 where it is a pipe that cannot be asked
    levels: int
    mixed_from: int = 0  # channels of the source when they were mixed into fewer or more, else 0
    clipped: int = 0  # samples beyond full scale
    damage: tuple[str, ...] = ()  # a sentence for each damaged place

    @property
    def bitrate(self) -> float:
        """Bits a second that the file really takes."""
        return 8 * self.bytes / self.seconds if self.seconds else 0.0


def encode_file(
    codec: CodecContract,
    source: Source,
    target: Source,
    options: EncodeOptions = EncodeOptions(),  # noqa: B008 - frozen
    progress: Progress | None = None,
) -> Outcome:
    """Encode the sound `source` into the `.nac` file `target`; nothing is left there when anything goes wrong."""
    info = codec.info
    stream = codec.stream(options.levels)
    with open_audio(source, info.sample_rate, info.channels, options.pcm) as reader:
        tags = {RATE: str(reader.source_rate)} | dict(options.tags)
        if reader.source_frames is not None:
            tags[SAMPLES] = str(reader.source_frames)
        with NacWriter(target, info, stream.levels, tags, raw=options.raw_codes, overwrite=options.overwrite) as writer:
            done = 0
            for block in reader.blocks(BLOCK_SECONDS):
                writer.write(stream.encode(block))
                done += block.shape[2]
                if progress:
                    progress(done / info.sample_rate, reader.duration)
            writer.write(stream.encode(np.zeros((1, info.channels, 0), np.float32), last=True))
        frames = reader.source_frames
        return Outcome(
            source=str(source),
            target=str(target),
            seconds=done / info.sample_rate,
            samples=frames if frames is not None else round(done * reader.source_rate / info.sample_rate),
            sample_rate=reader.source_rate,
            bytes=_size(target),
            levels=stream.levels,
            mixed_from=reader.source_channels if reader.source_channels != info.channels else 0,
        )


def decode_file(
    find: Callable[[CodecInfo], CodecContract],
    source: Source,
    target: Source,
    options: DecodeOptions = DecodeOptions(),  # noqa: B008 - frozen
    progress: Progress | None = None,
) -> Outcome:
    """Decode the `.nac` file `source` into the sound file `target`; damaged packets come out as silence and are listed.

    `find` gives the codec for what the file says of its maker.
    """
    with NacReader(source) as reader:
        info = reader.info
        codec = find(info)
        check_maker(codec.info, info)
        rate = options.sample_rate or tagged(reader.tags, RATE) or info.sample_rate
        whole = options.start == 0 and options.stop is None and rate == tagged(reader.tags, RATE)
        exact = tagged(reader.tags, SAMPLES) if whole else None
        raw = RawFormat(options.pcm, rate, info.channels) if options.pcm else None
        with AudioWriter(
            target, rate, info.channels, encoding=options.encoding, raw=raw, overwrite=options.overwrite
        ) as writer:
            resampler = Resampler(info.sample_rate, rate, info.channels)
            done = 0
            for wave in _stretch(codec, reader, options):
                writer.write(resampler.push(wave[0], last=False))
                done += wave.shape[2]
                if progress:
                    progress(done / info.sample_rate, reader.length and reader.length / info.sample_rate)
            rest = resampler.push(np.zeros((info.channels, 0), np.float32), last=True)
            complete = exact is not None and not reader.damage
            writer.write(_fit(rest, (exact or 0) - writer.frames) if complete else rest)
        return Outcome(
            source=str(source),
            target=str(target),
            seconds=done / info.sample_rate,
            samples=writer.frames,
            sample_rate=rate,
            bytes=_size(source),
            levels=_heard(reader, options),
            clipped=writer.clipped,
            damage=tuple(describe(place) for place in reader.damage),
        )


def summarise(source: Source) -> dict[str, Any]:
    """What a `.nac`, `.ecdc` or `.dac` file holds, as plain values, for people and for JSON."""
    with open(source, "rb") as file:
        kind = legacy.sniff(file.read(6))
    if kind is not None:
        old = legacy.read(source)
        return {"file": str(source), "container": kind, **_about(old.codes.info, len(old.codes.levels)),
                "seconds": old.codes.seconds, "samples": old.codes.length, "bytes": _size(source),
                "bitrate": _rate(_size(source), old.codes.seconds)}
    with NacReader(source) as reader:
        frames = samples = bits = packets = 0
        for codes in reader.packets():
            frames, samples, packets = frames + codes.frames, samples + codes.length, packets + 1
            bits += codes.packed_bits
        seconds = samples / reader.info.sample_rate
        return {"file": str(source), "container": "nac", **_about(reader.info, reader.levels),
                "seconds": seconds, "samples": samples, "frames": frames, "packets": packets, "bytes": _size(source),
                "bitrate": _rate(_size(source), seconds), "nominal_bitrate": reader.info.bitrate(reader.levels),
                "raw_code_bytes": -(-bits // 8), "tags": reader.tags,
                "damage": [describe(place) for place in reader.damage]}


def convert_file(source: Source, target: Source, overwrite: bool = False) -> None:
    """Move the codes of `source` into the container that the suffix of `target` names; the codes stay as they are."""
    path = Path(target)
    if path.exists() and not overwrite:
        raise InputError(f"{path} exists; choose another name or allow overwriting")
    codes, tags = _read_codes(source)
    writers = {".ecdc": legacy.write_ecdc, ".dac": legacy.write_dac}
    if path.suffix == ".nac":
        with NacWriter(path, codes.info, len(codes.levels), tags, overwrite=overwrite) as writer:
            writer.write(codes)
    elif path.suffix in writers:
        _write_whole(path, writers[path.suffix](codes))
    else:
        raise InputError(f"{path}: codes go into .nac, .ecdc or .dac files; choose one of these suffixes")


def describe(place: Damage) -> str:
    """A sentence about a damaged place."""
    return f"packet {place.packet} at {place.start:.2f} s: {place.reason}; {place.seconds:.2f} s of sound are silent"


def tagged(tags: Mapping[str, str], key: str) -> int | None:
    """The whole number under `key`, None where there is none that makes sense."""
    text = tags.get(key, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None


def check_maker(codec: CodecInfo, file: CodecInfo) -> None:
    """An error unless the codec is the one that made the file."""
    if (codec.name, codec.digest) != (file.name, file.digest):
        raise InputError(
            f"the file was made by {file.name} {file.digest}, the codec at hand is {codec.name} {codec.digest}; "
            "name the model that made it with --model"
        )


def _stretch(codec: CodecContract, reader: NacReader, options: DecodeOptions) -> Iterator[Wave]:
    """The waves of the wanted stretch, in order; the decoder hears `preroll` frames before it."""
    info, stream, levels = codec.info, codec.stream(), _heard(reader, options)
    begin = round(options.start * info.sample_rate)
    end = None if options.stop is None else round(options.stop * info.sample_rate)
    if begin:
        reader.seek_frame(max(0, (begin + info.delay) // info.hop - info.preroll))
    for codes in reader.packets():
        place = info.span(0, codes.start)
        wave = stream.decode(codes.head(levels))
        last = wave.shape[2] if end is None else max(0, end - place)
        yield wave[:, :, max(0, begin - place) : last]
        if end is not None and place + wave.shape[2] >= end:
            return


def _heard(reader: NacReader, options: DecodeOptions) -> int:
    """Levels that are decoded."""
    return reader.levels if options.bitrate is None else min(reader.levels, reader.info.levels_for(options.bitrate))


def _read_codes(source: Source) -> tuple[Codes, dict[str, str]]:
    with open(source, "rb") as file:
        kind = legacy.sniff(file.read(6))
    if kind is None:
        with NacReader(source) as reader:
            codes = reader.read()
            if reader.damage:
                raise InputError(f"{source} is damaged ({describe(reader.damage[0])}), so its codes cannot all be moved")
            return codes, reader.tags
    old = legacy.read(source)
    if old.window:
        raise InputError(f"{source} was coded in overlapping windows, which only DAC's own container can hold")
    return old.codes, {}


def _write_whole(path: Path, data: bytes) -> None:
    part = path.with_name(f".{path.name}.{os.urandom(4).hex()}.part")
    try:
        part.write_bytes(data)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _about(info: CodecInfo, levels: int) -> dict[str, Any]:
    return {
        "codec": info.name,
        "digest": info.digest,
        "sample_rate": info.sample_rate,
        "channels": info.channels,
        "levels": f"{levels} of {info.levels}",
    }


def _size(path: Source) -> int:
    return os.path.getsize(path) if path != "-" and os.path.isfile(path) else 0


def _rate(size: int, seconds: float) -> float:
    return 8 * size / seconds if seconds else 0.0


def _fit(block: NDArray[np.float32], length: int) -> NDArray[np.float32]:
    """`block` cut or filled with silence to `length`: resampling there and back may be a sample off."""
    length = max(0, length)
    return np.pad(block, ((0, 0), (0, max(0, length - block.shape[1]))))[:, :length]
