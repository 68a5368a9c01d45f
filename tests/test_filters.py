"""Resampling moves pitch by the ratio and nothing else; rooms and colours are what their figures say."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from nacre.training.filters import colour, convolve, impulse_responses, resample_group, speed_margin

RATE = 24000


def sine(hertz: float, size: int = 30000) -> Tensor:
    return torch.sin(2 * math.pi * hertz * torch.arange(size, dtype=torch.float64) / RATE)[None, None]


def column(*figures: float) -> Tensor:
    return torch.tensor(figures, dtype=torch.float64).reshape(1, -1, 1)


def decibels_at(wave: Tensor, hertz: float) -> float:
    """Level of one frequency in the middle of a wave, with 0 dB for a sine of 1."""
    middle = wave[..., len(wave[0, 0]) // 4 : 3 * len(wave[0, 0]) // 4]
    window = torch.hann_window(middle.shape[-1], dtype=middle.dtype)
    turn = torch.exp(-2j * math.pi * hertz / RATE * torch.arange(middle.shape[-1], dtype=torch.float64))
    return float(20 * torch.log10((middle * window * turn).sum().abs() / window.sum() * 2))


@pytest.mark.parametrize("speed", [0.85, 0.97, 1.0, 1.1, 1.2])
@pytest.mark.parametrize("hertz", [100.0, 3000.0])
def test_speed_multiplies_pitch(speed: float, hertz: float) -> None:
    margin, size = speed_margin(RATE), 30016
    out = resample_group(sine(hertz, size), speed, margin, 24000)
    assert out.shape == (1, 1, 24000)
    true = size / (64 * round(size / speed / 64))
    assert abs(true / speed - 1) < 0.002
    begin = round(margin / true) * true  # in source samples
    place = begin + true * torch.arange(24000, dtype=torch.float64)
    wanted = torch.sin(2 * math.pi * hertz / RATE * place)
    assert (out[0, 0] - wanted).abs().max() < 2e-3  # to the phase of every sample


def test_what_would_fold_over_is_cut() -> None:
    fast = resample_group(sine(11000, 30016), 1.2, speed_margin(RATE), 24000)
    assert fast.abs().max() < 0.02
    slow = resample_group(sine(11000, 30016), 0.9, speed_margin(RATE), 24000)
    assert decibels_at(slow, 11000 * 30016 / (64 * round(30016 / 0.9 / 64))) == pytest.approx(0, abs=0.1)


def test_margins_do_not_click() -> None:
    steady = torch.ones(1, 1, 30016)
    out = resample_group(steady, 1.2, speed_margin(RATE), 24000)
    assert (out - 1).abs().max() < 5e-3


def test_a_room_has_the_energy_and_the_decay_asked_for() -> None:
    torch.manual_seed(0)
    tails = torch.randn(2, 1, RATE, dtype=torch.float64)
    decay, level = torch.tensor([[[4800.0]], [[12000.0]]]), torch.tensor([[[-3.0]], [[-12.0]]])
    rooms = impulse_responses(tails, decay, level, RATE)
    assert torch.equal(rooms[..., 0], torch.ones(2, 1, dtype=torch.float64))
    assert not rooms[..., 1:48].any()  # 2 ms of silence
    energy = rooms[..., 1:].square().sum(-1)
    torch.testing.assert_close(10 * energy.log10(), level[..., 0].double())
    for room, length in zip(rooms[:, 0], (4800, 12000), strict=True):
        pieces = room[100 : 100 + length].square().reshape(4, -1).mean(1)
        fall = 10 * (pieces[0] / pieces[3]).log10()  # three quarters of the decay of 60 dB apart
        assert fall == pytest.approx(45, abs=2)


def test_convolution_is_causal_and_exact() -> None:
    torch.manual_seed(0)
    wave, kernel = torch.randn(3, 2, 500, dtype=torch.float64), torch.randn(3, 2, 90, dtype=torch.float64)
    out = convolve(wave, kernel)
    assert out.shape == wave.shape
    for b in range(3):
        for c in range(2):
            for t in (0, 1, 89, 499):
                past = wave[b, c, max(0, t - 89) : t + 1].flip(0)
                assert float(out[b, c, t]) == pytest.approx(float(past @ kernel[b, c, : len(past)]))


@pytest.mark.parametrize(("hertz", "octaves"), [(250, -2), (1000, 0), (4000, 2), (8000, 3)])
def test_tilt_is_so_many_decibels_an_octave(hertz: float, octaves: int) -> None:
    out = colour(sine(hertz), RATE, column(-1.5), column(0), column(1000), column(math.inf))
    assert decibels_at(out, hertz) == pytest.approx(-1.5 * octaves, abs=0.02)


def test_bells_stand_where_they_should() -> None:
    def level(hertz: float) -> float:
        gains, centres = column(6, -9), column(500, 4000)
        return decibels_at(colour(sine(hertz), RATE, column(0), gains, centres, column(math.inf)), hertz)

    assert level(500) == pytest.approx(6, abs=0.05)
    assert level(4000) == pytest.approx(-9, abs=0.05)
    assert level(500 * 2**0.4) == pytest.approx(6 * math.exp(-0.5), abs=0.05)
    assert level(60) == pytest.approx(0, abs=0.1)


def test_a_low_pass_leaves_what_is_below_and_nothing_above() -> None:
    for hertz, wanted in [(1000, 0), (3900, 0), (4240, -6)]:
        out = colour(sine(hertz), RATE, column(0), column(0), column(1000), column(4000))
        assert decibels_at(out, hertz) == pytest.approx(wanted, abs=0.1)
    assert decibels_at(colour(sine(4600), RATE, column(0), column(0), column(1000), column(4000)), 4600) < -80


def test_no_colour_is_no_change() -> None:
    wave = torch.randn(2, 1, 5000)
    none = torch.zeros(2, 1, 1)
    out = colour(wave, RATE, none, none, none + 1000, none + math.inf)
    torch.testing.assert_close(out, wave, rtol=0, atol=1e-5)
