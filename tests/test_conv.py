"""conv: torch's own convolution over padding written out by hand, whole and in chunks of any size."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from chunking import assert_learns, assert_streams, few, sizes
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from nacre.errors import InputError
from nacre.nn.conv import CausalConv1d, Conv1d, ConvTranspose1d
from nacre.nn.padding import Kernel, Pad
from nacre.nn.state import State

pads = st.sampled_from(["zero", "reflect", "replicate"])


@st.composite
def kernels(draw: st.DrawFn, dilations: int = 3) -> Kernel:
    dilation, size = draw(st.integers(1, dilations)), draw(st.integers(1, 9))
    kernel = Kernel(size, draw(st.integers(1, (size - 1) * dilation + 1)), dilation)
    return draw(st.sampled_from([kernel, kernel.centred(), kernel.early()]))


def seanet(x: Tensor, conv: Conv1d, causal: bool, pad: Pad) -> Tensor:
    """A SEANet convolution as its papers' code computes it (SPECS 0.1)."""
    k = conv.kernel
    total = k.span - k.stride
    frames = math.ceil((x.shape[-1] - k.span + total) / k.stride + 1)
    extra = (frames - 1) * k.stride + (k.span - total) - x.shape[-1]
    left, right = (total, extra) if causal else (total - total // 2, total // 2 + extra)
    short = max(0, max(left, right) - x.shape[-1] + 1) if pad == "reflect" else 0
    x = F.pad(F.pad(x, (0, short)), (left, right), "constant" if pad == "zero" else pad)
    return F.conv1d(x[..., : x.shape[-1] - short], conv.weight, conv.bias, k.stride, dilation=k.dilation)


@given(kernels(), pads, st.integers(1, 60), st.booleans())
def test_padding_is_that_of_seanet(kernel: Kernel, pad: Pad, length: int, causal: bool) -> None:
    kernel = Kernel(kernel.size, kernel.stride, kernel.dilation)
    conv = Conv1d(2, 3, kernel if causal else kernel.centred(), pad)
    x = torch.randn(1, 2, length)
    assert torch.equal(conv(x), seanet(x, conv, causal, pad))


def test_audiodec_pads_a_whole_kernel_whatever_the_stride() -> None:
    conv, x = Conv1d(2, 3, Kernel(6, 3).early()), torch.randn(1, 2, 20)
    assert torch.equal(conv(x), F.conv1d(F.pad(x, (5, 0)), conv.weight, conv.bias, 3))
    assert conv(x).shape[-1] == (20 - 1) // 3 + 1


@settings(max_examples=150)
@given(kernels(), pads, sizes, st.sampled_from([1, 2]), st.booleans())
@example(Kernel(9, 2).centred(), "zero", [1, 1, 5, 0, 17], 1, True)  # less than a window for a while
def test_convolutions_stream(kernel: Kernel, pad: Pad, chunks: list[int], groups: int, bias: bool) -> None:
    conv = Conv1d(2, 4, kernel, pad, groups, bias)
    x = torch.randn(2, 2, sum(chunks))
    assert conv(x).shape == (2, 4, -(-sum(chunks) // kernel.stride))
    assert_streams(conv, x, chunks)


@settings(max_examples=150)
@given(kernels(dilations=2), st.sampled_from(["zero", "replicate"]), few, st.sampled_from([1, 2]))
def test_transposed_convolutions_stream(kernel: Kernel, pad: Pad, chunks: list[int], groups: int) -> None:
    if pad == "replicate" or (kernel.left or 0) > kernel.context:
        kernel = Kernel(kernel.size, kernel.stride, kernel.dilation)
    conv = ConvTranspose1d(2, 4, kernel, pad, groups)
    x = torch.randn(2, 2, sum(chunks))
    assert conv(x).shape == (2, 4, sum(chunks) * kernel.stride)
    assert_streams(conv, x, chunks)


@given(kernels(dilations=1), st.integers(1, 9))
def test_transposed_convolution_is_torchs_trimmed(kernel: Kernel, frames: int) -> None:
    if (kernel.left or 0) > kernel.context:
        kernel = kernel.centred()
    conv, x = ConvTranspose1d(2, 3, kernel), torch.randn(1, 2, frames)
    full = F.conv_transpose1d(x, conv.weight, conv.bias, kernel.stride)
    start = kernel.left or 0
    torch.testing.assert_close(conv(x), full[..., start : start + frames * kernel.stride], atol=1e-6, rtol=1e-5)


def test_centred_transposed_convolution_cuts_the_odd_sample_on_the_left() -> None:
    conv, x = ConvTranspose1d(2, 3, Kernel(10, 5).centred()), torch.randn(1, 2, 4)
    torch.testing.assert_close(conv(x), F.conv_transpose1d(x, conv.weight, conv.bias, 5)[..., 3:-2])


def test_audiodec_repeats_the_first_frame() -> None:
    conv, x = ConvTranspose1d(2, 3, Kernel(6, 3), "replicate"), torch.randn(1, 2, 4)
    expected = F.conv_transpose1d(F.pad(x, (1, 0), "replicate"), conv.weight, conv.bias, 3)[..., 3:-3]
    torch.testing.assert_close(conv(x), expected)


def test_a_stream_lags_by_no_more_than_it_says() -> None:
    kernel = Kernel(10, 5).centred()
    state = State()
    assert Conv1d(1, 1, kernel)(torch.zeros(1, 1, 5 + kernel.lag), state).shape[-1] == 1
    state = State()
    assert ConvTranspose1d(1, 1, kernel)(torch.zeros(1, 1, 1), state).shape[-1] == 5 - 3
    assert CausalConv1d(1, 1, 10, stride=5)(torch.zeros(1, 1, 5), State()).shape[-1] == 1


def test_causal_convolution_does_not_hear_the_future() -> None:
    conv, x = CausalConv1d(1, 1, 8, stride=4), torch.zeros(1, 1, 40)
    y = conv(x)
    x[..., 20] = 1.0  # the first sample of frame 5
    assert (conv(x) - y).nonzero()[:, -1].min() == 5


def test_empty_chunks_are_welcome() -> None:
    empty = torch.zeros(2, 3, 0)
    for layer in (Conv1d(3, 4, Kernel(4, 2), "reflect"), CausalConv1d(3, 4, 1), ConvTranspose1d(3, 4, Kernel(4, 2))):
        state = State()
        assert layer(empty).shape == layer(empty, state).shape == layer(empty, state).shape == (2, 4, 0)


@pytest.mark.parametrize("pad", ["zero", "reflect", "replicate"])
def test_gradient_flows(pad: Pad) -> None:
    assert_learns(Conv1d(2, 4, Kernel(4, 2).centred(), pad), torch.randn(1, 2, 11))
    assert_learns(ConvTranspose1d(2, 4, Kernel(4, 2).centred()), torch.randn(1, 2, 5))


def test_keys_are_torchs() -> None:
    assert list(CausalConv1d(2, 3, 7, groups=1).state_dict()) == ["weight", "bias"]
    assert list(ConvTranspose1d(2, 3, Kernel(4, 2), bias=False).state_dict()) == ["weight"]


@pytest.mark.parametrize(
    ("kernel", "pad"),
    [(Kernel(4, 2), "reflect"), (Kernel(4, 2).centred(), "replicate"), (Kernel(4, 2).early(), "zero")],
)
def test_transposed_convolutions_that_cannot_stream_are_refused(kernel: Kernel, pad: Pad) -> None:
    with pytest.raises(InputError, match="cannot cut or pad"):
        ConvTranspose1d(1, 1, kernel, pad)
