"""Sound in and out as people use it: every kind of file, every rate and length, whole against blocks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from nacre import audio
from nacre.errors import InputError

LOSSLESS = [
    *(("wav", encoding, bits) for encoding, bits in (("int16", 16), ("int24", 24), ("int32", 24), ("float32", 24))),
    *(("aiff", encoding, bits) for encoding, bits in (("int16", 16), ("int24", 24), ("int32", 24), ("float32", 24))),
    *(("flac", encoding, bits) for encoding, bits in (("int16", 16), ("int24", 24))),
]


def on_grid(channels: int, frames: int, bits: int) -> NDArray[np.float32]:
    """Random samples that `bits` bits can hold exactly, both extremes among them: `[1, C, T]`."""
    full = 1 << (bits - 1)
    values = np.random.default_rng(frames).integers(-full, full, (1, channels, frames))
    values.flat[: min(2, values.size)] = [-full, full - 1][: min(2, values.size)]
    return (values / full).astype(np.float32)


def sine(frames: int, sample_rate: int, channels: int = 1) -> NDArray[np.float32]:
    wave = 0.5 * np.sin(2 * np.pi * 440 * np.arange(frames) / sample_rate)
    return np.stack([wave * (1 - 0.3 * i) for i in range(channels)])[None].astype(np.float32)


@pytest.mark.parametrize(("suffix", "encoding", "bits"), LOSSLESS)
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_what_is_written_comes_back_bit_for_bit(
    tmp_path: Path, suffix: str, encoding: str, bits: int, channels: int
) -> None:
    wave, path = on_grid(channels, 5001, bits), tmp_path / f"a.{suffix}"
    assert audio.write(path, wave, 22050, encoding=encoding) == 0
    back = audio.read(path)
    assert (back.samples.dtype, back.sample_rate) == (np.float32, 22050)
    np.testing.assert_array_equal(back.samples, wave)
    theirs, rate = soundfile.read(path, dtype="float32", always_2d=True)  # others read it alike
    assert rate == 22050
    np.testing.assert_array_equal(theirs.T[None], wave)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(("suffix", "noise"), [("ogg", 0.05), ("opus", 0.1), ("mp3", 0.05)])
def test_lossy_files_come_back_in_length_and_likeness(tmp_path: Path, suffix: str, noise: float, channels: int) -> None:
    wave = sine(30001, 24000, channels)
    audio.write(tmp_path / f"a.{suffix}", wave, 24000)
    back = audio.read(tmp_path / f"a.{suffix}")
    assert back.samples.shape == wave.shape
    error = (back.samples - wave)[:, :, 2000:-2000]
    assert np.sqrt(np.mean(error**2)) < noise * np.sqrt(np.mean(wave**2))


@pytest.mark.parametrize("frames", [0, 1, 319, 320, 321])
@pytest.mark.parametrize("sample_rate", [8000, 16000, 22050, 24000, 44100, 48000])
def test_lengths_are_exact_at_every_rate_and_in_every_kind(tmp_path: Path, sample_rate: int, frames: int) -> None:
    wave = sine(frames, sample_rate)
    for suffix in ("wav", "flac", "ogg", "opus", "mp3", "aiff"):
        if (frames == 0 and suffix in ("flac", "opus", "mp3")) or (suffix == "opus" and sample_rate in (22050, 44100)):
            continue
        path = tmp_path / f"a.{suffix}"
        audio.write(path, wave, sample_rate)
        assert audio.read(path).samples.shape == (1, 1, frames), suffix
        with audio.open_audio(path) as reader:
            assert reader.frames == frames
        assert audio.duration(path) == frames / sample_rate
        for wanted in (16000, 24000, 44100):
            with audio.open_audio(path, wanted, channels=2) as reader:
                got = reader.read().samples
            expected = (2 * frames * wanted + sample_rate) // (2 * sample_rate)
            assert got.shape == (1, 2, expected)
            assert reader.frames == expected


def test_a_sound_knows_its_duration() -> None:
    assert audio.Audio(np.zeros((1, 2, 12000), np.float32), 24000).duration == 0.5


def test_duration_is_counted_where_no_header_tells(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    audio.write(path, sine(30001, 24000), 24000)
    data = bytearray(path.read_bytes())
    data[21] &= 0xF0  # the 36-bit count of samples, 0 for unknown, as flac writes on a pipe
    data[22:26] = bytes(4)
    path.write_bytes(data)
    with audio.open_audio(path) as reader:
        assert reader.frames is None
        assert reader.duration is None
        reader.read()
        assert reader.frames == 30001  # now it is known
    assert audio.duration(path) == 30001 / 24000
    np.testing.assert_allclose(audio.read(path).samples, sine(30001, 24000), atol=2**-15)


def test_writing_takes_what_reading_gives_and_a_block_alike(tmp_path: Path) -> None:
    wave = on_grid(2, 100, 16)
    audio.write(tmp_path / "a.wav", wave, 8000)
    audio.write(tmp_path / "b.wav", wave[0], 8000)
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()


@pytest.mark.parametrize(
    "wave", [np.zeros(10, np.float32), np.zeros((2, 1, 10), np.float32), np.zeros((1, 1, 10), np.int16)]
)
def test_other_shapes_and_integers_are_refused(tmp_path: Path, wave: NDArray[np.generic]) -> None:
    with pytest.raises(InputError, match=r"expected float samples \[1, 1, sample\].*got .* of shape"):
        audio.write(tmp_path / "a.wav", wave, 8000)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []
