"""Losses: values worked out by hand, zero on equal waves, and gradients that lead to the target."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from nacre.errors import InputError
from nacre.nn.spectral import MelScale, mel_filters
from nacre.training.losses import (
    MEL_LOSSES,
    ComplexSTFTLoss,
    LogSNRLoss,
    MelLoss,
    MelLossConfig,
    PairLoss,
    SISDRLoss,
    STFTLoss,
    WaveLoss,
    floor_with_gradient,
    pressed,
    si_sdr,
)
from nacre.training.spectra import Pair, Resolution

RATE = 24000


def speechlike(samples: int = 4800, seed: int = 0) -> Tensor:
    """Two harmonic tones with a little noise, `[2, 1, T]`."""
    generator = torch.Generator().manual_seed(seed)
    time = torch.arange(samples) / RATE
    tones = [sum(torch.sin(2 * math.pi * f * k * time) / k for k in range(1, 20)) for f in (110, 190)]
    wave = torch.stack([torch.as_tensor(tone) for tone in tones])[:, None] * 0.1
    return wave + 0.01 * torch.randn(wave.shape, generator=generator)


def noise_like(wave: Tensor, seed: int = 1) -> Tensor:
    return torch.randn(wave.shape, generator=torch.Generator().manual_seed(seed))


LOSSES: dict[str, PairLoss] = {
    **{f"mel-{name}": MelLoss(RATE, config) for name, config in MEL_LOSSES.items()},
    "stft": STFTLoss(),
    "complex": ComplexSTFTLoss(),
    "snr": LogSNRLoss(),
    "l1": WaveLoss(1),
    "l2": WaveLoss(2),
    "si-sdr": SISDRLoss(),
}
LEAST = {"snr": -2.0, "si-sdr": None}  # what equal waves cost, where it is not zero


@pytest.mark.parametrize("name", LOSSES)
def test_equal_waves_cost_least_and_more_noise_costs_more(name: str) -> None:
    wave = speechlike()
    costs = [LOSSES[name](Pair(wave, wave + size * noise_like(wave))).item() for size in (0, 0.003, 0.03, 0.3)]
    assert costs == sorted(costs)
    assert len(set(costs)) == 4
    least = LEAST.get(name, 0.0)
    if least is not None:
        assert costs[0] == pytest.approx(least, abs=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_finite_on_equal_and_on_silent_waves(name: str) -> None:
    wave = speechlike()
    silence = torch.zeros_like(wave)
    for target, start in ((wave, wave), (silence, silence), (silence, wave), (wave, silence)):
        output = start.clone().requires_grad_()
        cost = LOSSES[name](Pair(target, output))
        cost.backward()
        assert cost.isfinite()
        assert output.grad is not None
        assert output.grad.isfinite().all()


@pytest.mark.parametrize("name", LOSSES)
def test_following_the_gradient_lowers_the_loss(name: str) -> None:
    target = speechlike()
    output = (target + 0.1 * noise_like(target)).requires_grad_()
    optimizer = torch.optim.Adam([output], lr=3e-3)
    first = LOSSES[name](Pair(target, output)).item()
    for _ in range(8):
        optimizer.zero_grad()
        LOSSES[name](Pair(target, output)).backward()
        optimizer.step()
    last = LOSSES[name](Pair(target, output)).item()
    assert last < first - 0.01 * abs(first)


def test_losses_keep_float32_under_autocast() -> None:
    pair = speechlike(), speechlike(seed=3)
    for loss in LOSSES.values():
        plain = loss(Pair(*pair))
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(loss(Pair(*pair)), plain)


def test_losses_have_nothing_to_save() -> None:
    assert all(loss.state_dict() == {} for loss in LOSSES.values())


def test_log_mel_of_half_the_loudness_is_off_by_the_log_of_two() -> None:
    noise = noise_like(torch.zeros(1, 1, 4800))
    pair = Pair(noise, noise / 2)
    base = MelLossConfig(windows=(512,), mels=(40,), scale="htk")
    assert MelLoss(RATE, base)(pair).item() == pytest.approx(math.log10(2), rel=1e-5)
    energies = MelLossConfig(windows=(512,), mels=(40,), scale="htk", power=2, base=math.e)
    assert MelLoss(RATE, energies)(pair).item() == pytest.approx(2 * math.log(2), rel=1e-5)
    both = MelLossConfig(windows=(512, 256), mels=(40, 20), scale="htk", log_l1=1, log_l2=3, base=2)
    assert MelLoss(RATE, both)(pair).item() == pytest.approx(2 * (1 + 3), rel=1e-4)
    rising = MelLossConfig(windows=(512, 128), mels=(20, 8), log_l1=0, log_l2=1, base=2, rising=True, scale="htk")
    assert MelLoss(RATE, rising)(pair).item() == pytest.approx(math.sqrt(256) + math.sqrt(64), rel=1e-4)


def test_linear_mel_is_the_mean_difference_of_the_bands() -> None:
    target, output = speechlike(), speechlike(seed=5) * 0.5
    config = MelLossConfig(windows=(256,), mels=(30,), linear=2, log_l1=0, equal_area=False)
    filters = mel_filters(MelScale(RATE, 256, 64, 30, scale="slaney"))
    window = torch.hann_window(256)
    bands = [
        filters @ torch.stft(wave[:, 0], 256, 64, window=window, return_complex=True).abs() for wave in (target, output)
    ]
    expected = 2 * (bands[0] - bands[1]).abs().mean()
    torch.testing.assert_close(MelLoss(RATE, config)(Pair(target, output)), expected)
    normalised = MelLossConfig(windows=(256,), mels=(30,), linear=2, log_l1=0, equal_area=False, normalised=True)
    torch.testing.assert_close(MelLoss(RATE, normalised)(Pair(target, output)), expected / window.norm())


def test_mels_are_one_count_or_one_a_window() -> None:
    assert len(MelLoss(RATE, MelLossConfig(windows=(64, 128), mels=(8,))).scales) == 2
    with pytest.raises(InputError, match="got 3 for 2 windows"):
        MelLoss(RATE, MelLossConfig(windows=(64, 128), mels=(8, 8, 8)))


def test_windows_count_by_their_shares() -> None:
    noise = noise_like(torch.zeros(1, 1, 4800))
    config = MelLossConfig(windows=(512, 256), mels=(40, 20), scale="htk", shares=(1.0, 0.25))
    assert MelLoss(RATE, config)(Pair(noise, noise / 2)).item() == pytest.approx(1.25 * math.log10(2), rel=1e-4)
    with pytest.raises(InputError, match="expected a share a window, got 1 for 2 windows"):
        MelLoss(RATE, replace(config, shares=(0.5,)))


def test_the_floor_lets_the_gradient_through_only_when_asked() -> None:
    x = torch.tensor([1e-7, 0.5], requires_grad=True)
    held = floor_with_gradient(x, 1e-5)
    assert held.tolist() == pytest.approx([1e-5, 0.5])
    held.log().sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == pytest.approx([1e5, 2.0])


@pytest.mark.parametrize("through", [False, True])
def test_an_empty_output_is_pulled_up_only_with_straight_through(through: bool) -> None:
    config = MelLossConfig(windows=(256,), mels=(20,), straight_through=through)
    output = (1e-9 * noise_like(speechlike())).requires_grad_()
    MelLoss(RATE, config)(Pair(speechlike(), output)).backward()
    assert output.grad is not None
    assert bool(output.grad.abs().max() > 0) is through


def test_stft_loss_of_twice_the_loudness() -> None:
    """The magnitudes are off by as much as the target has (convergence 1), their logarithms by log 2."""
    noise = noise_like(torch.zeros(2, 1, 4800))
    scales = (Resolution(512, 128, 512),)
    pair = Pair(noise, 2 * noise)
    assert STFTLoss(scales, 1, 0)(pair).item() == pytest.approx(1, rel=1e-5)
    assert STFTLoss(scales, 0, 1)(pair).item() == pytest.approx(math.log(2), rel=1e-5)
    assert STFTLoss(None, 2, 3)(pair).item() == pytest.approx(2 + 3 * math.log(2), rel=1e-5)


def test_only_complex_distance_hears_a_turned_phase() -> None:
    wave = speechlike()
    pair = Pair(wave, -wave)
    assert STFTLoss()(pair).item() == pytest.approx(0, abs=1e-5)
    assert MelLoss(RATE)(pair).item() == pytest.approx(0, abs=1e-5)
    assert ComplexSTFTLoss()(pair).item() == pytest.approx(2 * 3, rel=1e-5)  # twice the target, at three windows
    assert ComplexSTFTLoss()(Pair(wave, 0 * wave)).item() == pytest.approx(3, rel=1e-5)


def test_complex_distance_weighs_items_alike_but_not_silence() -> None:
    wave = speechlike()
    sizes = torch.tensor([1.0, 0.01])[:, None, None]
    loss = ComplexSTFTLoss((256,))
    even = loss(Pair(wave[:1].repeat(2, 1, 1) * sizes, wave[:1].repeat(2, 1, 1) * sizes * 1.5))
    assert even.item() == pytest.approx(0.5, rel=1e-4)
    faint = 1e-6 * noise_like(wave)
    assert loss(Pair(torch.zeros_like(wave), faint)).item() < 0.1


@pytest.mark.parametrize(("error", "expected"), [(0.0, -2.0), (0.1, math.log10(0.02)), (1.0, math.log10(1.01))])
def test_log_snr_by_hand(error: float, expected: float) -> None:
    wave = torch.ones(1, 1, 100)
    assert LogSNRLoss()(Pair(wave, wave + error)).item() == pytest.approx(expected, abs=1e-5)


def test_log_snr_of_silence_is_held_by_the_floor() -> None:
    silence = torch.zeros(1, 1, 100)
    assert LogSNRLoss()(Pair(silence, silence + 1e-3)).item() == pytest.approx(math.log10(1.01), abs=1e-5)


def test_wave_loss_by_hand() -> None:
    pair = Pair(torch.tensor([[[1.0, 2.0, 3.0]]]), torch.tensor([[[1.0, 0.0, 6.0]]]))
    assert WaveLoss(1)(pair).item() == pytest.approx(5 / 3)
    assert WaveLoss(2)(pair).item() == pytest.approx(13 / 3)


def test_si_sdr_ignores_loudness_and_offset() -> None:
    """An error at right angles to the target and a tenth of its size is 20 dB below."""
    target = torch.tensor([[[1.0, -1.0, 1.0, -1.0]]])
    error = torch.tensor([[[0.1, 0.1, -0.1, -0.1]]])
    assert si_sdr(target, target + error).tolist() == pytest.approx([20.0], abs=1e-4)
    assert si_sdr(target, 3 * (target + error) + 7).tolist() == pytest.approx([20.0], abs=1e-3)
    assert SISDRLoss()(Pair(target, target + error)).item() == pytest.approx(-20.0, abs=1e-4)
    assert si_sdr(target, 0 * target).tolist() == pytest.approx([0.0])


def test_pressed_spectra_keep_their_phase_and_faint_partials_count() -> None:
    spectrum = torch.polar(torch.tensor([[100.0, 1.0]]), torch.tensor([[0.5, -2.0]]))
    root = torch.complex(*pressed(spectrum.real, spectrum.imag, 0.5))
    torch.testing.assert_close(root.angle(), spectrum.angle())
    torch.testing.assert_close(root.abs(), torch.tensor([[10.0, 1.0]]), rtol=1e-3, atol=0)
    time = torch.arange(RATE // 2) / RATE
    loud, faint = (
        size * torch.sin(2 * math.pi * hertz * time)[None, None] for size, hertz in ((0.3, 200), (0.003, 3000))
    )
    plain, root_loss = (ComplexSTFTLoss(power=power)(Pair(loud + faint, loud)) for power in (None, 0.5))
    assert root_loss > 3 * plain
    assert ComplexSTFTLoss(power=0.5)(Pair(loud, loud)) == 0
    silence = torch.zeros(1, 1, 4800, requires_grad=True)
    ComplexSTFTLoss(power=0.3)(Pair(loud[..., :4800], silence)).backward()
    assert silence.grad is not None and silence.grad.isfinite().all()
