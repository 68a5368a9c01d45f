"""Blocks made of a few layers, shared by several codecs.

Letters in shapes: `B` batch, `C` channels, `D` features, `F` frames, `T` positions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from inspect import signature

import torch
from torch import Tensor, nn

from .conv import CausalConv1d
from .norms import GRN
from .state import State


class Chain(nn.Sequential):
    """Layers one after the other, as torch's `Sequential`; the State goes to those that take one."""

    def forward(self, x: Tensor, state: State | None = None) -> Tensor:
        """Run all layers."""
        for layer in self:
            x = layer(x, state) if _takes_state(type(layer).forward) else layer(x)
        return x


class Residual(nn.Module):
    """`body(x)` added to `x`, or to `shortcut(x)`; in a stream the sum waits for the branch that lags."""

    def __init__(self, body: nn.Module, shortcut: nn.Module | None = None) -> None:
        super().__init__()
        self.body = body if isinstance(body, Chain) else Chain(body)
        self.shortcut = None if shortcut is None else Chain(shortcut)

    def forward(self, x: Tensor, state: State | None = None) -> Tensor:
        """`[B, C, T] -> [B, C, T]`."""
        straight = x if self.shortcut is None else self.shortcut(x, state)
        straight, bent = in_step(self, [straight, self.body(x, state)], state)
        return straight + bent


class Branches(nn.Module):
    """Layers side by side over one input, their outputs made into one by whoever inherits this."""

    def __init__(self, branches: Sequence[nn.Module]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def outputs(self, x: Tensor, state: State | None = None) -> list[Tensor]:
        """What each branch makes of `[B, C, T]`; in a stream they wait for the one that lags most."""
        return in_step(self, [branch(x, state) for branch in self.branches], state)


class Mean(Branches):
    """The mean of all branches, as HiFi-GAN mixes kernels of several lengths (arXiv 2010.05646)."""

    def forward(self, x: Tensor, state: State | None = None) -> Tensor:
        """`[B, C, T] -> [B, C, T]`."""
        parts = self.outputs(x, state)
        return sum(parts[1:], parts[0]) / len(parts)


class Gather(nn.Module):
    """Holds `[B, C, T]` of a stream back until it fills a window; the last positions come as they are."""

    def __init__(self, window: int) -> None:
        super().__init__()
        self.window = window

    def forward(self, x: Tensor, state: State | None = None) -> Tensor:
        """Give the windows that `x` completes."""
        if state is None:
            return x
        kept = state.get(self)
        x = x if kept is None else torch.cat([kept[0], x], dim=-1)
        whole = x.shape[-1] if state.last else x.shape[-1] // self.window * self.window
        state.put(self, x[..., whole:])
        return x[..., :whole]


class ConvNeXtBlock(nn.Module):
    """A causal ConvNeXt block: depthwise convolution over time, then a two-layer net a frame, added to the input.

    Liu et al. 2022 (arXiv 2201.03545), in one dimension as in Vocos (Siuzdak 2023, arXiv 2306.00814). With
    `grn_window` the hidden features compete by their power over that many frames (ConvNeXt V2; 0: they do not).
    `[B, D, F] -> [B, D, F]`.
    """

    def __init__(self, dim: int, hidden: int, kernel: int = 7, scale: float = 0.1, grn_window: int = 0) -> None:
        super().__init__()
        self.depthwise = CausalConv1d(dim, dim, kernel, groups=dim)
        self.norm = nn.LayerNorm(dim)
        self.up = nn.Linear(dim, hidden)
        self.grn = GRN(hidden, grn_window) if grn_window else None
        self.down = nn.Linear(hidden, dim)
        self.scale = nn.Parameter(torch.full((dim,), scale))

    def forward(self, x: Tensor, state: State | None = None) -> Tensor:
        """Mix over time, then over features."""
        y = self.norm(self.depthwise(x, state).transpose(1, 2))
        y = nn.functional.gelu(self.up(y))
        if self.grn is not None:
            y = self.grn(y.transpose(1, 2), state).transpose(1, 2)
        y = self.down(y)
        mixed: Tensor = x + (self.scale * y).transpose(1, 2)
        return mixed


def in_step(layer: nn.Module, parts: Sequence[Tensor], state: State | None) -> list[Tensor]:
    """Branches `[B, C, T]` cut to the length that all have reached; what is ahead waits in `state` for `layer`.

    Centred layers lag, so a branch with them comes later than a straight one. Causal branches are always in step
    and keep nothing.
    """
    kept = state.get(layer) if state is not None else None
    if kept is not None:
        parts = [torch.cat([old, new], dim=-1) for old, new in zip(kept, parts, strict=True)]
    length = min(part.shape[-1] for part in parts)
    if state is not None and (kept is not None or any(part.shape[-1] > length for part in parts)):
        state.put(layer, *(part[..., length:] for part in parts))
    return [part[..., :length] for part in parts]


@cache
def _takes_state(forward: Callable[..., Tensor]) -> bool:
    return "state" in signature(forward).parameters
