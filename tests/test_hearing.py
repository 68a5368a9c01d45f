"""Losses that hear: envelopes for intelligibility, loudness above the threshold in quiet."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from nacre.errors import InputError
from nacre.training.hearing import (
    IntelligibilityLoss,
    LoudnessLoss,
    critical_bands,
    third_octaves,
    threshold_in_quiet,
)
from nacre.training.spectra import Pair, Resolution

RATE = 24000


def test_intelligibility_is_perfect_for_equal_envelopes_and_falls_with_noise() -> None:
    torch.manual_seed(0)
    loss, speech = (
        IntelligibilityLoss(RATE),
        torch.randn(2, 1, RATE) * torch.rand(2, 1, RATE // 480).repeat_interleave(480, -1),
    )
    assert float(loss(Pair(speech, speech))) == pytest.approx(0, abs=1e-5)
    assert float(loss(Pair(speech, 0.25 * speech))) == pytest.approx(0, abs=1e-4)  # loudness is not its business
    noisy = [float(loss(Pair(speech, speech + level * torch.randn_like(speech)))) for level in (0.1, 0.5, 2.0)]
    assert noisy == sorted(noisy) and noisy[-1] > 0.4
    output = (0.5 * speech + 0.3 * torch.randn_like(speech)).requires_grad_()
    loss(Pair(speech, output)).backward()
    assert output.grad is not None and output.grad.isfinite().all() and output.grad.abs().sum() > 0


def test_intelligibility_of_silence_is_no_number_gone_wrong_and_short_crops_are_refused() -> None:
    silence, noise = torch.zeros(1, 1, RATE), torch.randn(1, 1, RATE).requires_grad_()
    value = IntelligibilityLoss(RATE)(Pair(silence, noise))
    value.backward()
    assert value.isfinite() and noise.grad is not None and noise.grad.isfinite().all()
    with pytest.raises(InputError, match="30 frames"):
        IntelligibilityLoss(RATE)(Pair(torch.zeros(1, 1, 4000), torch.zeros(1, 1, 4000)))


def test_third_octaves_cover_each_bin_once_from_133_hz_up() -> None:
    resolution = Resolution(1024, 307, 614)
    filters = third_octaves(resolution, RATE, 15)
    hertz = torch.arange(513) * RATE / 1024
    covered = filters.sum(0)
    inside = (hertz >= 150 / 2 ** (1 / 6)) & (hertz < 150 * 2 ** (14 / 3 + 1 / 6))
    assert torch.equal(covered > 0, inside) and covered.max() == 1
    assert filters.sum(1).min() >= 1


def tone(hertz: float, size: float = 0.1) -> Tensor:
    return size * torch.sin(2 * math.pi * hertz * torch.arange(RATE // 2) / RATE)[None, None]


def test_loudness_is_nought_for_equal_waves_and_does_not_ask_how_loud_both_are() -> None:
    torch.manual_seed(0)
    loss, speech, noise = LoudnessLoss(RATE), tone(440), 0.02 * torch.randn(1, 1, RATE // 2)
    assert float(loss(Pair(speech, speech))) == pytest.approx(0, abs=1e-6)
    value = float(loss(Pair(speech, speech + noise)))
    assert float(loss(Pair(0.1 * speech, 0.1 * (speech + noise)))) == pytest.approx(value, rel=1e-4)
    rising = [float(loss(Pair(speech, speech + share * noise))) for share in (0.1, 0.3, 1.0, 3.0)]
    assert rising == sorted(rising) and rising[0] > 0


def test_loudness_does_not_hear_phase_nor_what_is_masked_nor_what_is_too_faint() -> None:
    loss, masker = LoudnessLoss(RATE), tone(1000)
    assert float(loss(Pair(masker, -masker))) == pytest.approx(0, abs=1e-6)
    near, far = (float(loss(Pair(masker, masker + tone(hertz, 0.005)))) for hertz in (1010, 4000))
    assert near < 0.05 * far
    assert float(loss(Pair(masker, masker + tone(4000, 2e-6)))) < 0.02


def test_what_is_added_costs_more_than_what_is_left_out() -> None:
    loss, both, one = LoudnessLoss(RATE), tone(500) + tone(3000, 0.05), tone(500)
    level = LoudnessLoss(RATE, added=0.0)
    assert float(loss(Pair(one, both))) - float(level(Pair(one, both))) > 0.5
    assert float(loss(Pair(both, one))) == pytest.approx(float(level(Pair(both, one))), rel=0.02)


def test_loudness_of_silence_is_a_number_with_a_gradient() -> None:
    silence, noise = torch.zeros(1, 1, 4800), (0.1 * torch.randn(1, 1, 4800)).requires_grad_()
    for target, output in ((silence, noise), (noise.detach(), silence.clone().requires_grad_())):
        value = LoudnessLoss(RATE)(Pair(target, output))
        value.backward()
        assert value.isfinite() and output.grad is not None and output.grad.isfinite().all()


def test_critical_bands_cover_each_bin_once_up_to_8_khz_and_no_band_is_empty() -> None:
    filters, centres = critical_bands(Resolution(1024, 384, 768), RATE)
    covered = filters.sum(0)
    hertz = torch.arange(513) * RATE / 1024
    assert covered.max() == 1 and filters.sum(1).min() >= 1
    assert (covered[(hertz > 100) & (hertz <= 8000)] == 1).all() and (covered[hertz > 8000] == 0).all()
    assert (centres.diff() > 0).all()


def test_the_ear_is_keenest_between_2_and_5_khz() -> None:
    hertz = torch.tensor([100.0, 1000.0, 3300.0, 8000.0])
    quiet = threshold_in_quiet(hertz)
    assert quiet.argmin() == 2
    torch.testing.assert_close(quiet[1], torch.tensor(3.37), atol=0.02, rtol=0)
