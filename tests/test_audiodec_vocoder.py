"""AudioDec's vocoders: what a stage mixes, where chunks may fall, what is taken off the latents."""

from __future__ import annotations

import pytest
import torch
from chunking import assert_streams, few
from hypothesis import given, settings
from hypothesis import strategies as st

from nacre import InputError
from nacre.codecs.audiodec_vocoder import Generator, GeneratorConfig, Standard
from nacre.nn.blocks import Mean
from nacre.nn.conv import Conv1d, ConvTranspose1d
from nacre.nn.weight_norm import NEW, fuse, size_of

SCALES = (3, 2)


def small(config: GeneratorConfig) -> Generator:
    torch.manual_seed(0)
    vocoder = fuse(Generator(config, 4, SCALES).eval())
    for parameter in vocoder.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return vocoder


CONFIGS = [GeneratorConfig((3, 5), 1, width=8), GeneratorConfig((5,), 3, width=8), GeneratorConfig((3,), 1, width=8)]


@pytest.mark.parametrize("config", CONFIGS)
@settings(max_examples=10)
@given(chunks=few, seed=st.integers(0, 9))
def test_chunks_are_the_whole(config: GeneratorConfig, chunks: list[int], seed: int) -> None:
    x = torch.randn(2, 4, sum(chunks), generator=torch.Generator().manual_seed(seed))
    assert_streams(small(config), x, chunks, atol=1e-5)


def test_every_frame_gives_its_samples_between_minus_one_and_one() -> None:
    y = small(CONFIGS[1])(10 * torch.randn(2, 4, 5))  # loud, so that something has to hold it
    assert y.shape == (2, 1, 5 * 6) and 0.99 < y.abs().max() <= 1


def test_groups_do_not_hear_each_other_until_they_are_mixed() -> None:
    copies, *units, mix = list(small(CONFIGS[1]))[4]
    x = torch.randn(1, 4, 9)
    wide = copies(x)
    assert torch.equal(wide, torch.cat([x, x, x], dim=1))
    other = wide.clone()
    other[:, 4:8] += 1
    with torch.no_grad():
        changed = (units[0](wide) != units[0](other)).any(dim=2)[0]
    assert changed.tolist() == [False] * 4 + [True] * 4 + [False] * 4
    assert (mix.in_channels, mix.out_channels, mix.bias) == (12, 4, None)


def test_one_group_averages_its_kernels() -> None:
    fusion = list(small(CONFIGS[0]))[4]
    assert isinstance(fusion, Mean)
    x = torch.randn(1, 4, 9)
    torch.testing.assert_close(fusion(x), (fusion.branches[0](x) + fusion.branches[1](x)) / 2)


def test_weights_are_normalised_and_start_at_their_own_size() -> None:
    vocoder = Generator(CONFIGS[1], 4, SCALES)
    layers = [layer for layer in vocoder.modules() if isinstance(layer, Conv1d | ConvTranspose1d)]
    assert len(layers) == 1 + 2 + 2 * 7 + 1
    assert all("weight" in layer.parametrizations for layer in layers)
    for layer in layers:
        size, direction = (layer.get_parameter(name) for name in NEW)
        torch.testing.assert_close(size, size_of(direction))


def test_statistics_are_taken_off() -> None:
    standard, z = Standard(2), torch.tensor([[[1.0, 3.0], [10.0, 30.0]]])
    assert torch.equal(standard(z), z)
    standard.mean.copy_(torch.tensor([1.0, 10.0]))
    standard.scale.copy_(torch.tensor([2.0, 5.0]))
    assert standard(z).tolist() == [[[0, 1], [0, 4]]]
    vocoder = small(CONFIGS[2])
    vocoder.standard.mean.fill_(0.5)
    vocoder.standard.scale.fill_(2.0)
    x = torch.randn(1, 4, 6)
    torch.testing.assert_close(vocoder(x), small(CONFIGS[2])((x - 0.5) / 2))


@pytest.mark.parametrize(("kernels", "groups"), [((), 1), ((3, 7), 3)])
def test_kernels_and_groups_exclude_each_other(kernels: tuple[int, ...], groups: int) -> None:
    with pytest.raises(InputError, match="several kernels or one in several groups"):
        GeneratorConfig(kernels, groups)
