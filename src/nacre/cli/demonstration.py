"""`nacre demo`: the bundled sentence coded at every rate and back, as files to hear and a picture to look at."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from .. import audio, models, spectrogram
from ..contract import CodecContract
from ..errors import InputError
from ..files import DecodeOptions, EncodeOptions, decode_file, encode_file

RATES = (1350, 2700, 6075)  # bits a second
ORIGINAL, PICTURE = "original.wav", "spectrogram.png"


@dataclass(frozen=True)
class Coded:
    """One file of the demonstration."""

    file: str
    bytes: int
    bitrate: float  # bits a second
    share: float = 1.0  # of the bytes of the original
    encode: float = 0.0  # seconds of sound a second
    decode: float = 0.0


def run(folder: str | Path, overwrite: bool = False) -> list[Coded]:
    """Write original, coded and decoded files and a picture of all into `folder`; what came out, the original first."""
    folder = Path(folder)
    names = [f"{_stem(rate)}{suffix}" for rate in RATES for suffix in (".nac", ".wav")]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder} cannot be made a folder: {error.strerror}; name another") from error
    there = [name for name in (ORIGINAL, PICTURE, *names) if (folder / name).exists()]
    if there and not overwrite:
        raise InputError(f"{folder} holds {there[0]} already; name another folder, or overwrite it with --force")
    codec = models.load()
    original = audio.read(models.SAMPLE)
    codec.decode(codec.encode(audio.read(models.SAMPLE, codec.info.sample_rate, 1).samples))  # first calls are slow
    wav = folder / ORIGINAL
    audio.write(wav, original.samples, original.sample_rate, overwrite=True)
    size = wav.stat().st_size
    results = [Coded(wav.name, size, 8 * size / original.duration)]
    results += [_code(codec, wav, rate) for rate in RATES]
    _draw(folder, results)
    return results


def rows(results: list[Coded]) -> list[tuple[str, ...]]:
    """A table of `run`'s results, with a head."""
    lines = [
        (
            each.file,
            f"{each.bytes}",
            f"{each.bitrate / 1000:.2f}",
            f"1/{1 / each.share:.0f}" if each.encode else "",
            f"{each.encode:.0f} x" if each.encode else "",
            f"{each.decode:.0f} x" if each.encode else "",
        )
        for each in results
    ]
    return [("file", "bytes", "kbps", "of the wav", "encode", "decode"), *lines]


def _stem(rate: int) -> str:
    return f"pearl-{rate}"


def _code(codec: CodecContract, wav: Path, rate: int) -> Coded:
    """Code the sample at `rate` bits a second and come back, with the speed of both ways."""
    coded = wav.with_name(f"{_stem(rate)}.nac")
    begin = time.perf_counter()
    made = encode_file(codec, wav, coded, EncodeOptions(codec.info.levels_for(rate), overwrite=True))
    middle = time.perf_counter()
    decode_file(codec, coded, coded.with_suffix(".wav"), DecodeOptions(overwrite=True))
    end = time.perf_counter()
    share = made.bytes / wav.stat().st_size
    return Coded(
        coded.name, made.bytes, made.bitrate, share, made.seconds / (middle - begin), made.seconds / (end - middle)
    )


def _draw(folder: Path, results: list[Coded]) -> None:
    pictures = []
    for each in results:
        name = f"{each.bitrate / 1000:.2f} kbps" if each.encode else "original"
        wave = audio.read((folder / each.file).with_suffix(".wav")).samples[0, 0]
        pictures.append(spectrogram.caption(spectrogram.spectrogram(wave), name))
    spectrogram.write_png(folder / PICTURE, spectrogram.stack(pictures))
