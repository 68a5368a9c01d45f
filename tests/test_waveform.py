"""Discriminators of samples: folding, pooling, and the switches in which codecs differ."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from nacre.errors import InputError
from nacre.training.discriminators.waveform import (
    MULTI_PERIOD,
    MULTI_SCALE,
    MultiPeriod,
    MultiPeriodConfig,
    MultiScale,
    MultiScaleConfig,
    fold,
)

POOLING = ("pool_padding", "pool_counts_padding")
FEW = MultiScaleConfig((4, 4), (15, 5), (1, 2), (1, 4))


def size(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def test_folding_puts_every_third_sample_in_a_column() -> None:
    wave = torch.arange(7.0)[None, None]
    assert fold(wave, 3)[0, 0].tolist() == [[0, 1, 2], [3, 4, 5], [6, 5, 4]]  # the end is mirrored
    assert fold(wave[..., :6], 3)[0, 0].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert fold(wave[..., :6], 3, always_pad=True)[0, 0].tolist() == [[0, 1, 2], [3, 4, 5], [4, 3, 2]]


def test_too_short_a_wave_is_refused_by_its_length() -> None:
    with pytest.raises(InputError, match="needs more than 9 samples, got 2"):
        fold(torch.zeros(1, 1, 2), 11)


def test_a_period_hears_only_its_own_column() -> None:
    model = MultiPeriod(MultiPeriodConfig((3,), (4, 4)))
    wave = torch.randn(1, 1, 300)
    other = wave.clone()
    other[..., 1::3] += 1
    same = (model(wave)[0].logits == model(other)[0].logits).all(dim=2)[0, 0]
    assert same.tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("hifigan", 41_105_770), ("dac", 41_105_770), ("audiodec", 41_105_770 - 5 * 1024), ("academicodec", 104_485)],
)
def test_multi_period_sizes(name: str, expected: int) -> None:
    with torch.device("meta"):
        assert size(MultiPeriod(MULTI_PERIOD[name])) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("melgan", 16_924_086),
        ("nac2023", 16_924_086),
        ("hifigan", 29_618_821),
        ("audiodec", 29_610_627),
        ("academicodec", 80_739),
    ],
)
def test_multi_scale_sizes(name: str, expected: int) -> None:
    with torch.device("meta"):
        assert size(MultiScale(MULTI_SCALE[name])) == expected


def test_audiodec_ends_in_an_even_kernel() -> None:
    config = MultiPeriodConfig((2,), (4, 4), last_kernel=2)
    assert MultiPeriod(config)(torch.randn(1, 1, 120))[0].logits.shape == (1, 1, 19, 2)


def test_each_scale_hears_half_the_rate() -> None:
    outputs = MultiScale(FEW)(torch.randn(2, 1, 800))
    assert [output.features[0].shape[-1] for output in outputs] == [800, 401, 201]


def test_scales_pool_by_fours() -> None:
    model = MultiScale(FEW)
    heard: list[torch.Tensor] = []
    for stack in model.stacks:
        stack.register_forward_pre_hook(lambda module, x: heard.append(x[0]))
    wave = torch.zeros(1, 1, 100)
    wave[..., 50] = 8
    model(wave)
    assert heard[1].unique().tolist() == [0, 2]
    assert int((heard[1] != 0).sum()) == 2  # windows of 4 every 2


@pytest.mark.parametrize(("name", "edge"), [("hifigan", 0.5), ("melgan", 1.0), ("nac2023", 1.0)])
def test_melgan_pools_without_its_padding(name: str, edge: float) -> None:
    pooled = MultiScale(replace(FEW, **{key: getattr(MULTI_SCALE[name], key) for key in POOLING})).pool(
        torch.ones(1, 1, 40)
    )
    assert pooled[0, 0, 0] == edge and pooled[0, 0, 5] == 1


def test_norms_differ_by_scale() -> None:
    kinds = [
        type(stack.layers[0].parametrizations.weight[0]).__name__
        for stack in MultiScale(FEW).stacks
        if parametrize.is_parametrized(stack.layers[0], "weight")
    ]
    assert kinds == ["_SpectralNorm", "_WeightNorm", "_WeightNorm"]


@pytest.mark.parametrize(("name", "lost"), [("melgan", 0), ("nac2023", 14), ("hifigan", 0)])
def test_padding_of_the_first_layer(name: str, lost: int) -> None:
    model = MultiScale(MULTI_SCALE[name])
    with torch.no_grad():
        assert model.stacks[0].layers[0](torch.zeros(1, 1, 500)).shape[-1] == 500 - lost
