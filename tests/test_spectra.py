"""Spectra for training: right values, right frames, computed once."""

from __future__ import annotations

import math

import pytest
import torch

from nacre.errors import InputError
from nacre.training.spectra import Padding, Pair, Resolution, Spectrum, resolutions


def test_a_cosine_on_a_bin_has_half_the_window_as_magnitude() -> None:
    wave = torch.cos(2 * math.pi * 5 / 64 * torch.arange(640))[None, None]
    size = Spectrum(Resolution(64, 16, 64), padding="none")(wave).abs()
    assert size.shape == (1, 33, (640 - 64) // 16 + 1)
    torch.testing.assert_close(size[0, 5], torch.full((37,), 16.0), rtol=1e-4, atol=1e-4)  # sum of the window / 2
    assert size[0, 8:].max() < 1e-3


def test_a_normalised_spectrum_keeps_noise_as_loud_as_it_is() -> None:
    noise = torch.randn(1, 1, 200000, generator=torch.Generator().manual_seed(0)) * 0.3
    for window in (64, 512):
        power = Spectrum(Resolution(window, window // 4, window), "none", normalised=True)(noise).abs().square()
        assert power[:, 1:-1].mean().sqrt().item() == pytest.approx(0.3, rel=0.03)


@pytest.mark.parametrize(
    ("padding", "samples", "frames"),
    [("centred", 100, 7), ("centred", 96, 7), ("hops", 100, 7), ("hops", 96, 6), ("none", 96, 3), ("none", 100, 3)],
)
def test_padding_decides_how_many_frames(padding: Padding, samples: int, frames: int) -> None:
    spectrum = Spectrum(Resolution(64, 16, 48), padding)
    assert spectrum(torch.randn(2, 1, samples)).shape == (2, 33, frames)


def test_hops_are_centred_half_a_hop_later() -> None:
    """A click at a frame's middle is heard fully there and mirrored, less, by its neighbours."""
    wave = torch.zeros(1, 1, 160)
    wave[..., 3 * 16 + 8] = 1
    size = Spectrum(Resolution(64, 16, 64), "hops")(wave).abs()[0].mean(0)
    assert size.argmax() == 3
    assert size[3].item() == pytest.approx(1.0)
    assert size[2].item() == pytest.approx(size[4].item(), rel=1e-4)


@pytest.mark.parametrize(("padding", "least"), [("centred", 33), ("hops", 40), ("none", 64)])
def test_a_wave_too_short_is_refused_by_its_length(padding: Padding, least: int) -> None:
    spectrum = Spectrum(Resolution(64, 16, 64), padding)
    assert spectrum(torch.randn(1, 1, least)).shape[-1] > 0
    with pytest.raises(InputError, match=f"needs {least} samples, got {least - 1}"):
        spectrum(torch.randn(1, 1, least - 1))


def test_resolutions_fill_in_what_is_not_said() -> None:
    assert resolutions((64, 256)) == (Resolution(64, 16, 64), Resolution(256, 64, 256))
    assert resolutions((64,), n_ffts=(512,)) == (Resolution(512, 16, 64),)
    with pytest.raises(InputError, match="got 2, 1 and 2"):
        resolutions((64, 256), hops=(8,))
    with pytest.raises(InputError, match="hop <= window <= n_fft"):
        resolutions((64,), n_ffts=(32,))


def test_a_window_is_no_part_of_a_checkpoint() -> None:
    assert Spectrum(Resolution(64, 16, 64)).state_dict() == {}


def test_losses_of_one_pair_share_its_spectra() -> None:
    pair = Pair(torch.randn(2, 1, 400, requires_grad=True), torch.randn(2, 1, 400, requires_grad=True))
    one, other = Spectrum(Resolution(64, 16, 64)), Spectrum(Resolution(64, 16, 64))
    target, output = pair.spectra(one)
    assert pair.spectra(other)[1] is output
    assert pair.magnitudes(other)[1] is pair.magnitudes(one)[1]
    assert pair.spectra(Spectrum(Resolution(64, 16, 64), "none"))[1] is not output
    assert output.requires_grad
    assert not target.requires_grad


def test_spectra_stay_float32_under_autocast() -> None:
    wave = torch.randn(1, 1, 400)
    spectrum = Spectrum(Resolution(64, 16, 64))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(spectrum(wave), spectrum(wave.clone()))
        assert spectrum(wave.bfloat16()).dtype == torch.complex64


def test_waves_of_other_shapes_make_no_pair() -> None:
    with pytest.raises(InputError, match=r"got \[1, 1, 5\] and \[1, 1, 6\]"):
        Pair(torch.zeros(1, 1, 5), torch.zeros(1, 1, 6))
