"""reach: the figures of a real codec, of layers run in a stream, and of samples that were changed."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from nacre.codecs.dac import DAC, DACConfig
from nacre.nn.attention import LocalAttention
from nacre.nn.blocks import Chain, Gather, Mean, Residual
from nacre.nn.conv import CausalConv1d, Conv1d, ConvTranspose1d
from nacre.nn.padding import Kernel
from nacre.nn.reach import first, lookahead, preroll, ready
from nacre.nn.state import State


def branches(width: int) -> nn.Module:
    def of(size: int) -> Chain:
        return Chain(Residual(Chain(nn.ELU(), Conv1d(width, width, Kernel(size, dilation=3).centred()))))

    return Mean([of(3), of(7), Residual(Conv1d(width, width, Kernel(5).centred()), Conv1d(width, width, Kernel(1)))])


def down(size: int, stride: int) -> Chain:
    return Chain(Conv1d(1, 2, Kernel(7).centred()), branches(2), Conv1d(2, 2, Kernel(size, stride).centred()))


def up(size: int, stride: int) -> Chain:
    return Chain(ConvTranspose1d(2, 2, Kernel(size, stride).centred()), branches(2), Conv1d(2, 1, Kernel(7).centred()))


@pytest.mark.parametrize(
    ("strides", "figures"), [((2, 4, 8, 8), (8853, 10)), ((2, 4, 5, 8), (5701, 10)), ((3, 5), (410, 15))]
)
def test_the_figures_of_dac(strides: tuple[int, ...], figures: tuple[int, int]) -> None:
    config = DACConfig(strides=strides, encoder_dim=1, decoder_dim=16, latent=2, levels=1, codebook_size=2)
    codec = DAC(config)
    assert (lookahead(codec.encoder, codec.decoder, config.hop), preroll(codec.decoder)) == figures


@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 40))
def test_windows_come_whole(window: int, step: int, heard: int) -> None:
    there = Chain(Conv1d(1, 2, Kernel(7).centred()), LocalAttention(2, window, head_dim=2), Gather(step))
    back = Chain(LocalAttention(2, window, head_dim=2), Conv1d(2, 1, Kernel(3).centred()))
    with torch.no_grad():
        assert there(torch.randn(1, 1, heard), State()).shape[-1] == max(0, ready(there, heard))
        assert back(torch.randn(1, 2, heard), State()).shape[-1] == max(0, ready(back, heard))
    turn = math.lcm(window, step)
    late = [n - ready(back, ready(there, n)) for n in range(40 * turn, 41 * turn, step)]
    assert lookahead(there, back, 1, step, turn) == max(late)
    assert preroll(back) == window


def test_causal_layers_are_never_late() -> None:
    encoder = Chain(CausalConv1d(1, 2, 7), CausalConv1d(2, 2, 10, stride=5))
    decoder = Chain(ConvTranspose1d(2, 2, Kernel(10, 5)), CausalConv1d(2, 1, 7, dilation=2))
    assert lookahead(encoder, decoder, 5) == 0
    assert preroll(decoder) == 4  # 12 samples, then the frame whose second half sounds on


@given(st.sampled_from([(4, 2), (11, 5), (7, 3), (16, 8), (10, 5)]), st.integers(0, 60), st.booleans())
def test_a_stream_gives_what_is_ready(shape: tuple[int, int], heard: int, back: bool) -> None:
    layers = up(*shape) if back else down(*shape)
    with torch.no_grad():
        given = layers(torch.randn(1, 2 if back else 1, heard), State()).shape[-1]
    assert given == max(0, ready(layers, heard))


@given(st.sampled_from([(4, 2), (11, 5), (7, 3), (16, 8), (10, 5)]), st.integers(100, 140), st.booleans())
def test_the_first_position_that_is_heard(shape: tuple[int, int], at: int, back: bool) -> None:
    layers = (up(*shape) if back else down(*shape)).double()
    x = torch.randn(1, 2 if back else 1, 1200, dtype=torch.float64, requires_grad=True)
    layers(x)[0, 0, at].backward()
    assert x.grad is not None
    assert int(x.grad[0].abs().sum(0).nonzero()[0]) == first(layers, at)
