"""norms: closed forms, no future heard, no NaN in silence."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from chunking import assert_learns, assert_streams, sizes
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from nacre.errors import InputError
from nacre.nn.norms import GRN, ChannelNorm, GroupNorm, L2Norm, TimeGroupNorm
from nacre.nn.state import State


def scrambled(layer: nn.Module) -> nn.Module:
    """Parameters away from their start, where a branch may be off."""
    for parameter in layer.parameters():
        nn.init.normal_(parameter)
    return layer


def test_channel_norm_is_layer_norm_over_channels() -> None:
    layer, x = scrambled(ChannelNorm(4)), torch.randn(2, 4, 5)
    expected = [F.layer_norm(x[..., t], (4,), layer.weight, layer.bias) for t in range(5)]
    torch.testing.assert_close(layer(x), torch.stack(expected, dim=-1))
    assert set(layer.state_dict()) == {"weight", "bias"}
    assert list(ChannelNorm(4, affine=False).parameters()) == []


def test_l2_norm_gives_every_position_unit_power() -> None:
    y = L2Norm()(torch.randn(2, 8, 5))
    torch.testing.assert_close(y.square().mean(dim=1), torch.ones(2, 5))
    assert torch.equal(L2Norm()(torch.zeros(1, 8, 2)), torch.zeros(1, 8, 2))


def grn_by_hand(x: Tensor, layer: GRN) -> Tensor:
    """The paper's formula, over the frames that have been heard."""
    out = torch.zeros_like(x)
    window = layer.kernel.size
    for t in range(x.shape[-1]):
        heard = x[..., max(0, t + 1 - window) : t + 1]
        size = heard.flatten(2).norm(dim=2, keepdim=True)
        ratio = size / size.mean(dim=1, keepdim=True)
        now = x[..., t].flatten(2) if x.ndim == 4 else x[..., t, None]
        out[..., t] = (layer.gain * (now * ratio) + layer.shift + now).reshape(out[..., t].shape)
    return out


@pytest.mark.parametrize("window", [1, 4])
@pytest.mark.parametrize("shape", [(2, 3, 9), (2, 3, 5, 9)])
def test_grn_is_the_papers_over_what_has_been_heard(window: int, shape: tuple[int, ...]) -> None:
    layer, x = scrambled(GRN(3, window)), torch.randn(shape)
    torch.testing.assert_close(layer(x), grn_by_hand(x, layer), atol=1e-4, rtol=1e-4)


def test_grn_starts_as_the_identity_and_learns_in_silence() -> None:
    x = torch.randn(1, 3, 6)
    assert torch.equal(GRN(3)(x), x)
    silence = torch.zeros(1, 3, 6, requires_grad=True)
    scrambled(GRN(3, 2))(silence).sum().backward()
    assert silence.grad is not None and torch.isfinite(silence.grad).all()


@settings(max_examples=30)
@given(sizes, st.sampled_from([1, 2, 9]), st.booleans())
def test_grn_streams(chunks: list[int], window: int, frequencies: bool) -> None:
    shape = (2, 3, 4, sum(chunks)) if frequencies else (2, 3, sum(chunks))
    assert_streams(scrambled(GRN(3, window)), torch.randn(shape), chunks, atol=1e-5)


def test_time_group_norm_is_whole_or_nothing() -> None:
    layer, x = scrambled(TimeGroupNorm(4)), torch.randn(2, 4, 7)
    torch.testing.assert_close(layer(x), F.group_norm(x, 1, layer.weight, layer.bias))
    assert layer(x[..., :0]).shape == (2, 4, 0)
    with pytest.raises(InputError, match="cannot stream"):
        layer(x, State())


@pytest.mark.parametrize("layer", [ChannelNorm(3), L2Norm(), GRN(3, 2), TimeGroupNorm(3)])
def test_gradient_flows_and_nothing_is_a_chunk_too(layer: nn.Module) -> None:
    assert_learns(scrambled(layer), torch.randn(2, 3, 5))
    assert layer(torch.zeros(2, 3, 0)).shape == (2, 3, 0)


def test_a_group_norm_of_one_value_is_its_bias() -> None:
    norm = GroupNorm(2, 2)
    torch.nn.init.constant_(norm.bias, 0.5)
    assert torch.allclose(norm(torch.randn(1, 2, 1)), torch.full((1, 2, 1), 0.5), atol=1e-3)
    x = torch.randn(2, 2, 7)
    assert torch.equal(norm(x), torch.nn.functional.group_norm(x, 2, norm.weight, norm.bias))
