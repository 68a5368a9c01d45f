"""Sound files to `.nac` files and back, block by block: memory does not grow with length.

Where the sound has another rate than the codec, the tags `rate` and `samples` of the file remember what was encoded,
so that decoding gives it back at its own rate and of its own length, to the sample.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from .audio import KINDS, MAX_RATE, MIN_RATE, AudioReader, AudioWriter, RawFormat, Resampler, open_audio
from .codes import CodecInfo, Codes
from .container.reader import Damage, NacReader
from .container.writer import NacWriter
from .contract import CodecContract, Wave
from .errors import InputError, NacreError

BLOCK_SECONDS = 2.0
RATE, SAMPLES = "rate", "samples"  # tags
Progress = Callable[[float, float | None], None]  # seconds done, seconds in all when known
Place = str | os.PathLike[str] | BinaryIO  # a path, "-" for standard input or output, or a binary stream


@dataclass(frozen=True)
class EncodeOptions:
    """How to encode a file."""

    levels: int | None = None  # None for all the codec has
    tags: Mapping[str, str] = field(default_factory=dict)
    raw_codes: bool = False  # leave entropy coding out
    overwrite: bool = False
    pcm: RawFormat | None = None  # what samples without a header are

    def __post_init__(self) -> None:
        for key in sorted({RATE, SAMPLES} & set(self.tags)):
            raise InputError(f"the tag {key!r} is kept for what was encoded; choose another name")


@dataclass(frozen=True)
class DecodeOptions:
    """How to decode a file."""

    bitrate: float | None = None  # bits a second at most, None for all levels the file has
    start: float = 0.0  # seconds
    stop: float | None = None  # seconds, None for the end
    sample_rate: int | None = None  # None for that of the sound that was encoded
    encoding: str | None = None  # of the samples, "int16" …; None for what the kind of file usually holds
    overwrite: bool = False
    pcm: str | None = None  # write samples without a header, "s16le" …

    def __post_init__(self) -> None:
        for name, seconds in (("start", self.start), ("end", self.stop)):
            if seconds is not None and not 0 <= seconds < math.inf:
                raise InputError(f"the {name} is a number of seconds from 0 on, got {seconds}")

    @property
    def part(self) -> bool:
        """Whether only a stretch of the sound is wanted."""
        return self.start > 0 or self.stop is not None


@dataclass(frozen=True)
class Outcome:
    """What became of one file."""

    source: str
    target: str
    seconds: float  # of sound
    samples: int  # a channel, at the rate of the sound file
    sample_rate: int  # Hz, of the sound file
    bytes: int  # of the `.nac` file; of a pipe those that were read or written
    levels: int
    channels: int  # coded
    mixed_from: int = 0  # channels of the source when there were more or fewer, else 0
    clipped: int = 0  # samples beyond full scale
    damage: tuple[str, ...] = ()  # a sentence for each damaged place
    file_seconds: float | None = None  # what those bytes hold, where it is not `seconds`; 0 when nobody knows

    @property
    def bitrate(self) -> float:
        """Bits a second that the file really takes, whatever part of it was decoded; 0 when nobody knows."""
        seconds = self.seconds if self.file_seconds is None else self.file_seconds
        return 8 * self.bytes / seconds if seconds else 0.0


def encode_file(
    codec: CodecContract,
    source: Place,
    target: Place,
    options: EncodeOptions = EncodeOptions(),
    progress: Progress | None = None,
) -> Outcome:
    """Encode the sound `source` into the `.nac` file `target`; nothing is left there when anything goes wrong."""
    check_target(target)
    info = codec.info
    stream = codec.stream(options.levels)
    with open_audio(source, info.sample_rate, info.channels, options.pcm) as reader:
        tags = _make_tags(reader, info.sample_rate, options.tags)
        with NacWriter(target, info, stream.levels, tags, raw=options.raw_codes, overwrite=options.overwrite) as writer:
            done = 0
            for block in reader.blocks(BLOCK_SECONDS):
                writer.write(stream.encode(block))
                done += block.shape[2]
                if progress:
                    progress(done / info.sample_rate, reader.duration)
            writer.write(stream.encode(np.zeros((1, info.channels, 0), np.float32), last=True))
        return Outcome(
            source=name_of(source),
            target=name_of(target),
            seconds=done / info.sample_rate,
            samples=reader.source_frames or 0,  # known at the end, from a pipe as well
            sample_rate=reader.source_rate,
            bytes=writer.size,
            levels=stream.levels,
            channels=info.channels,
            mixed_from=reader.source_channels if reader.source_channels != info.channels else 0,
        )


def decode_file(
    codec: CodecContract | Callable[[CodecInfo], CodecContract],
    source: Place,
    target: str | os.PathLike[str],
    options: DecodeOptions = DecodeOptions(),
    progress: Progress | None = None,
) -> Outcome:
    """Decode the `.nac` file `source` into the sound file `target`; damaged packets are listed.

    In their place the codec makes up what it can (`info.conceals` frames), fades out and is silent. `codec` is the
    one that made the file, or finds it from what the file says of its maker.
    """
    with _open(source) as reader:
        info = reader.info
        codec = codec if isinstance(codec, CodecContract) else codec(info)
        check_maker(codec, info)
        stretch = _Stretch.of(reader, options)
        rate = output_rate(tagged(reader.tags, RATE) or 0, info, target, options)
        channels = info.channels
        raw = RawFormat(options.pcm, rate, channels) if options.pcm else None
        with AudioWriter(
            target, rate, channels, encoding=options.encoding, raw=raw, overwrite=options.overwrite
        ) as writer:
            resampler = Resampler(info.sample_rate, rate, channels)
            done = 0
            for wave in stretch.waves(codec, reader):
                writer.write(resampler.push(wave[0]))
                done += wave.shape[2]
                if progress:
                    progress(done / info.sample_rate, stretch.seconds(reader))
            rest = resampler.push(np.zeros((channels, 0), np.float32), last=True)
            writer.write(_fit(rest, _missing(reader, options, writer, rest.shape[1])))
        return Outcome(
            source=name_of(source),
            target=name_of(target),
            seconds=done / info.sample_rate,
            samples=writer.frames,
            sample_rate=rate,
            bytes=reader.size,
            levels=stretch.levels,
            channels=channels,
            clipped=writer.clipped,
            damage=tuple(describe(place) for place in reader.damage),
            file_seconds=(reader.length or 0) / info.sample_rate if options.part else None,
        )


@dataclass(frozen=True)
class _Stretch:
    """The part of a file that is wanted: samples `begin` to `end` at the codec's rate, the first `levels` levels."""

    begin: int
    end: int | None
    levels: int

    @classmethod
    def of(cls, reader: NacReader, options: DecodeOptions) -> _Stretch:
        info, start, stop = reader.info, options.start, options.stop
        if stop is not None and stop <= start:
            raise InputError(f"the end, {stop:g} s, has to come after the start, {start:g} s")
        begin = round(start * info.sample_rate)
        if reader.length is not None and begin > reader.length:
            whole = reader.length / info.sample_rate
            raise InputError(f"the sound is {whole:.2f} s long, so it cannot start at {start:g} s; start earlier")
        levels = reader.levels if options.bitrate is None else min(reader.levels, info.levels_for(options.bitrate))
        return cls(begin, None if stop is None else round(stop * info.sample_rate), levels)

    def waves(self, codec: CodecContract, reader: NacReader) -> Iterator[Wave]:
        """The sound, in order; the decoder hears `preroll` frames before it."""
        info, first = codec.info, 0
        if self.begin:
            first = reader.seek_frame(max(0, info.place(self.begin) - codec.info.preroll))
        place = info.span(0, first)
        for wave in self._decoded(codec, reader):
            last = wave.shape[2] if self.end is None else max(0, self.end - place)
            yield wave[:, :, max(0, self.begin - place) : last]
            place += wave.shape[2]
            if self.end is not None and place >= self.end:
                return

    def _decoded(self, codec: CodecContract, reader: NacReader) -> Iterator[Wave]:
        stream, codes = codec.stream(), None
        for codes in reader.packets():
            codes = vouched(codec, codes)
            yield stream.decode(codes.head(self.levels))
        if codes is not None and codec.info.lookahead:
            yield stream.decode(codes.head(self.levels).cut(codes.frames, codes.frames), last=True)

    def seconds(self, reader: NacReader) -> float | None:
        """How long it is, None where only the end of a pipe will tell."""
        ends = [end for end in (self.end, reader.length) if end is not None]
        return (min(ends) - self.begin) / reader.info.sample_rate if reader.length is not None else None


