"""Codecs to stand beside: Opus, MP3 and AAC through PyAV's own libraries, Vorbis through soundfile's, Codec2 and Speex
through Debian's tools where they are installed.

Each takes a sound `[T]`, its rate and a bitrate, and gives back the sound it makes of it, as long as the original, and
the bytes that would have to travel: packets only, no container.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from io import BytesIO
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
LAME_RATES = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)  # Hz
AAC_PRIMING = 1_024  # samples that the decoder gives before the sound
VORBIS_LEVELS = 7  # halvings of the range of qualities: steps of 1/128
SPEEX_RATE = 16_000  # Hz, wide-band
_SECONDS = 300  # before a tool that hangs is given up


Packed = bytes  # a class with a field `bytes` cannot say so itself


@dataclass(frozen=True)
class Coded:
    """What a codec made of a sound."""

    wave: NDArray[np.float32]  # [T], at the rate of the original
    bytes: int  # of all packets
    file: Packed = b""  # a whole file, of codecs that were measured through one


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
    packets = list(_packets(av, encoder, at_rate, rate, encoder.delay))
    decoder = av.CodecContext.create("libopus", "r")
    decoder.extradata = encoder.extradata  # tells how many samples to drop at the start
    frames = [frame.to_ndarray() for packet in packets for frame in decoder.decode(packet)]
    decoded = np.concatenate(frames, axis=1)
    back = resample(_as_float(decoded)[:1], OPUS_DECODED, sample_rate)[0]
    return Coded(_fit(back, len(sound)), sum(packet.size for packet in packets))


def mp3(wave: Sound, sample_rate: int, bitrate: int) -> Coded:
    """MP3 (ISO 11172-3 and 13818-3): LAME, average bitrate; from 8 kbps, the rate of sampling at most 48 kHz."""
    av = _av()
    sound = as_sound(wave, "wave").astype(np.float32)
    rate = next((rate for rate in LAME_RATES if rate >= sample_rate), LAME_RATES[-1])
    if bitrate < 8_000:
        raise InputError(f"MP3 codes at 8000 bit/s or more, got {bitrate}; ask for more")
    encoder = _encoder(av, "libmp3lame", rate, bitrate, {"abr": "1"})
    packets = list(_packets(av, encoder, resample(sound[None], sample_rate, rate)[0], rate, 1_105))
    decoded = _decoded(av.CodecContext.create("mp3float", "r"), packets)  # drops LAME's delay itself
    return Coded(_fit(resample(decoded[:1], rate, sample_rate)[0], len(sound)), sum(p.size for p in packets))


def aac(wave: Sound, sample_rate: int, bitrate: int) -> Coded:
    """AAC-LC (ISO 13818-7): FFmpeg's own encoder, constant bitrate; without SBR or other tools for low rates."""
    av = _av()
    sound = as_sound(wave, "wave").astype(np.float32)
    rate = next((rate for rate in LAME_RATES if rate >= sample_rate), LAME_RATES[-1])
    encoder = _encoder(av, "aac", rate, bitrate, {})
    packets = list(_packets(av, encoder, resample(sound[None], sample_rate, rate)[0], rate, AAC_PRIMING))
    decoder = av.CodecContext.create("aac", "r")
    decoder.extradata = encoder.extradata
    decoded = _decoded(decoder, packets)[:1, AAC_PRIMING:]
    return Coded(_fit(resample(decoded, rate, sample_rate)[0], len(sound)), sum(packet.size for packet in packets))


