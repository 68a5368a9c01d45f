"""Separable layers: torch's own convolutions with features last, in any chunks."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from chunking import assert_learns, assert_streams
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from nacre.nn.separable import Depthwise, DepthwiseTranspose, FromSamples, Pointwise, ToSamples, history
from nacre.nn.state import State
from nacre.nn.weight_norm import NEW, OLD, fuse, normalise

pieces = st.lists(st.integers(0, 7), min_size=1, max_size=6)


class Turned(nn.Module):
    """Features first, as the properties of `chunking` expect, and positions in whole strides."""

    def __init__(self, layer: nn.Module, stride: int) -> None:
        super().__init__()
        self.layer, self.stride = layer, stride

    def forward(self, x: Tensor, state: State | None = None) -> Tensor:
        x = x.repeat_interleave(self.stride, dim=2) * torch.linspace(0.5, 1.5, self.stride).repeat(x.shape[2])
        y: Tensor = self.layer(x.transpose(1, 2), state)
        return y.transpose(1, 2)


def layer_of(kind: str) -> tuple[nn.Module, int]:
    torch.manual_seed(1)
    made: dict[str, Callable[[], tuple[nn.Module, int]]] = {
        "depthwise": lambda: (Depthwise(6, 5), 1),
        "unbiased": lambda: (Depthwise(6, 5, bias=False), 1),
        "strided": lambda: (Depthwise(6, 8, 4), 4),
        "odd": lambda: (Depthwise(6, 10, 5), 5),
        "transposed": lambda: (DepthwiseTranspose(6, 5), 1),
        "samples": lambda: (ToSamples(6, 5), 1),
    }
    return made[kind]()


KINDS = ("depthwise", "unbiased", "strided", "odd", "transposed", "samples")


@pytest.mark.parametrize("kind", KINDS)
@given(pieces)
def test_chunks_equal_the_whole(kind: str, chunks: list[int]) -> None:
    layer, stride = layer_of(kind)
    x = torch.randn(2, 6, sum(chunks), generator=torch.Generator().manual_seed(2))
    if x.shape[2]:
        assert_streams(Turned(layer, stride), x, chunks)


@pytest.mark.parametrize("kind", KINDS)
def test_every_weight_learns(kind: str) -> None:
    layer, stride = layer_of(kind)
    assert_learns(Turned(layer, stride), torch.randn(2, 6, 5))


@pytest.mark.parametrize(("kernel", "stride", "bias"), [(5, 1, True), (5, 1, False), (16, 8, True), (4, 2, True)])
def test_depthwise_is_torchs_convolution(kernel: int, stride: int, bias: bool) -> None:
    layer, x = Depthwise(6, kernel, stride, bias), torch.randn(2, 6, 4 * stride)
    expected = F.conv1d(F.pad(x, (kernel - stride, 0)), layer.weight, layer.bias, stride, groups=6)
    torch.testing.assert_close(layer(x.transpose(1, 2)), expected.transpose(1, 2))


@pytest.mark.parametrize("stride", [1, 2, 5])
def test_transposed_is_torchs_with_its_tail_cut(stride: int) -> None:
    layer, x = DepthwiseTranspose(6, stride), torch.randn(2, 6, 7)
    expected = F.conv_transpose1d(x, layer.weight, stride=stride, groups=6)[..., : 7 * stride]
    torch.testing.assert_close(layer(x.transpose(1, 2)), expected.transpose(1, 2))


def test_pointwise_and_the_ends_are_torchs_convolutions() -> None:
    x, wave = torch.randn(2, 6, 9), torch.randn(2, 1, 12)
    layer = Pointwise(6, 4)
    torch.testing.assert_close(layer(x.transpose(1, 2)), F.conv1d(x, layer.weight, layer.bias).transpose(1, 2))
    first = FromSamples(4, 5)
    expected = F.conv1d(wave, first.weight, first.bias)
    torch.testing.assert_close(first(wave.transpose(1, 2)), expected.transpose(1, 2))
    last = ToSamples(6, 5)
    expected = F.conv1d(F.pad(x, (4, 0)), last.weight, last.bias)
    torch.testing.assert_close(last(x.transpose(1, 2)), expected.transpose(1, 2))


@pytest.mark.parametrize("layer", [Pointwise(6, 4), Depthwise(6, 5), DepthwiseTranspose(6, 2), FromSamples(4, 5)])
def test_weight_norm_in_both_spellings(layer: nn.Module) -> None:
    size, direction = torch.rand_like(layer.weight[:, :1, :1]) + 0.5, torch.randn_like(layer.weight)
    bias = {} if layer.bias is None else {"bias": layer.bias.detach()}
    for names in (OLD, NEW):
        layer.load_state_dict({names[0]: size, names[1]: direction} | bias)
        norm = direction.flatten(1).norm(dim=1)[:, None, None]
        torch.testing.assert_close(layer.weight.detach(), direction * size / norm)
    before = layer.weight.detach().clone()
    torch.testing.assert_close(fuse(normalise(layer)).weight.detach(), before)


def test_history_is_silence_then_what_came_before() -> None:
    layer, state = nn.Identity(), State()
    assert history(layer, torch.ones(1, 2, 3), state, 4)[0, :, 0].tolist() == [0, 0, 0, 0, 1, 1]
    assert history(layer, torch.full((1, 1, 3), 2.0), state, 4)[0, :, 0].tolist() == [0, 0, 1, 1, 2]
    assert history(layer, torch.ones(1, 1, 3), None, 1)[0, :, 0].tolist() == [0, 1]
