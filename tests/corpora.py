"""Sound whose every sample tells its clip and place, in files and shards, for the tests of training data."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

RATE = 8000
STRIDE = 2000  # sample n of clip i is i * STRIDE + n, as int16
LENGTHS = (900, 350, 100, 60, 1500)  # samples of the clips


def ramp(clip: int, length: int) -> NDArray[np.int16]:
    return (clip * STRIDE + np.arange(length)).astype(np.int16)


def voice(seconds: float = 2.0, rate: int = RATE, channels: int = 1, seed: int = 0) -> NDArray[np.float32]:
    """Smooth noise `[T, C]`, well below full scale and below 0.4 of the rate."""
    random = np.random.default_rng(seed)
    spectrum = np.fft.rfft(random.normal(size=(round(seconds * rate), channels)), axis=0)
    spectrum[int(0.8 * len(spectrum)) :] = 0
    wave = np.fft.irfft(spectrum, round(seconds * rate), axis=0)
    return (0.3 * wave / np.abs(wave).max()).astype(np.float32)


def write_ramps(folder: Path, suffix: str = ".wav", lengths: tuple[int, ...] = LENGTHS) -> Path:
    """A folder of ramps, one clip a file; the names sort as the clips count."""
    folder.mkdir(parents=True, exist_ok=True)
    for i, length in enumerate(lengths):
        soundfile.write(folder / f"{i}{suffix}", ramp(i, length), RATE, "PCM_16")
    return folder


def write_shard(path: Path, sounds: dict[str, bytes], speakers: dict[str, str] | None = None) -> Path:
    """A WebDataset shard of `KEY.suffix` and, where there is a speaker, `KEY.json`."""
    with tarfile.open(path, "w") as shard:
        for name, data in sounds.items():
            key = name.rpartition(".")[0]
            _add(shard, name, data)
            if speakers and key in speakers:
                _add(shard, f"{key}.json", json.dumps({"speaker": speakers[key]}).encode())
    return path


def _add(shard: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    shard.addfile(info, io.BytesIO(data))


def sound_bytes(samples: NDArray[np.generic], rate: int = RATE, kind: str = "WAV", subtype: str | None = None) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, subtype or {"OGG": "OPUS"}.get(kind, "PCM_16"), format=kind)
    return file.getvalue()


def places(crop: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Clip and place of each sample of a ramp crop."""
    values = np.rint(np.asarray(crop, np.float64) * 32768).astype(np.int64)
    return values // STRIDE, values % STRIDE