def vorbis(wave: Sound, sample_rate: int, bitrate: int) -> Coded:
    """Vorbis I: libvorbis at the quality whose packets come nearest to `bitrate`; the three headers are not counted."""
    av, soundfile = _av(), import_module("soundfile")
    sound = as_sound(wave, "wave").astype(np.float32)
    seconds, low, high = len(sound) / sample_rate, 0.0, 1.0  # compression: 1 is the lowest quality
    best: tuple[float, int, bytes] | None = None
    for middle in (1.0, *([None] * VORBIS_LEVELS)):
        middle = (low + high) / 2 if middle is None else middle
        file = BytesIO()
        soundfile.write(file, sound, sample_rate, format="OGG", subtype="VORBIS", compression_level=middle)
        size = _packet_bytes(av, file.getvalue())
        off = abs(8 * size / seconds - bitrate)
        best = (off, size, file.getvalue()) if best is None or off < best[0] else best
        if middle == 1.0 and 8 * size / seconds >= bitrate:
            break  # it cannot say it with less
        low, high = (middle, high) if 8 * size / seconds > bitrate else (low, middle)
    assert best is not None
    decoded = soundfile.read(BytesIO(best[2]), dtype="float32")[0]
    return Coded(_fit(decoded, len(sound)), best[1])


