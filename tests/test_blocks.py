"""blocks: chains, sums whose branches lag, and ConvNeXt."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from chunking import assert_learns, assert_streams, few
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from nacre.nn.activations import Snake
from nacre.nn.blocks import Chain, ConvNeXtBlock, Gather, Mean, Residual, in_step
from nacre.nn.conv import CausalConv1d, Conv1d
from nacre.nn.norms import GRN
from nacre.nn.padding import Kernel
from nacre.nn.state import State
from nacre.nn.weight_norm import normalise


def centred(dilation: int = 1) -> Conv1d:
    return Conv1d(2, 2, Kernel(7, dilation=dilation).centred(), "reflect")


def test_a_chain_hands_the_state_to_those_that_take_one() -> None:
    chain = normalise(Chain(CausalConv1d(2, 2, 3), nn.ELU(), Snake(2), CausalConv1d(2, 2, 3)))
    state = State()
    chain(torch.randn(1, 2, 4), state)
    assert state.names(chain) == ["0", "3"]


@settings(max_examples=25)
@given(few, st.booleans())
def test_sums_wait_for_the_branch_that_lags(chunks: list[int], shortcut: bool) -> None:
    body = Chain(nn.ELU(), centred(3), nn.ELU(), centred())
    block = Chain(Residual(body, centred() if shortcut else None), Residual(centred()))
    x = torch.randn(2, 2, sum(chunks))
    straight, bent = (block[0].shortcut(x) if shortcut else x), body(x)
    torch.testing.assert_close(block[0](x), straight + bent)
    assert_streams(block, x, chunks)


@settings(max_examples=25)
@given(few)
def test_means_wait_for_the_branch_that_lags_most(chunks: list[int]) -> None:
    parts = [Chain(centred()), Residual(Chain(centred(3), centred())), Chain(nn.ELU())]
    mean, x = Mean(parts), torch.randn(2, 2, sum(chunks))
    torch.testing.assert_close(mean(x), torch.stack([part(x) for part in parts]).mean(0))
    assert_streams(mean, x, chunks)


def test_causal_sums_keep_nothing() -> None:
    block, state = Residual(CausalConv1d(2, 2, 3)), State()
    block(torch.randn(1, 2, 5), state)
    assert state.names(block) == ["body.0"]


def test_branches_in_step_by_hand() -> None:
    layer, state = nn.Identity(), State()
    one = torch.arange(6.0).reshape(1, 1, 6)
    ahead, behind = in_step(layer, [one[..., :4], one[..., :1]], state)
    assert ahead.flatten().tolist() == behind.flatten().tolist() == [0]
    ahead, behind = in_step(layer, [one[..., 4:], one[..., 1:]], state)
    assert ahead.flatten().tolist() == behind.flatten().tolist() == [1, 2, 3, 4, 5]


def test_convnext_by_hand() -> None:
    block, x = ConvNeXtBlock(3, 5, kernel=4, scale=0.7), torch.randn(2, 3, 6)
    y = F.conv1d(F.pad(x, (3, 0)), block.depthwise.weight, block.depthwise.bias, groups=3)
    y = F.layer_norm(y.transpose(1, 2), (3,)) @ block.up.weight.T + block.up.bias
    y = F.gelu(y) @ block.down.weight.T + block.down.bias
    torch.testing.assert_close(block(x), x + 0.7 * y.transpose(1, 2))


def test_keys_of_convnext_are_those_of_trained_models() -> None:
    names = {
        "scale",
        *(f"{layer}.{kind}" for layer in ("depthwise", "norm", "up", "down") for kind in ("weight", "bias")),
    }
    assert set(ConvNeXtBlock(3, 5).state_dict()) == names


@settings(max_examples=30)
@given(few, st.sampled_from([0, 1, 4]))
def test_convnext_streams(chunks: list[int], grn_window: int) -> None:
    block = ConvNeXtBlock(3, 6, grn_window=grn_window)
    if isinstance(block.grn, GRN):
        nn.init.normal_(block.grn.gain)
    assert_streams(block, torch.randn(2, 3, sum(chunks)), chunks)


def test_gradient_flows() -> None:
    assert_learns(ConvNeXtBlock(3, 5, grn_window=2), torch.randn(2, 3, 6))
    assert_learns(Residual(centred(), centred()), torch.randn(2, 2, 9))


@given(few, st.integers(1, 5))
def test_gathered_positions_come_in_whole_windows(chunks: list[int], window: int) -> None:
    layer, x = Gather(window), torch.randn(2, 3, sum(chunks))
    assert_streams(layer, x, chunks)
    assert layer(x[..., : chunks[0]], State()).shape[-1] == chunks[0] // window * window
