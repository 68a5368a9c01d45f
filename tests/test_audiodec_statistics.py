"""Statistics of latents: numpy's figures in one pass, kept with whose they are, refused to others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small_audiodec import small_audiodec

from nacre import DamagedError, InputError, MissingError
from nacre.codecs.audiodec import AudioDec
from nacre.codecs.audiodec_statistics import Statistics, analyser_of, measure, standardise


def waves() -> list[np.ndarray]:
    random = np.random.default_rng(0)
    shapes = [(1, 1, 5_000), (2, 1, 301), (1, 1, 0), (1, 1, 9_000)]
    return [random.normal(0.1 * i, 0.2, shape).astype(np.float32) for i, shape in enumerate(shapes)]


@pytest.fixture(scope="module")
def codec() -> AudioDec:
    return small_audiodec("v1")


def test_one_pass_gives_what_all_frames_together_give(codec: AudioDec) -> None:
    with torch.no_grad():
        rows = [codec.quantizer(codec.encoder(torch.from_numpy(wave))).z for wave in waves() if wave.size]
    z = torch.cat([row.transpose(1, 2).flatten(0, 1) for row in rows]).double().numpy()
    statistics = measure(codec, iter(waves()))
    np.testing.assert_allclose(statistics.mean, z.mean(0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(statistics.scale, z.std(0), rtol=1e-5)
    assert statistics.mean.dtype == statistics.scale.dtype == np.float32


def test_a_feature_that_does_not_vary_keeps_its_size(codec: AudioDec) -> None:
    statistics = measure(codec, [np.zeros((1, 1, 300), np.float32)])  # one frame: nothing varies
    assert (statistics.scale == 1).all() and statistics.mean.any()


def test_no_sound_has_no_statistics(codec: AudioDec) -> None:
    with pytest.raises(InputError, match="at least one frame"):
        measure(codec, [np.zeros((1, 1, 0), np.float32)])


@pytest.mark.parametrize("name", ["stats.npy", "stats.safetensors"])
def test_files_keep_them(codec: AudioDec, name: str, tmp_path: Path) -> None:
    statistics = measure(codec, waves())
    for _ in range(2):  # the second time over the first
        statistics.save(tmp_path / name)
    loaded = Statistics.load(tmp_path / name)
    assert np.array_equal(loaded.mean, statistics.mean) and np.array_equal(loaded.scale, statistics.scale)
    assert loaded.analyser == ("" if name.endswith(".npy") else analyser_of(codec))
    if name.endswith(".npy"):  # as AudioDec's own: 2 rows of float32
        assert np.load(tmp_path / name).shape == (2, 8) and np.load(tmp_path / name).dtype == np.float32
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_vocoder_hears_latents_of_scale_one() -> None:
    codec = small_audiodec("v2")
    wave = waves()[3]
    plain = codec.decode(codec.encode(wave))
    standardise(codec, measure(codec, [wave]))
    assert np.abs(codec.decode(codec.encode(wave)) - plain).max() > 1e-3
    with torch.no_grad():
        z = codec.decoder[0](codec.quantizer(codec.encoder(torch.from_numpy(wave))).z)
    torch.testing.assert_close(z.mean(2), torch.zeros(1, 8), atol=1e-5, rtol=0)
    torch.testing.assert_close(z.std(2, correction=0), torch.ones(1, 8), atol=1e-4, rtol=0)


def test_statistics_of_others_are_refused(codec: AudioDec) -> None:
    statistics = measure(codec, waves())
    other = small_audiodec("v1")
    with torch.no_grad():
        other.encoder[0].weight[0, 0, 0] += 1e-3
    with pytest.raises(InputError, match="measure them anew"):
        standardise(other, statistics)
    standardise(other, replace(statistics, analyser=""))  # a file of AudioDec's cannot say whose; one vouches for it
    assert np.array_equal(other.decoder.standard.mean.numpy(), statistics.mean)  # type: ignore[union-attr, operator]
    with pytest.raises(InputError, match="8 features, got"):
        standardise(codec, Statistics(statistics.mean[:3], statistics.scale[:3]))
    with pytest.raises(InputError, match="no vocoder"):
        standardise(small_audiodec("sym"), statistics)


def test_the_analyser_is_the_same_in_training_and_in_use() -> None:
    same = {analyser_of(small_audiodec("activated", fused)) for fused in (True, False)}
    assert len(same) == 1 and same != {analyser_of(small_audiodec("sym"))}
    one, other = small_audiodec("v0"), small_audiodec("v2")  # vocoders of one encoder
    assert analyser_of(one) == analyser_of(other)


@pytest.mark.parametrize("name", ["stats.npy", "stats.safetensors"])
def test_broken_files_are_told_from_absent_ones(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    with pytest.raises(MissingError, match="no file"):
        Statistics.load(path)
    path.write_bytes(b"\x93NUMPY\x01\x00 nothing")
    with pytest.raises(DamagedError, match="no statistics"):
        Statistics.load(path)
    if name.endswith(".npy"):
        for rows in (np.zeros((2, 8)), np.full((2, 8), np.nan), np.ones((3, 8)), np.ones((2, 8, 1))):
            np.save(path, rows)
            with pytest.raises(DamagedError, match=r"statistics|positive scale"):
                Statistics.load(path)
