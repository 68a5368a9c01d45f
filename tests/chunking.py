"""Chunks joined equal the whole: the one property that every layer under nn/ is held to."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from hypothesis import strategies as st
from torch import Tensor, nn

from nacre.nn.state import State

# any chunks, among them none, one sample, and those that fill no stride
sizes = st.lists(st.sampled_from([0, 1, 17, 320, 509]) | st.integers(0, 40), min_size=1, max_size=6)
few = st.lists(st.integers(0, 9) | st.just(17), min_size=1, max_size=6)  # for layers that see frames, not samples


def in_chunks(layer: Callable[[Tensor, State], Tensor], x: Tensor, chunks: Sequence[int]) -> Tensor:
    """Run `x` through a fresh State; the last of `chunks` ends the stream."""
    state, parts = State(), []
    for i, piece in enumerate(x.split(list(chunks), dim=-1)):
        state.last = i == len(chunks) - 1
        parts.append(layer(piece, state))
    return torch.cat(parts, dim=-1)


def assert_streams(layer: nn.Module, x: Tensor, chunks: Sequence[int], atol: float = 2e-6) -> None:
    """Chunks joined equal the whole, each item alone equals the batch, and a second stream disturbs nothing."""
    assert sum(chunks) == x.shape[-1]
    with torch.no_grad():
        whole = layer(x)
        torch.testing.assert_close(in_chunks(layer, x, chunks), whole, atol=atol, rtol=1e-5)
        torch.testing.assert_close(torch.cat([layer(item[None]) for item in x]), whole, atol=atol, rtol=1e-5)
        torch.testing.assert_close(interleaved(layer, x, chunks), whole, atol=atol, rtol=1e-5)


def interleaved(layer: nn.Module, x: Tensor, chunks: Sequence[int]) -> Tensor:
    """What `x` gives while another caller streams other sound through the same layer, in other chunks."""
    ours, theirs, parts = State(), State(), []
    for i, piece in enumerate(x.split(list(chunks), dim=-1)):
        ours.last = i == len(chunks) - 1
        parts.append(layer(piece, ours))
        layer(torch.ones_like(x[:1, :, : 1 + i % 3]), theirs)
    return torch.cat(parts, dim=-1)


def assert_learns(layer: nn.Module, x: Tensor) -> None:
    """Every parameter and the input get a finite gradient that is not all zero."""
    x = x.clone().requires_grad_()
    y = layer(x)
    (y * torch.linspace(0.5, 1.5, y.numel()).reshape(y.shape)).sum().backward()
    for name, tensor in [("input", x), *layer.named_parameters()]:
        assert tensor.grad is not None, name
        assert torch.isfinite(tensor.grad).all() and tensor.grad.any(), name
