"""Augmentation does exactly what its figures say, to the crops it chooses, and nothing to the others."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from nacre.errors import InputError
from nacre.training.augment import Augment, Augmenter
from nacre.training.crops import Crops, CropSpec, Places

RATE, LENGTH = 24000, 12000
KINDS = ("speed", "reverb", "mix", "tilt", "peaks", "lowpass", "gain", "polarity")


class Hiss(Crops):
    """A background of noise that differs from place to place."""

    def __init__(self, length: int = LENGTH, level: float = 0.1) -> None:
        super().__init__(np.array([length * 100]), CropSpec(length, 8), RATE, 1)
        self.level = level

    def _cut(self, place: int, clips: Places, starts: Places) -> Tensor:
        return self.level * torch.randn(8, 1, self.plan.length, generator=torch.Generator().manual_seed(place))


def augmenter(background: Crops | None = None, **settings: object) -> Augmenter:
    return Augmenter(Augment(**settings), RATE, LENGTH, seed=1, background=background or Hiss())  # type: ignore[arg-type]


def crops(size: int = LENGTH, level: float = 0.1) -> Tensor:
    return level * torch.randn(8, 1, size, generator=torch.Generator().manual_seed(99))


def decibels(one: Tensor, two: Tensor) -> Tensor:
    """Power of `one` over that of `two`, for each crop."""
    return 10 * torch.log10(one.double().square().mean((1, 2)) / two.double().square().mean((1, 2)))


def test_off_is_the_identity_to_the_bit() -> None:
    wave = crops()
    augment = augmenter()
    assert augment.source_length == LENGTH
    assert augment(wave, 0) is wave


@pytest.mark.parametrize("kind", KINDS)
def test_crops_not_chosen_keep_their_bits(kind: str) -> None:
    augment = augmenter(**{kind: 0.5})
    wave = crops(augment.source_length)
    margin = augment._margin
    changed = 0
    for place in range(0, 40, 8):
        out = augment(wave, place)
        assert out.shape == (8, 1, LENGTH)
        assert out.dtype == torch.float32
        assert out.isfinite().all()
        changed += sum(not torch.equal(a, b[:, margin : margin + LENGTH]) for a, b in zip(out, wave, strict=True))
    assert 8 < changed < 32  # of 40, about half


@pytest.mark.parametrize("kind", KINDS)
def test_a_place_in_training_decides_everything(kind: str) -> None:
    augment, twin = augmenter(**{kind: 0.9}), augmenter(**{kind: 0.9})
    wave = crops(augment.source_length)
    for place in (8, 0):  # in whatever order
        assert torch.equal(augment(wave, place), twin(wave, place))
    assert not torch.equal(augment(wave, 0), augment(wave, 8))
    other = Augmenter(augment.config, RATE, LENGTH, seed=1, rank=1, background=Hiss())
    assert not torch.equal(augment(wave, 0), other(wave, 0))


@pytest.mark.parametrize("gain", [-12.0, -3.0, 6.0])
def test_gain_is_exact_in_decibels(gain: float) -> None:
    wave = crops()
    out = augmenter(gain=1.0, gain_db=(gain, gain))(wave, 0)
    torch.testing.assert_close(out, wave * 10 ** (gain / 20), rtol=1e-6, atol=0)


def test_gains_fill_their_range() -> None:
    wave, augment = crops(), augmenter(gain=1.0, gain_db=(-12.0, 6.0))
    gains = torch.cat([decibels(augment(wave, place), wave) for place in range(0, 400, 8)])
    assert gains.min() == pytest.approx(-12, abs=0.5)
    assert gains.max() == pytest.approx(6, abs=0.5)
    assert gains.mean() == pytest.approx(-3, abs=0.8)


def test_nothing_leaves_full_scale() -> None:
    wave = crops(level=0.3)
    out = augmenter(gain=1.0, gain_db=(20.0, 20.0))(wave, 0)
    torch.testing.assert_close(out.abs().amax((1, 2)), torch.ones(8))
    torch.testing.assert_close(out, wave / wave.abs().amax((1, 2), keepdim=True))


def test_polarity_is_a_sign() -> None:
    wave = crops()
    assert torch.equal(augmenter(polarity=1.0)(wave, 0), -wave)


@pytest.mark.parametrize("snr", [0.0, 15.0, 30.0])
def test_backgrounds_come_at_their_ratio(snr: float) -> None:
    wave, background = crops(), Hiss(level=0.02)
    out = augmenter(background, mix=1.0, mix_snr_db=(snr, snr))(wave, 24)
    noise = out.double() - wave.double()
    torch.testing.assert_close(decibels(wave, noise), torch.full((8,), snr).double(), rtol=0, atol=2e-3)
    shape = torch.nn.functional.cosine_similarity(noise, background.batch(24).double(), dim=-1)
    assert (shape > 0.999).all()  # the background of this place in training


def test_silence_has_no_ratio() -> None:
    wave = crops()
    assert torch.equal(augmenter(Hiss(level=0.0), mix=1.0)(wave, 0), wave)
    quiet = torch.zeros(8, 1, LENGTH)
    for kind in KINDS:
        augment = augmenter(**{kind: 1.0})
        assert not augment(torch.zeros(8, 1, augment.source_length), 0).any(), kind
    assert not augmenter(mix=1.0, reverb=1.0, gain=1.0)(quiet, 0).any()


def pitch(wave: Tensor) -> float:
    """Frequency of a sine in Hz, to a tenth: the peak of its spectrum."""
    wave = wave.double().flatten()
    spectrum = torch.fft.rfft(wave * torch.hann_window(len(wave), dtype=torch.float64), 1 << 18)
    return float(spectrum.abs().argmax()) * RATE / (1 << 18)


@pytest.mark.parametrize("speed", [0.85, 1.2])
def test_speed_changes_the_pitch_of_a_sine_by_the_ratio(speed: float) -> None:
    augment = augmenter(speed=1.0, speed_range=(speed, speed))
    time = torch.arange(augment.source_length) / RATE
    wave = 0.5 * torch.sin(2 * math.pi * 1000 * time).expand(8, 1, -1)
    for crop in augment(wave, 0):
        assert pitch(crop) == pytest.approx(1000 * speed, rel=0.004)  # lengths come in steps of 64 samples
        assert crop.abs().max() == pytest.approx(0.5, abs=0.005)


def test_a_batch_has_so_many_speeds() -> None:
    augment = augmenter(speed=1.0, speed_groups=3)
    time = torch.arange(augment.source_length) / RATE
    wave = 0.5 * torch.sin(2 * math.pi * 1000 * time).expand(8, 1, -1)
    speeds = {round(pitch(crop)) for place in range(0, 80, 8) for crop in augment(wave, place)}
    assert 840 <= min(speeds) < 900 < 1100 < max(speeds) <= 1205
    assert len({round(pitch(crop)) for crop in augment(wave, 0)}) <= 3


def test_reverb_keeps_the_level_and_smears_in_time() -> None:
    wave = torch.zeros(8, 1, LENGTH)
    wave[:, :, :1000] = crops(1000)
    out = augmenter(reverb=1.0, reverb_db=(-6.0, -6.0), reverb_seconds=(0.4, 0.4))(wave, 0)
    torch.testing.assert_close(decibels(out, wave), torch.zeros(8).double(), rtol=0, atol=1e-3)
    assert (out[..., 1500:].square().sum((1, 2)) > 0.02 * wave.square().sum((1, 2))).all()


def test_a_low_pass_takes_the_top() -> None:
    out = augmenter(lowpass=1.0, lowpass_hz=(4000.0, 6000.0))(crops(), 0)
    power = torch.fft.rfft(out * torch.hann_window(LENGTH)).abs().square().mean((0, 1))
    bins = torch.fft.rfftfreq(LENGTH, 1 / RATE)
    assert power[bins > 6800].max() < 1e-6 * power[bins < 3900].mean()


def test_all_at_once_on_two_channels() -> None:
    augment = augmenter(**dict.fromkeys(KINDS, 1.0))
    wave = crops(augment.source_length).expand(8, 2, -1)
    out = augment(wave, 0)
    assert out.shape == (8, 2, LENGTH)
    assert out.isfinite().all()
    assert (out.abs().amax((1, 2)) <= 1).all()
    assert not torch.equal(out[:, 0], out[:, 1])  # a room of its own for each ear


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"gain": 1.5}, "gain is a probability from 0 to 1, got 1.5"),
        ({"gain_db": (3.0, -3.0)}, r"gain_db is a range \(lowest, highest\), got \(3.0, -3.0\)"),
        ({"speed_range": (0.0, 1.0)}, "must be above 0"),
        ({"speed_groups": 0}, "must be above 0"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Augment(**settings)  # type: ignore[arg-type]


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(InputError, match="mix needs a background corpus"):
        Augmenter(Augment(mix=0.5), RATE, LENGTH)
    with pytest.raises(InputError, match="expected background crops of 12000 samples, got 100"):
        augmenter(Hiss(100))
    with pytest.raises(InputError, match="expected crops of 12000 samples, got 11999"):
        augmenter(gain=1.0)(crops(11999), 0)


def test_what_is_heard_stays_beside_what_it_is_judged_by() -> None:
    wave = crops() / crops().abs().amax((1, 2), keepdim=True)
    both = augmenter(Hiss(level=0.9), mix=1.0, mix_snr_db=(0.0, 0.0))
    clean, heard = both.beside(wave, 24)
    assert (heard.abs().amax((1, 2)) <= 1).all() and (clean.abs().amax((1, 2)) < 1).all()
    noise = (heard - clean).double()
    torch.testing.assert_close(decibels(clean, noise), torch.zeros(8).double(), rtol=0, atol=2e-3)
    assert torch.equal(both(wave, 24), heard)