def speex(wave: Sound, sample_rate: int, bitrate: int) -> Coded:
    """Speex (Valin 2002) at 16 kHz, wide-band: `speexenc --bitrate`, the mode at or below it; 4 to 42 kbps."""
    sound = as_sound(wave, "wave").astype(np.float32)
    wide: NDArray[np.float32] = resample(sound[None], sample_rate, SPEEX_RATE)[0]
    pcm = (np.pad(wide, (0, SPEEX_RATE // 10)) * 32767).clip(-32768, 32767).astype("<i2").tobytes()
    shape = ["--rate", str(SPEEX_RATE), "--16bit", "--le"]
    file = _run("speexenc", [*shape, "--wideband", "--comp", "10", "--bitrate", str(bitrate), "-", "-"], pcm)
    av = _av()
    decoded = _demuxed(av, file)
    size = round(_packet_bytes(av, file) * len(wide) / (len(wide) + SPEEX_RATE // 10))
    return Coded(_fit(resample(decoded[:1], SPEEX_RATE, sample_rate)[0], len(sound)), size)


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
    bits = _run("c2enc", [str(bitrate), "-", "-"], pcm)
    decoded = np.frombuffer(_run("c2dec", [str(bitrate), "-", "-"], bits), "<i2")
    back = resample(_as_float(decoded)[None], CODEC2_RATE, sample_rate)[0]
    return Coded(_fit(back, len(sound)), round(len(bits) * len(narrow) / len(padded)))


def has_encoder(name: str) -> bool:
    """Whether PyAV is here, with this encoder in it."""
    try:
        _av().CodecContext.create(name, "w")
    except (MissingError, ValueError):
        return False
    return True


def has_vorbis() -> bool:
    """Whether soundfile's library writes Vorbis, and PyAV is here to count its packets."""
    try:
        _av()
    except MissingError:
        return False
    return "VORBIS" in import_module("soundfile").available_subtypes("OGG")


def has_tools(*tools: str) -> bool:
    """Whether tools are on the path."""
    return all(map(shutil.which, tools))


@dataclass(frozen=True)
class Baseline:
    """One codec to compare with."""

    name: str
    code: Callable[[Sound, int, int], Coded]
    present: Callable[[], bool]
    bitrates: tuple[int, ...]  # bit/s, those of interest beside a speech codec
    install: str  # what to do where it is not present
    modes: tuple[int, ...] = ()  # bit/s, where only these can be asked for

    def nearest(self, bitrate: float) -> int:
        """What to ask for to come near `bitrate`."""
        return min(self.modes, key=lambda mode: abs(mode - bitrate)) if self.modes else round(bitrate)

    def version(self) -> str:
        """What tells one installation's results from another's."""
        return f"{self.name} with av {getattr(_av(), '__version__', '')}" if self.code is not codec2 else self.name


_EVAL, _APT = "pip install 'nacre[eval]'", "apt-get install"
BASELINES: dict[str, Baseline] = {
    "opus": Baseline("Opus", opus, partial(has_encoder, "libopus"), (6_000, 8_000, 12_000, 16_000), _EVAL),
    "mp3": Baseline("MP3", mp3, partial(has_encoder, "libmp3lame"), (16_000, 24_000, 32_000), _EVAL),
    "aac": Baseline("AAC", aac, partial(has_encoder, "aac"), (16_000, 24_000, 32_000), _EVAL),
    "vorbis": Baseline("Vorbis", vorbis, has_vorbis, (32_000, 48_000), _EVAL),
    "codec2": Baseline(
        "Codec2",
        codec2,
        partial(has_tools, "c2enc", "c2dec"),
        (1_200, 3_200),
        "apt-get install codec2",
        CODEC2_BITRATES,
    ),
    "speex": Baseline("Speex", speex, partial(has_tools, "speexenc"), (8_000, 12_000), f"{_APT} speex"),
}


def _opus_encoder(av: Any, rate: int, bitrate: int) -> Any:
    options = {"application": "audio", "vbr": "on", "compression_level": "10", "frame_duration": "20"}
    return _encoder(av, "libopus", rate, bitrate, options, "flt")


def _encoder(av: Any, name: str, rate: int, bitrate: int, options: dict[str, str], kind: str = "fltp") -> Any:
    encoder = av.CodecContext.create(name, "w")
    encoder.sample_rate, encoder.layout, encoder.format, encoder.bit_rate = rate, "mono", kind, bitrate
    encoder.options, encoder.thread_count = options, 1
    try:
        encoder.open()
    except (av.FFmpegError, ValueError) as error:
        said, range_ = {
            "libopus": ("Opus", "; expected 500 to 256000 bit/s"),
            "libmp3lame": ("MP3", ""),
        }.get(name, (name.upper(), ""))
        raise InputError(f"{said} cannot code {rate} Hz at {bitrate} bit/s{range_}") from error
    return encoder


def _packets(av: Any, encoder: Any, sound: NDArray[np.float32], rate: int, delay: int) -> Iterator[Any]:
    """Packets that cover the whole sound, the encoder's delay included."""
    size = encoder.frame_size
    count = -(-(len(sound) + delay) // size)
    padded = np.pad(sound, (0, count * size - len(sound)))
    for start in range(0, len(padded), size):
        frame = av.AudioFrame.from_ndarray(
            padded[None, start : start + size], format=encoder.format.name, layout="mono"
        )
        frame.sample_rate, frame.pts = rate, start
        yield from encoder.encode(frame)
    yield from encoder.encode(None)


def _decoded(decoder: Any, packets: list[Any]) -> NDArray[np.float32]:
    """All samples `[C, T]` of packets, the last ones in the decoder included."""
    frames = [frame.to_ndarray() for packet in [*packets, None] for frame in decoder.decode(packet)]
    return _as_float(np.concatenate(frames, axis=1))


def _demuxed(av: Any, file: bytes) -> NDArray[np.float32]:
    """All samples `[C, T]` of a file of one stream."""
    with av.open(BytesIO(file)) as container:
        return _as_float(np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], axis=1))


def _packet_bytes(av: Any, file: bytes) -> int:
    """Bytes of the packets of sound in a file: headers and container left out."""
    with av.open(BytesIO(file)) as container:
        return sum(packet.size for packet in container.demux(audio=0))


def _as_float(samples: NDArray[Any]) -> NDArray[np.float32]:
    """Samples as PyAV gives them, 16-bit or float, at full scale 1."""
    scale = 32768 if samples.dtype == np.int16 else 1
    return samples.astype(np.float32) / np.float32(scale)


def _fit(wave: NDArray[np.float32], length: int) -> NDArray[np.float32]:
    return np.pad(wave[:length], (0, max(0, length - len(wave))))


def _run(tool: str, arguments: list[str], data: bytes) -> bytes:
    place = shutil.which(tool)
    package = {"c2": "codec2", "sp": "speex"}[tool[:2]]
    if place is None:
        raise MissingError(f"{package.capitalize()} needs the tool {tool} on the path; apt-get install {package}")
    try:
        done = subprocess.run([place, *arguments], input=data, capture_output=True, timeout=_SECONDS, check=True)
    except (subprocess.SubprocessError, OSError) as error:
        asked = " ".join(arguments)
        raise InputError(f"{tool} could not code this sound ({asked}): {error}") from error
    return done.stdout


def _av() -> Any:
    try:
        return import_module("av")
    except ImportError as error:
        raise MissingError("this baseline needs the package av; pip install 'nacre[eval]'") from error