def describe(place: Damage) -> str:
    """A sentence about a damaged place."""
    lost = f"; {place.seconds:.2f} s of sound are lost" if place.seconds else ""
    last = f"s {place.packet} to {place.packet + place.packets - 1}" if place.packets > 1 else f" {place.packet}"
    return f"packet{last} at {place.start:.2f} s: {place.reason}{lost}"


def tagged(tags: Mapping[str, str], key: str) -> int | None:
    """The whole number under `key`, None where there is none that makes sense."""
    text = tags.get(key, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None


def check_target(target: Place) -> None:
    """Refuse `encode a.wav b.wav`, which is a slip, and would hide codes under the name of a sound."""
    if isinstance(target, str | os.PathLike) and target != "-" and Path(target).suffix.lower() != ".nac":
        raise InputError(f"{os.fspath(target)}: encoded sound goes into a .nac file; choose a name that ends so")


def vouched(codec: CodecContract, codes: Codes) -> Codes:
    """`codes` as those of `codec`: of what came from an older file nobody knows which weights made it."""
    return codes if codec.decodes(codes.info) else codes.made_by(codec.info)


def check_maker(codec: CodecContract, file: CodecInfo) -> None:
    """An error unless the codec is the one that made the file, may have been, or takes its codes as its own."""
    unknown = not file.digest and file.name == codec.info.name
    if not unknown and not codec.decodes(file):
        raise InputError(
            f"the file was made by {file.name} {file.digest}, the codec at hand is {codec.info.name} "
            f"{codec.info.digest}; "
            "name the model that made it with --model"
        )


def _make_tags(reader: AudioReader, coded_rate: int, own: Mapping[str, str]) -> dict[str, str]:
    if reader.source_rate == coded_rate:
        return dict(own)  # the file knows its rate and length anyway
    length = {} if reader.source_frames is None else {SAMPLES: str(reader.source_frames)}
    return {RATE: str(reader.source_rate), **length, **own}


def _open(source: Place) -> NacReader:
    try:
        return NacReader(source)
    except NacreError as error:
        from .container import legacy  # only to say a better word: it costs a start more than reading the file

        if not isinstance(source, str | os.PathLike) or not os.path.isfile(source):
            raise
        with open(source, "rb") as file:
            kind = legacy.sniff(file.read(6))
        if kind is None:
            raise
        name = {"nac0": ".nac of 2023", "ecdc": ".ecdc", "dac": ".dac"}[kind]
        hint = "`nacre decode` and nacre.legacy_files.decode_file decode it"
        raise InputError(f"{os.fspath(source)} is a {name} file, not a .nac of version 1; {hint}") from error


def output_rate(rate: int, info: CodecInfo, target: str | os.PathLike[str], options: DecodeOptions) -> int:
    """The rate asked for, or that of the original, or the next better one that the kind of file can hold."""
    if options.sample_rate is not None:
        return options.sample_rate
    if not MIN_RATE <= rate <= MAX_RATE:
        rate = info.sample_rate
    kind = None if options.pcm else KINDS.get(Path(target).suffix.lower())
    if kind is None or not kind.rates or rate in kind.rates:
        return rate
    return min((each for each in kind.rates if each > rate), default=max(kind.rates))


def _missing(reader: NacReader, options: DecodeOptions, writer: AudioWriter, rest: int) -> int:
    """Samples by which rounding makes a whole sound shorter (or, negative, longer) than the original was.

    Resampling there and back may be half a coded sample off. Where more is missing the file was cut short, or lies.
    """
    rate, original = writer.sample_rate, tagged(reader.tags, SAMPLES)
    whole = not options.part and rate == tagged(reader.tags, RATE)
    missing = original - writer.frames - rest if whole and original is not None else 0
    return missing if -rest <= missing and abs(missing) <= rate // (2 * reader.info.sample_rate) + 1 else 0


def _fit(block: NDArray[np.float32], missing: int) -> NDArray[np.float32]:
    """`block` `[C, T]` with so much silence more, or so much sound less."""
    return np.pad(block, ((0, 0), (0, max(0, missing))))[:, : block.shape[1] + missing]


def name_of(place: Place) -> str:
    """What a place is called in words."""
    return os.fspath(place) if isinstance(place, str | os.PathLike) else "the stream"
