"""dac_windows: `.dac` files that the package wrote sound here as there, and ours there as here."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lively import lively
from makers import beside_packages

from nacre import InputError
from nacre.audio.loudness import loudness
from nacre.codecs.dac import DAC, DACConfig
from nacre.container.dac_file import read_dac
from nacre.converters.dac_windows import (
    DacOptions,
    decode_dac,
    encode_dac,
    margin,
    resampled,
    unpadded,
    unpadded_length,
)
from nacre.converters.from_dac import save_dac
from nacre.nn.blocks import Chain
from nacre.nn.conv import ConvTranspose1d
from nacre.nn.padding import Kernel
from nacre.nn.snakenet import DILATIONS, units
from nacre.nn.weight_norm import fuse

SHAPES = {"dac-16k": (16_000, (2, 4, 5, 8), 12), "dac-44k": (44_100, (2, 4, 8, 8), 9)}
# window in seconds, its codes, samples that come out of it, margin: SPECS
GEOMETRY = {"dac-16k": ((1, 34, 5346), (5, 234, 69_346), 5264), "dac-44k": ((1, 72, 28_522), (5, 416, 204_650), 7904)}


def small(name: str) -> DAC:
    """A DAC that could have been the released one of that name, but for its width."""
    torch.manual_seed(0)
    rate, strides, levels = SHAPES[name]
    config = DACConfig(rate, strides, encoder_dim=2, decoder_dim=32, latent=16, levels=levels)
    return lively(DAC(config, name)).eval()


def noise(channels: int, seconds: float, rate: int) -> np.ndarray:
    length = int(seconds * rate)
    wave = np.random.default_rng(length).normal(0, 0.05, (1, channels, length)) * np.linspace(0.2, 1, length)
    return wave.astype(np.float32)


def near(one: np.ndarray, two: np.ndarray, share: float = 1e-4) -> bool:
    return one.shape == two.shape and bool(np.abs(one - two).max() <= share * np.abs(two).max())


@pytest.mark.parametrize("name", SHAPES)
def test_windows_are_those_of_the_package(name: str) -> None:
    codec = small(name)
    *windows, around = GEOMETRY[name]
    assert margin(codec) == around
    for seconds, _, out in windows:
        size = -(-seconds * codec.info.sample_rate // codec.info.hop) * codec.info.hop
        assert unpadded_length(codec, size) == out
    wave = noise(2, 1.3, codec.info.sample_rate)
    codes, metadata = read_dac(encode_dac(codec, wave, codec.info.sample_rate, DacOptions(window=1)), name)
    assert (metadata.chunk_length, metadata.padding, metadata.channels) == (windows[0][1], False, 2)
    assert codes.frames == -(-wave.shape[2] // windows[0][2]) * windows[0][1]


def test_without_padding_the_middle_is_the_same_and_the_edges_are_gone() -> None:
    net, x = Chain(*units(4), ConvTranspose1d(4, 4, Kernel(4, 2).centred())), torch.randn(1, 4, 200)
    with torch.no_grad():
        whole, middle = net(x), unpadded(net, x)
    cut = 2 * sum(3 * dilation for dilation in DILATIONS)
    torch.testing.assert_close(middle[..., 2:-2], whole[..., cut + 1 : -cut - 1])
    assert middle.shape[-1] == whole.shape[-1] - 2 * cut + 2  # what is added last sounds on


@pytest.mark.parametrize(("rate", "channels"), [(16_000, 1), (22_050, 2)])
@pytest.mark.parametrize("window", [0.8, math.inf])
def test_there_and_back_keeps_shape_and_loudness(rate: int, channels: int, window: float) -> None:
    codec, wave = fuse(small("dac-16k")), noise(channels, 1.2, rate)
    data = encode_dac(codec, wave, rate, DacOptions(window, levels=2))
    codes, metadata = read_dac(data, "dac-16k")
    assert (len(codes.levels), metadata.original_length, metadata.sample_rate) == (2, wave.shape[2], rate)
    at_rate = resampled(wave[0], rate, codec.info.sample_rate)
    assert metadata.input_db == pytest.approx([loudness(at_rate, codec.info.sample_rate)], abs=1e-4)
    sound, heard = decode_dac(codec, data)
    assert (sound.shape, heard) == (wave.shape, rate)
    for channel in sound[0]:  # the package brings each to the loudness of all of them together
        assert loudness(channel[None], rate) == pytest.approx(metadata.input_db[0], abs=0.5)


def test_quiet_sound_has_the_codes_of_loud_sound() -> None:
    codec, wave = fuse(small("dac-16k")), noise(1, 0.5, 16_000)
    loud, quiet = (read_dac(encode_dac(codec, each, 16_000), "dac-16k") for each in (wave, wave / 8))
    assert loud[1].input_db[0] - quiet[1].input_db[0] == pytest.approx(20 * math.log10(8), abs=1e-4)
    assert np.array_equal(np.stack(loud[0].levels), np.stack(quiet[0].levels))


def test_sound_as_loud_as_it_is() -> None:
    codec, wave = fuse(small("dac-16k")), noise(1, 0.5, 16_000)
    data = encode_dac(codec, wave, 16_000, DacOptions(loud=None))
    codes = read_dac(data, "dac-16k")[0]
    padded = np.pad(wave, ((0, 0), (0, 0), (0, 8)))  # what the package's decoder loses
    assert np.array_equal(np.stack(codes.levels), np.stack(codec.encode(padded).levels))


def test_what_makes_no_file_is_refused() -> None:
    codec = small("dac-16k")
    for shape in ((1, 1, 0), (2, 1, 9), (1, 9)):
        with pytest.raises(InputError, match="expected one sound"):
            encode_dac(codec, np.zeros(shape, np.float32), 16_000)
    with pytest.raises(InputError, match="44100 and 44101 Hz have too little in common"):
        resampled(noise(1, 0.1, 44_100)[0], 44_100, 44_101)
    with pytest.raises(InputError, match="too short"):
        encode_dac(codec, noise(1, 1, 16_000), 16_000, DacOptions(window=0.1))


@pytest.mark.parametrize(("old", "new"), [(48_000, 44_100), (16_000, 24_000), (8000, 16_000)])
def test_the_resampler_is_julius(old: int, new: int) -> None:
    julius = pytest.importorskip("julius")
    wave = noise(2, 0.1, old)[0]
    ours, theirs = resampled(wave, old, new), julius.resample_frac(torch.from_numpy(wave), old, new).numpy()
    assert near(ours, theirs, 1e-5)


@pytest.fixture
def package() -> Iterator[Any]:
    """The package, with a torchaudio that it can import while the test runs."""
    with beside_packages("dac"):
        yield sys.modules["dac"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize(
    ("channels", "seconds", "window", "rate"),
    [(1, 1.7, 1.0, 0), (2, 1.3, 0.8, 0), (2, 0.7, 1.0, 0), (1, 1.1, 1.0, 48_000)],
)
def test_the_packages_files_here_and_ours_there(
    name: str, channels: int, seconds: float, window: float, rate: int, package: Any, tmp_path: Path
) -> None:
    from audiotools import AudioSignal
    from dac.model.base import DACFile

    codec = small(name)
    rate = rate or codec.info.sample_rate
    save_dac(codec, tmp_path / "w.pth")
    model = package.DAC.load(tmp_path / "w.pth").eval()
    codec, wave = fuse(codec), noise(channels, seconds, rate)
    theirs = model.compress(AudioSignal(torch.from_numpy(wave.copy()), rate), win_duration=window)
    theirs.save(tmp_path / "theirs.dac")
    ours = encode_dac(codec, wave, rate, DacOptions(window))
    (tmp_path / "ours.dac").write_bytes(ours)
    written = DACFile.load(tmp_path / "ours.dac")
    assert near(decode_dac(codec, ours)[0], model.decompress(written).audio_data.numpy())
    if written.codes.shape == theirs.codes.shape:  # otherwise the package cannot decode its own file
        assert int((written.codes != theirs.codes).sum()) <= 1e-3 * theirs.codes.numel()
        expected = model.decompress(DACFile.load(tmp_path / "theirs.dac")).audio_data.numpy()
        assert near(decode_dac(codec, (tmp_path / "theirs.dac").read_bytes())[0], expected)
