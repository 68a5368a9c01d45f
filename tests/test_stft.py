"""Spectral discriminators: layouts, strides, bands, and the switches in which codecs differ."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from nacre.errors import InputError
from nacre.training.discriminators.stft import (
    MULTI_SCALE_STFT,
    MultiBandMultiResolution,
    MultiResolutionConfig,
    MultiScaleSTFT,
    MultiScaleSTFTConfig,
)


def size(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def test_encodec_leaves_the_first_layer_without_norm_and_we_do_not() -> None:
    ours, theirs = MultiScaleSTFT(), MultiScaleSTFT(MULTI_SCALE_STFT["encodec"])
    assert size(theirs.stacks[0]) == 94_466
    assert size(ours.stacks[0]) == 94_466 + 32  # a size for each of the first layer's channels
    for model, normed in ((ours, 6), (theirs, 5)):
        convs = [layer for layer in model.stacks[0].modules() if isinstance(layer, nn.Conv2d)]
        assert sum(parametrize.is_parametrized(layer, "weight") for layer in convs) == normed


def test_frequencies_are_halved_and_frames_kept() -> None:
    outputs = MultiScaleSTFT(MultiScaleSTFTConfig((256, 128), channels=4))(torch.randn(1, 1, 1000))
    frames = (1000 - 256) // 64 + 1
    assert [tuple(feature.shape[2:]) for feature in outputs[0].features] == [
        (frames, bins) for bins in (129, 65, 33, 17, 17)
    ]
    assert outputs[0].logits.shape == (1, 1, frames, 17)
    assert outputs[1].logits.shape == (1, 1, (1000 - 128) // 32 + 1, 9)


def test_univnet_halves_the_frames_and_keeps_the_frequencies() -> None:
    outputs = MultiScaleSTFT(MULTI_SCALE_STFT["univnet"])(torch.randn(1, 1, 6000))
    assert [output.logits.shape[2] for output in outputs] == [513, 1025, 257]
    assert outputs[0].features[0].shape[3] == (6000 - 1024) // 120 + 1
    assert outputs[0].features[-1].shape[3] == 6


@pytest.mark.parametrize(("growth", "most", "widths"), [(2, 1024, [8, 8, 16, 32, 64]), (4, 50, [8, 8, 32, 50, 50])])
def test_channels_grow(growth: int, most: int, widths: list[int]) -> None:
    config = MultiScaleSTFTConfig((128,), channels=8, growth=growth, max_channels=most)
    output = MultiScaleSTFT(config)(torch.randn(1, 1, 200))[0]
    assert [feature.shape[1] for feature in output.features] == widths


def test_magnitudes_do_not_hear_phase_and_complex_spectra_do() -> None:
    wave = torch.randn(1, 1, 400)
    for magnitude in (True, False):
        model = MultiScaleSTFT(MultiScaleSTFTConfig((128,), channels=4, magnitude=magnitude))
        assert torch.equal(model(wave)[0].logits, model(-wave)[0].logits) is magnitude


def test_bands_are_cut_at_their_edges_and_joined_for_the_logits() -> None:
    model = MultiBandMultiResolution(MultiResolutionConfig((256, 128), channels=4))
    output = model(torch.randn(1, 1, 1000))[0]
    assert len(output.features) == 5 * 5
    firsts = [feature.shape for feature in output.features[::5]]
    edges = [0, 12, 32, 64, 96, 129]
    assert [shape[3] for shape in firsts] == [b - a for a, b in itertools.pairwise(edges)]
    assert firsts[0][2] == -(-1000 // 64)  # a frame a hop
    assert output.logits.shape[3] == sum(feature.shape[3] for feature in output.features[4::5])


def test_a_band_hears_its_own_frequencies_only() -> None:
    """A low tone moves the features of the lowest band far more than those of the highest."""
    model = MultiBandMultiResolution(MultiResolutionConfig((256,), channels=4))
    tone = torch.sin(torch.arange(2000) * 0.1)[None, None]
    moved = [
        (a - b).abs().max().item()
        for a, b in zip(model(tone)[0].features[::5], model(0 * tone)[0].features[::5], strict=True)
    ]
    assert moved[0] > 100 * moved[-1]


def test_dac_size_per_resolution() -> None:
    assert size(MultiBandMultiResolution()) == 3 * 471_330


@pytest.mark.parametrize("bands", [(0.0, 0.5), (0.5, 1.0), (0.0, 0.6, 0.5, 1.0), (0.0, 0.001, 1.0)])
def test_bands_that_leave_gaps_are_refused(bands: tuple[float, ...]) -> None:
    with pytest.raises(InputError, match="rise from 0 to 1"):
        MultiBandMultiResolution(MultiResolutionConfig((256,), bands=bands))
