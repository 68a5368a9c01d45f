"""Attention that streams: inside fixed windows, or over a fixed past.

Rotary positions: Su et al. 2021 (arXiv 2104.09864).

Letters in shapes: `B` batch, `C` channels, `T` positions, `H` heads, `D` features of a head.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import InputError
from .state import State


class LocalAttention(nn.Module):
    """Full attention inside windows that do not overlap, added to the input (SNAC): `[B, C, T] -> [B, C, T]`.

    Layer norm first, rotary positions counted from each window's start. A stream gives whole windows; what does
    not fill one at the end of the signal, or at the beginning of a stream that `state.place` begins inside of one,
    makes a shorter window.
    """

    def __init__(self, dim: int, window: int = 32, head_dim: int = 64) -> None:
        super().__init__()
        self.window, self.heads = window, _heads(dim, dim // head_dim)
        self.norm = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.out = nn.Linear(dim, dim, bias=False)
        self.register_buffer("turns", rotary_turns(window, dim // self.heads), persistent=False)
        self.turns: Tensor

    def forward(self, x: Tensor, state: State | None = None) -> Tensor:
        """Attend within every window that `x` completes."""
        x, absent = self._after_past(x, state)
        whole = x.shape[-1] // self.window * self.window
        if state is not None:
            state.put(self, x[..., whole:], *([x.new_zeros(len(x), absent)] if absent and not whole else []))
        edges = [absent, self.window, whole] if absent and whole else [absent, max(absent, whole)]
        if state is None or state.last:
            edges.append(x.shape[-1])
        parts = [self._within(x[..., a:b], min(b - a, self.window)) for a, b in pairwise(edges) if b > a]
        return torch.cat(parts, dim=-1) if parts else x[..., :0]

    def _after_past(self, x: Tensor, state: State | None) -> tuple[Tensor, int]:
        """`x` behind what waits for its window, and how many positions of that window came before the stream."""
        kept = state.get(self) if state is not None else None
        if kept is not None:
            return torch.cat([kept[0], x], dim=-1), kept[1].shape[-1] if len(kept) > 1 else 0
        absent = state.place % self.window if state is not None else 0
        return F.pad(x, (absent, 0)) if absent else x, absent

    def _within(self, x: Tensor, window: int) -> Tensor:
        y = x.transpose(1, 2).reshape(x.shape[0], -1, window, x.shape[1])  # [B, windows, window, C]
        q, k, v = _split(self.qkv(self.norm(y)), self.heads)
        turns = self.turns[:, :window]
        y = F.scaled_dot_product_attention(rotate(q, turns), rotate(k, turns), v)
        mixed: Tensor = self.out(y.transpose(2, 3).flatten(3)).flatten(1, 2)
        return x + mixed.transpose(1, 2)


class CausalAttention(nn.Module):
    """Each position attends to itself and the `context - 1` before it: `[B, C, T] -> [B, C, T]` (as in Mimi).

    Keys are kept as they were before rotation and turned anew with every block, so that positions stay small and
    a stream of any length stays exact. A long signal is run in blocks of `context`, so memory grows no faster than it.
    """

    def __init__(self, dim: int, heads: int, context: int) -> None:
        super().__init__()
        self.heads, self.context = _heads(dim, heads), context
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.out = nn.Linear(dim, dim, bias=False)
        self.register_buffer("turns", rotary_turns(2 * context - 1, dim // heads), persistent=False)
        self.turns: Tensor

    def forward(self, x: Tensor, state: State | None = None) -> Tensor:
        """Attend to the past in `state` and to what comes before in `x`."""
        past = state.get(self) if state is not None else None
        if past is None:
            none = x.new_zeros(x.shape[0], self.heads, self.context - 1, x.shape[1] // self.heads)
            past = (none, none, none[:, 0, :, 0])
        x = x.transpose(1, 2)
        # the tracer cannot split what has no fixed length, so exported graphs take chunks of up to `context`
        blocks = [x] if x.shape[1] <= self.context else torch.split(x, self.context, dim=1)
        parts = []
        for block in blocks:
            part, past = self._block(block, past)
            parts.append(part)
        if state is not None:
            state.put(self, *past)
        return torch.cat(parts, dim=1).transpose(1, 2)

    def _block(self, x: Tensor, past: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """`[B, T, C]`, T up to `context`; the past is keys, values `[B, H, context - 1, D]` and which are true."""
        length, before = x.shape[1], self.context - 1
        q, k, v = _split(self.qkv(x), self.heads)
        k, v = torch.cat([past[0], k], dim=2), torch.cat([past[1], v], dim=2)
        true = torch.cat([past[2], x.new_ones(x.shape[:2])], dim=1)
        place = torch.arange(before + length, device=x.device)
        distance = place[before:, None] - place
        heard = (distance >= 0) & (distance < self.context) & (true[:, None, None] > 0)
        turns = self.turns[:, : before + length]
        y = F.scaled_dot_product_attention(rotate(q, turns[:, before:]), rotate(k, turns), v, attn_mask=heard)
        return self.out(y.transpose(1, 2).flatten(2)), (k[:, :, length:], v[:, :, length:], true[:, length:])


class LayerScale(nn.Module):
    """A trained gain a channel that starts small: `[B, C, T] -> [B, C, T]` (Touvron et al. 2021, arXiv 2103.17239)."""

    def __init__(self, channels: int, start: float = 0.01) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.full((channels, 1), start))

    def forward(self, x: Tensor) -> Tensor:
        """Scale."""
        return x * self.gain


def rotary_turns(length: int, dim: int, base: float = 10_000.0) -> Tensor:
    """Cosines and sines of each position and feature, `[2, length, dim]`; the second half repeats the first."""
    speed = base ** (-torch.arange(0, dim, 2, dtype=torch.float64) / dim)
    angle = torch.outer(torch.arange(length, dtype=torch.float64), torch.cat([speed, speed]))
    return torch.stack([angle.cos(), angle.sin()]).float()


def rotate(x: Tensor, turns: Tensor) -> Tensor:
    """Turn feature `i` and feature `i + D / 2` as one pair, by the angle of their position: `[..., T, D]`."""
    first, second = x.chunk(2, dim=-1)
    return x * turns[0] + torch.cat([-second, first], dim=-1) * turns[1]


def _split(qkv: Tensor, heads: int) -> Iterator[Tensor]:
    """Queries, keys and values `[..., H, T, D]` of `[..., T, 3 * C]`."""
    for part in qkv.chunk(3, dim=-1):
        yield part.reshape(*part.shape[:-1], heads, part.shape[-1] // heads).transpose(-3, -2)


def _heads(dim: int, heads: int) -> int:
    if heads < 1 or dim % heads or dim // heads % 2:
        raise InputError(f"{dim} features do not split into {heads} heads of an even number; choose other sizes")
    return heads
