"""A stretch of a clip is that stretch of the whole, in files and shards, at any rate."""

from __future__ import annotations

from pathlib import Path

import corpora
import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from nacre.errors import DamagedError
from nacre.training.clips import Clip, find_clip, read_clip


def clip_at(path: Path, data: bytes) -> Clip:
    path.write_bytes(data)
    return find_clip(str(path), path.stem, 0, len(data))


@pytest.mark.parametrize(
    ("kind", "subtype", "rate", "tolerance"),
    [
        ("WAV", "PCM_16", 8000, 0),
        ("WAV", "FLOAT", 44100, 0),
        ("FLAC", "PCM_16", 22050, 0),
        ("AIFF", "PCM_16", 8000, 0),
        ("OGG", "VORBIS", 16000, 1e-5),
        ("OGG", "OPUS", 24000, 5e-3),  # after a seek its decoder has another past
    ],
)
def test_a_stretch_is_that_of_the_whole(tmp_path: Path, kind: str, subtype: str, rate: int, tolerance: float) -> None:
    data = corpora.sound_bytes(corpora.voice(3.0, rate), rate, kind, subtype)
    clip = clip_at(tmp_path / "a.bin", data)
    assert (clip.sample_rate, clip.channels, clip.frames) == (rate, 1, 3 * rate)
    whole = read_clip(clip, rate, 1)
    assert whole.shape == (1, 3 * rate)
    for start in (0, 1, rate // 3, 2 * rate - 7):
        part = read_clip(clip, rate, 1, start, rate)
        assert part.shape == (1, rate)
        np.testing.assert_allclose(part, whole[:, start : start + rate], rtol=0, atol=tolerance)


@given(start=st.integers(0, 1600), count=st.integers(1, 1600))
def test_every_sample_comes_from_its_place(tmp_path_factory: pytest.TempPathFactory, start: int, count: int) -> None:
    folder = tmp_path_factory.getbasetemp() / "ramps"
    path = folder / "4.wav" if folder.exists() else corpora.write_ramps(folder) / "4.wav"
    clip = find_clip(str(path), "4", 0, path.stat().st_size)
    _, places = corpora.places(read_clip(clip, corpora.RATE, 1, start, count)[0])
    assert places.tolist() == list(range(start, min(start + count, 1500)))


@pytest.mark.parametrize("rate", [16000, 22050, 44100, 48000])
def test_a_resampled_stretch_is_that_of_the_resampled_whole(tmp_path: Path, rate: int) -> None:
    clip = clip_at(tmp_path / "a.wav", corpora.sound_bytes(corpora.voice(2.0, rate), rate))
    whole = read_clip(clip, 24000, 1)
    assert whole.shape == (1, 48000) == (1, clip.length(24000))
    for start, count in [(0, 100), (1, 24000), (12345, 9876), (47000, 24000)]:
        part = read_clip(clip, 24000, 1, start, count)
        np.testing.assert_allclose(part, whole[:, start : start + count], rtol=0, atol=2e-6)


def test_a_part_of_a_shard_is_read_in_place(tmp_path: Path) -> None:
    first, second = (corpora.sound_bytes(corpora.ramp(i, 500), kind="FLAC") for i in (1, 2))
    (tmp_path / "s.tar").write_bytes(b"x" * 512 + first + second + b"y" * 100)
    clip = find_clip(str(tmp_path / "s.tar"), "b", 512 + len(first), len(second), "who")
    clips, places = corpora.places(read_clip(clip, corpora.RATE, 1, 100, 50)[0])
    assert set(clips) == {2}
    assert places.tolist() == list(range(100, 150))
    assert clip.name == f"b in {tmp_path / 's.tar'}"


def test_stereo_becomes_the_mean_and_mono_becomes_two(tmp_path: Path) -> None:
    stereo = np.stack([corpora.ramp(0, 400), corpora.ramp(2, 400)], axis=1)
    clip = clip_at(tmp_path / "a.wav", corpora.sound_bytes(stereo))
    clips, places = corpora.places(read_clip(clip, corpora.RATE, 1, 10, 20)[0])
    assert set(clips) == {1}
    assert places.tolist() == list(range(10, 30))
    mono = clip_at(tmp_path / "b.wav", corpora.sound_bytes(corpora.ramp(1, 50)))
    both = read_clip(mono, corpora.RATE, 2)
    assert both.shape == (2, 50)
    assert np.array_equal(both[0], both[1])


def test_samples_beyond_full_scale_are_held(tmp_path: Path) -> None:
    clip = clip_at(tmp_path / "a.wav", corpora.sound_bytes(np.float32([0.5, 1.5, -2, -0.5]), subtype="FLOAT"))
    assert read_clip(clip, corpora.RATE, 1).tolist() == [[0.5, 1, -1, -0.5]]


def test_what_is_no_sound_is_named(tmp_path: Path) -> None:
    for name, data, why in [
        ("text.wav", b"hello", "cannot be read as sound"),
        ("void.wav", b"", "cannot be read as sound"),
        ("none.wav", corpora.sound_bytes(np.zeros(0, np.int16)), "holds no sound"),
    ]:
        with pytest.raises(DamagedError, match=f"{name} {why}"):
            clip_at(tmp_path / name, data)
    with pytest.raises(DamagedError, match=r"gone\.wav cannot be read: No such file"):
        find_clip(str(tmp_path / "gone.wav"), "gone", 0, 100)


def test_a_sample_that_is_no_number_is_named(tmp_path: Path) -> None:
    samples = np.zeros(1000, np.float32)
    samples[700] = np.nan
    clip = clip_at(tmp_path / "nan.wav", corpora.sound_bytes(samples, subtype="FLOAT"))
    assert read_clip(clip, corpora.RATE, 1, 0, 700).shape == (1, 700)
    with pytest.raises(DamagedError, match=r"nan\.wav holds a NaN"):
        read_clip(clip, corpora.RATE, 1, 600, 200)


def test_a_length_that_the_header_leaves_out_is_counted(tmp_path: Path) -> None:
    data = bytearray(corpora.sound_bytes(corpora.ramp(1, 1234), kind="FLAC"))
    data[21] &= 0xF0  # STREAMINFO: 36 bits of sample count, zero for unknown
    data[22:26] = bytes(4)
    (tmp_path / "a.flac").write_bytes(data)
    with soundfile.SoundFile(tmp_path / "a.flac") as sound:
        assert sound.frames > 1 << 60  # what libsndfile says
    assert clip_at(tmp_path / "a.flac", bytes(data)).frames == 1234


def test_a_clip_cut_short_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    data = corpora.sound_bytes(corpora.voice(3.0, 16000), 16000, "FLAC")
    clip = clip_at(tmp_path / "a.flac", data[: len(data) // 2])
    assert clip.frames == 48000  # as the header promises
    assert read_clip(clip, 16000, 1, 0, 16000).shape == (1, 16000)
    with pytest.raises(DamagedError, match=r"a\.flac cannot be read as sound"):
        read_clip(clip, 16000, 1, 40000, 2000)
