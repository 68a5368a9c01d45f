"""Codecs to stand beside: Opus through PyAV's own libopus, and Codec2 through Debian's `codec2`.

Each takes a sound `[T]`, its rate and a bitrate, and gives back the sound it makes of it, as long as the original, and
the bytes that would have to travel: packets only, no container.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..audio import resample
from ..errors import InputError, MissingError
from .pairs import Sound, as_sound

OPUS_RATES = (8_000, 12_000, 16_000, 24_000, 48_000)  # Hz
OPUS_DECODED = 48_000  # Hz
CODEC2_RATE = 8_000  # Hz
CODEC2_BITRATES = (1_200, 1_400, 1_600, 2_400, 3_200)  # the modes whose frames fill whole bytes
CODEC2_FLUSH = 1_280  # samples of silence after the sound: two frames of the slowest mode and more
_SECONDS = 300  # before a tool that hangs is given up


@dataclass(frozen=True)
class Coded:
    """What a codec made of a sound."""

    wave: NDArray[np.float32]  # [T], at the rate of the original
    bytes: int  # of all packets


def opus(wave: Sound, sample_rate: int, bitrate: int) -> Coded:
    """Opus (RFC 6716): libopus, variable bitrate around `bitrate`, 20 ms frames, greatest effort.

    Application `audio`, as opusenc chooses too: `voip` filters low frequencies and costs 6 dB of SI-SDR.

    The encoder's delay is taken out by its decoder. The bits in its packets count: they may differ from `bitrate`.
    """
    av = _av()
    sound = as_sound(wave, "wave").astype(np.float32)
    rate = next((rate for rate in OPUS_RATES if rate >= sample_rate), OPUS_RATES[-1])
    at_rate = resample(sound[None], sample_rate, rate)[0]
    encoder = _opus_encoder(av, rate, bitrate)
    packets = list(_opus_packets(av, encoder, at_rate, rate))
    decoder = av.CodecContext.create("libopus", "r")
    decoder.extradata = encoder.extradata  # tells how many samples to drop at the start
    frames = [frame.to_ndarray() for packet in packets for frame in decoder.decode(packet)]
    decoded = np.concatenate(frames, axis=1)
    back = resample(_as_float(decoded)[:1], OPUS_DECODED, sample_rate)[0]
    return Coded(_fit(back, len(sound)), sum(packet.size for packet in packets))


def codec2(wave: Sound, sample_rate: int, bitrate: int) -> Coded:
    """Codec2 (Rowe 2010), a vocoder at 8 kHz: the waveform is not followed, so SI-SDR says nothing about it.

    `bitrate` is one of `CODEC2_BITRATES`. Its delay, about 20 ms, stays in: see `align`.
    """
    if bitrate not in CODEC2_BITRATES:
        raise InputError(f"Codec2 codes at {', '.join(map(str, CODEC2_BITRATES))} bit/s, got {bitrate}")
    sound = as_sound(wave, "wave").astype(np.float32)
    narrow: NDArray[np.float32] = resample(sound[None], sample_rate, CODEC2_RATE)[0]
    padded = np.pad(narrow, (0, CODEC2_FLUSH))
    pcm = (padded * 32767).clip(-32768, 32767).astype("<i2").tobytes()
    bits = _run("c2enc", str(bitrate), pcm)
    decoded = np.frombuffer(_run("c2dec", str(bitrate), bits), "<i2")
    back = resample(_as_float(decoded)[None], CODEC2_RATE, sample_rate)[0]
    return Coded(_fit(back, len(sound)), round(len(bits) * len(narrow) / len(padded)))


def has_opus() -> bool:
    """Whether PyAV and its libopus are here."""
    try:
        _av().CodecContext.create("libopus", "w")
    except (MissingError, ValueError):
        return False
    return True


def has_codec2() -> bool:
    """Whether the tools `c2enc` and `c2dec` are on the path."""
    return bool(shutil.which("c2enc") and shutil.which("c2dec"))


@dataclass(frozen=True)
class Baseline:
    """One codec to compare with."""

    name: str
    code: Callable[[Sound, int, int], Coded]
    present: Callable[[], bool]
    bitrates: tuple[int, ...]  # bit/s, those of interest beside a speech codec
    install: str  # what to do where it is not present


BASELINES: dict[str, Baseline] = {
    "opus": Baseline("Opus", opus, has_opus, (6_000, 8_000, 12_000, 16_000), "pip install 'nacre[eval]'"),
    "codec2": Baseline("Codec2", codec2, has_codec2, (1_200, 3_200), "apt-get install codec2"),
}


def _opus_encoder(av: Any, rate: int, bitrate: int) -> Any:
    encoder = av.CodecContext.create("libopus", "w")
    encoder.sample_rate, encoder.layout, encoder.format, encoder.bit_rate = rate, "mono", "flt", bitrate
    encoder.options = {"application": "audio", "vbr": "on", "compression_level": "10", "frame_duration": "20"}
    try:
        encoder.open()
    except (av.FFmpegError, ValueError) as error:
        raise InputError(f"Opus cannot code {rate} Hz at {bitrate} bit/s; expected 500 to 256000 bit/s") from error
    return encoder


def _opus_packets(av: Any, encoder: Any, sound: NDArray[np.float32], rate: int) -> Iterator[Any]:
    """Packets that cover the whole sound, the encoder's delay included."""
    size = encoder.frame_size
    count = -(-(len(sound) + encoder.delay) // size)
    padded = np.pad(sound, (0, count * size - len(sound)))
    for start in range(0, len(padded), size):
        frame = av.AudioFrame.from_ndarray(padded[None, start : start + size], format="flt", layout="mono")
        frame.sample_rate, frame.pts = rate, start
        yield from encoder.encode(frame)
    yield from encoder.encode(None)


def _as_float(samples: NDArray[Any]) -> NDArray[np.float32]:
    """Samples as PyAV gives them, 16-bit or float, at full scale 1."""
    scale = 32768 if samples.dtype == np.int16 else 1
    return samples.astype(np.float32) / np.float32(scale)


def _fit(wave: NDArray[np.float32], length: int) -> NDArray[np.float32]:
    return np.pad(wave[:length], (0, max(0, length - len(wave))))


def _run(tool: str, mode: str, data: bytes) -> bytes:
    place = shutil.which(tool)
    if place is None:
        raise MissingError(f"Codec2 needs the tool {tool} on the path; apt-get install codec2")
    try:
        done = subprocess.run([place, mode, "-", "-"], input=data, capture_output=True, timeout=_SECONDS, check=True)
    except (subprocess.SubprocessError, OSError) as error:
        raise InputError(f"{tool} could not code this sound in mode {mode}: {error}") from error
    return done.stdout


def _av() -> Any:
    try:
        return import_module("av")
    except ImportError as error:
        raise MissingError("Opus as a baseline needs the package av; pip install 'nacre[eval]'") from error
