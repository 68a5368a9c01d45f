"""attention: softmax written out by hand, windows and pasts that end where they should, streams of any length."""

from __future__ import annotations

import pytest
import torch
from chunking import assert_learns, assert_streams, few, in_chunks
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nacre.errors import InputError
from nacre.nn.attention import CausalAttention, LayerScale, LocalAttention, rotary_turns, rotate
from nacre.nn.state import State


def by_hand(qkv: Tensor, heads: int, first: int) -> Tensor:
    """What the last position of `[T, 3 * C]` takes from all, one head and one position at a time."""
    q, k, v = qkv.double().chunk(3, dim=1)
    out, size = [], q.shape[1] // heads
    turns = rotary_turns(first + len(q), size).double()
    for head in range(heads):
        part = slice(head * size, (head + 1) * size)
        query = rotate(q[-1:, part], turns[:, -1:])
        scores = [(query * rotate(k[j : j + 1, part], turns[:, first + j, None])).sum() for j in range(len(k))]
        weights = (torch.stack(scores) / size**0.5).softmax(0)
        out.append((weights[:, None] * v[:, part]).sum(0))
    return torch.cat(out).float()


def test_rotation_is_a_turn_in_the_complex_plane() -> None:
    x, turns = torch.randn(7, 6), rotary_turns(7, 6)
    speeds = 10_000.0 ** (-torch.arange(3) / 3)
    expected = torch.complex(x[:, :3], x[:, 3:]) * torch.exp(1j * torch.arange(7)[:, None] * speeds)
    torch.testing.assert_close(rotate(x, turns), torch.cat([expected.real, expected.imag], dim=1))


def test_causal_attention_by_hand() -> None:
    layer, x = CausalAttention(8, heads=2, context=3).requires_grad_(False), torch.randn(1, 8, 10)
    qkv, y = layer.qkv(x[0].T), layer(x)
    for t in range(10):
        start = max(0, t - 2)
        mixed = by_hand(qkv[start : t + 1], 2, first=5)  # only distances matter, so any first position will do
        torch.testing.assert_close(y[0, :, t], layer.out(mixed), atol=1e-5, rtol=1e-5)


def test_local_attention_by_hand() -> None:
    layer, x = LocalAttention(8, window=4, head_dim=4).requires_grad_(False), torch.randn(1, 8, 6)
    qkv, y = layer.qkv(layer.norm(x[0].T)), layer(x)
    for first, end in ((0, 4), (4, 6)):
        mixed = by_hand(qkv[first:end], 2, first=0)
        torch.testing.assert_close(y[0, :, end - 1], x[0, :, end - 1] + layer.out(mixed), atol=1e-5, rtol=1e-5)


@settings(max_examples=40)
@given(few, st.integers(1, 7))
def test_causal_attention_streams(chunks: list[int], context: int) -> None:
    assert_streams(CausalAttention(8, 2, context), torch.randn(2, 8, sum(chunks)), chunks)


@settings(max_examples=40)
@given(few, st.integers(1, 7))
def test_local_attention_streams(chunks: list[int], window: int) -> None:
    assert_streams(LocalAttention(8, window, head_dim=4), torch.randn(2, 8, sum(chunks)), chunks)


def test_causal_attention_hears_its_context_and_no_more() -> None:
    layer, x = CausalAttention(4, 1, context=3), torch.randn(1, 4, 9)
    y = layer(x)
    x[..., 4] += 1.0
    assert (layer(x) - y).abs().sum(dim=1)[0].nonzero().flatten().tolist() == [4, 5, 6]


def test_local_attention_stays_in_its_window_and_waits_for_it() -> None:
    layer, x = LocalAttention(4, window=4, head_dim=4), torch.randn(1, 4, 12)
    y = layer(x)
    x[..., 6] = torch.randn(1, 4)
    assert (layer(x) - y).abs().sum(dim=1)[0].nonzero().flatten().tolist() == [4, 5, 6, 7]
    state = State()
    assert [layer(piece, state).shape[-1] for piece in x.split([3, 2, 7], dim=-1)] == [0, 4, 8]


def test_a_stream_of_zeros_in_its_state_has_heard_nothing() -> None:
    """Exported graphs begin with zeros for every state."""
    layer, x, state = CausalAttention(4, 2, context=5), torch.randn(1, 4, 3), State()
    first = layer(x, state)
    fresh = state.filled([torch.zeros_like(t) for t in state.tensors()])
    assert torch.equal(layer(x, fresh), first)


def test_positions_do_not_grow_with_the_stream() -> None:
    layer, x = CausalAttention(4, 1, context=4).requires_grad_(False), torch.randn(1, 4, 5)
    late = torch.cat([torch.randn(1, 4, 3000), x], dim=-1)
    torch.testing.assert_close(in_chunks(layer, late, [1500, 1500, 5])[..., -2:], layer(x)[..., -2:])


def test_layer_scale_by_hand() -> None:
    assert torch.equal(LayerScale(2, 0.5)(torch.ones(1, 2, 3)), torch.full((1, 2, 3), 0.5))


def test_gradient_flows() -> None:
    assert_learns(CausalAttention(4, 2, 3), torch.randn(2, 4, 7))
    assert_learns(LocalAttention(4, 3, 4), torch.randn(2, 4, 7))
    assert_learns(LayerScale(4), torch.randn(2, 4, 7))


@pytest.mark.parametrize(("dim", "heads"), [(8, 3), (6, 2), (8, 0)])
def test_sizes_that_do_not_split_are_refused(dim: int, heads: int) -> None:
    with pytest.raises(InputError, match="do not split"):
        CausalAttention(dim, heads, 4)


@settings(max_examples=40)
@given(few, st.integers(0, 11))
def test_windows_keep_their_place_where_a_stream_begins_inside_of_one(chunks: list[int], place: int) -> None:
    layer = LocalAttention(8, window=4, head_dim=4).requires_grad_(False)
    x = torch.randn(2, 8, place + sum(chunks))
    state, parts = State(), []
    state.place = place
    for i, piece in enumerate(x[..., place:].split(chunks, dim=-1)):
        state.last = i == len(chunks) - 1
        parts.append(layer(piece, state))
    y, short = torch.cat(parts, dim=-1), -place % 4
    assert y.shape == x[..., place:].shape
    torch.testing.assert_close(y[..., short:], layer(x)[..., place + short :], atol=2e-6, rtol=1e-5)
    alone = x[..., place : place + short]  # a window of its own, as it would be at the end of a sound
    torch.testing.assert_close(y[..., :short], layer(alone)[..., : y.shape[-1]] if alone.numel() else alone)
