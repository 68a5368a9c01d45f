"""Discriminators of filter banks: which band hears what."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from nacre.errors import InputError
from nacre.training.discriminators.filterbank import (
    MultiFilterBank,
    MultiFilterBankConfig,
    SubBand,
    SubBandConfig,
)


def tone(part: float, samples: int = 3000) -> torch.Tensor:
    """A tone at a part of the highest frequency."""
    return torch.sin(math.pi * part * torch.arange(samples))[None, None]


def test_each_band_hears_its_own_frequencies() -> None:
    bank = MultiFilterBank(MultiFilterBankConfig((1, 5), channels=(4, 4))).banks[1]
    for band in range(5):
        energy = bank(tone((band + 0.5) / 5))[0].square().mean(-1)
        assert energy.argmax() == band
        assert energy[band] > 1000 * (energy.sum() - energy[band])


def test_one_band_is_the_wave_itself() -> None:
    wave = torch.randn(2, 1, 100)
    assert torch.equal(MultiFilterBank(MultiFilterBankConfig((1,), channels=(4, 4))).banks[0](wave), wave)


def test_bands_go_through_the_same_layers_apart() -> None:
    """A low tone leaves the scores of the highest band where silence has them."""
    model = MultiFilterBank(MultiFilterBankConfig((5,), channels=(4, 4)))
    loud, silent = model(tone(0.1))[0].logits[0, 0], model(0 * tone(0.1))[0].logits[0, 0]
    moved = (loud - silent).abs()[:, 50:-50].amax(1)
    assert loud.shape == (5, 200)  # 3000 / 5, a third of it
    assert moved[0] > 0.01
    assert moved[0] > 100 * moved[-1]


def test_sizes() -> None:
    """HILCodec's bank has HiFi-GAN's layers (8 221 154 a period), turned, for six banks."""
    with torch.device("meta"):
        layers = MultiFilterBank(MultiFilterBankConfig(bands=(1,) * 6))
    assert sum(parameter.numel() for parameter in layers.parameters()) == 6 * 8_221_154


def test_sub_bands_are_heard_in_ranges() -> None:
    config = SubBandConfig(
        4, 64, ranges=((0, 1), (0, 4)), channels=(4, 4), strides=(1, 3), kernels=(5, 3), dilations=((1, 2), (1, 3))
    )
    model = SubBand(config)
    high, silent = model(tone(0.9)), model(0 * tone(0.9))
    moved = [(a.logits - b.logits).abs()[..., 30:-30].max().item() for a, b in zip(high, silent, strict=True)]
    assert moved[1] > 100 * moved[0]
    assert high[0].features[0].shape == (1, 4, 750)
    assert high[0].features[1].shape == (1, 4, 250)


def test_layers_add_up_their_dilations() -> None:
    config = SubBandConfig(4, 64, 9, ((0, 1),), (1,), strides=(1,), kernels=(3,), dilations=((1, 5),))
    layer = SubBand(config).stacks[0].layers[0]
    for conv in layer.modules():
        if isinstance(conv, nn.Conv1d):
            conv.weight, conv.bias = torch.ones_like(conv.weight), nn.Parameter(torch.zeros(1))
    click = torch.zeros(1, 1, 31)
    click[..., 15] = 1
    heard = layer(click)[0, 0].nonzero().flatten().tolist()
    assert heard == [9, 10, 11, *range(13, 18), 19, 20, 21]


def test_ranges_outside_the_bank_are_refused() -> None:
    with pytest.raises(InputError, match="within 16 bands"):
        SubBandConfig(ranges=((0, 17),))
