"""Decoding once: exact for 16-bit files, kept between runs, broken clips named and left out."""

from __future__ import annotations

import errno
import os
import resource
from pathlib import Path

import corpora
import numpy as np
import pytest
import torch

from nacre.errors import InputError
from nacre.training import decoded
from nacre.training.clips import Clip, read_clip
from nacre.training.decoded import DecodeJob, decode, fits, to_int16
from nacre.training.shards import find_clips


def job(folder: Path, cache: Path | None = None, **options: int) -> DecodeJob:
    return DecodeJob(find_clips(folder).clips, options.pop("sample_rate", corpora.RATE), 1, cache, **options)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("cached", [False, True])
def test_clips_lie_end_to_end_bit_for_bit(tmp_path: Path, threads: int, cached: bool) -> None:
    folder = corpora.write_ramps(tmp_path / "data", ".flac")
    done = decode(job(folder, tmp_path / "cache" if cached else None, threads=threads))
    assert done.samples.dtype == torch.int16
    assert done.lengths.tolist() == list(corpora.LENGTHS)
    assert done.offsets.tolist() == [0, 900, 1250, 1350, 1410]
    wanted = np.concatenate([corpora.ramp(i, length) for i, length in enumerate(corpora.LENGTHS)])
    assert np.array_equal(done.samples[0].numpy(), wanted)
    assert done.warnings == ()


def test_a_second_start_decodes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = corpora.write_ramps(tmp_path / "data")
    first = decode(job(folder, tmp_path / "cache"))

    def never(*_: object) -> None:
        raise AssertionError("decoded again")

    monkeypatch.setattr(decoded, "read_clip", never)
    second = decode(job(folder, tmp_path / "cache"))
    assert torch.equal(first.samples, second.samples)
    assert np.array_equal(first.offsets, second.offsets)
    with pytest.raises(AssertionError, match="decoded again"):
        decode(job(folder, tmp_path / "cache", sample_rate=4000))
    assert not list((tmp_path / "cache").glob("*.part"))


def test_a_cache_that_was_not_finished_is_made_anew(tmp_path: Path) -> None:
    folder = corpora.write_ramps(tmp_path / "data")
    wanted = decode(job(folder, tmp_path / "cache")).samples.clone()
    (array,) = (tmp_path / "cache").glob("*.npy")
    for damage in (b"damaged", array.read_bytes()[:-2]):
        array.unlink()
        array.write_bytes(damage)
        assert torch.equal(decode(job(folder, tmp_path / "cache")).samples, wanted)
    array.with_suffix(".json").unlink()
    assert torch.equal(decode(job(folder, tmp_path / "cache")).samples, wanted)


def test_broken_clips_are_named_and_left_out(tmp_path: Path) -> None:
    folder = corpora.write_ramps(tmp_path / "data")
    bad = np.zeros(200, np.float32)
    bad[100] = np.inf
    (folder / "2.wav").write_bytes(corpora.sound_bytes(bad, subtype="FLOAT"))
    done = decode(job(folder))
    assert done.lengths.tolist() == [900, 350, 60, 1500]
    assert done.warnings == (f"{folder / '2.wav'} holds a NaN or infinite sample; 0.00 of 0.03 s are used",)
    last = done.samples[0, int(done.offsets[3]) : int(done.offsets[3] + done.lengths[3])]
    assert np.array_equal(last.numpy(), corpora.ramp(4, 1500))


def test_what_is_left_of_a_clip_cut_short_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = corpora.write_ramps(tmp_path / "data", lengths=(900, 1000))

    def short(clip: Clip, rate: int, channels: int, start: int, count: int) -> np.ndarray:
        return read_clip(clip, rate, channels, start, count)[:, : 400 if clip.key == "0" else None]

    monkeypatch.setattr(decoded, "read_clip", short)
    done = decode(job(folder))
    assert done.lengths.tolist() == [400, 1000]
    assert done.warnings == (f"{folder / '0.wav'} is cut short; 0.05 of 0.11 s are used",)


def test_long_clips_are_decoded_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wave = corpora.voice(4.5, 16000)
    (tmp_path / "long.wav").write_bytes(corpora.sound_bytes(wave, 16000))
    whole = decode(job(tmp_path))
    monkeypatch.setattr(decoded, "_BLOCK", 1)
    blocks = decode(job(tmp_path))
    assert whole.samples.shape == blocks.samples.shape == (1, 36000)
    assert (whole.samples.int() - blocks.samples.int()).abs().max() <= 1


def test_progress_comes_to_the_whole(tmp_path: Path) -> None:
    seen: list[tuple[float, float]] = []
    decode(job(corpora.write_ramps(tmp_path / "data")), lambda done, hours: seen.append((done, hours)))
    hours = sum(corpora.LENGTHS) / corpora.RATE / 3600
    assert len(seen) == 5
    assert seen == sorted(seen)
    assert seen[-1] == pytest.approx((hours, hours))


def test_another_error_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(decoded, "read_clip", fail)
    with pytest.raises(MemoryError):
        decode(job(corpora.write_ramps(tmp_path / "data"), tmp_path / "cache"))
    assert list((tmp_path / "cache").iterdir()) == []


def test_int16_is_rounded_and_held() -> None:
    wave = np.float32([[0, 0.5, -1, 1, 0.6 / 32768, -0.6 / 32768]])
    assert to_int16(wave).tolist() == [[0, 16384, -32768, 32767, 1, -1]]


def test_only_what_fits_fits() -> None:
    assert fits("cpu", 1000)
    assert not fits("cpu", 1 << 60)
    assert not fits("cpu", 1000, share=0.0)


def test_a_file_that_may_not_grow_is_told(tmp_path: Path) -> None:
    folder = corpora.write_ramps(tmp_path / "data")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, limits[1]))  # no file may grow beyond
    try:
        with pytest.raises(InputError, match="no room for the decoded sound: File too large"):
            decode(job(folder, tmp_path / "cache"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list((tmp_path / "cache").glob("decoded-*"))


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="asks the disk as POSIX does")
def test_a_full_disk_is_told_before_anything_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = corpora.write_ramps(tmp_path / "data")

    def refuse(number: int) -> None:
        def fallocate(*_: object) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(decoded.os, "posix_fallocate", fallocate)

    refuse(errno.EOPNOTSUPP)  # a disk that promises nothing
    assert len(decode(job(folder, tmp_path / "other")).lengths)
    refuse(errno.ENOSPC)
    monkeypatch.setattr(decoded, "read_clip", lambda *_: pytest.fail("decoded all the same"))
    with pytest.raises(InputError, match="no room for the decoded sound: No space left on device"):
        decode(job(folder, tmp_path / "cache"))
    assert not list((tmp_path / "cache").glob("decoded-*"))
