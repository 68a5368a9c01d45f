"""Noise that belongs to its place: the same for a file, a stream, a seek, a batch and another machine.

Letters in shapes: `B` batch, `C` channels, `T` positions.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from .conv import Conv1d
from .padding import Kernel
from .state import State

# SplitMix64 (Steele, Lea and Flood 2014): a step and two multipliers, as signed 64-bit numbers
_STEP, _FIRST, _SECOND = -0x61C8864680B583EB, -0x40A7B892E31B1A47, -0x6B2FB644ECCEEE15


class Noise(nn.Module):
    """One track of noise, scaled for every channel by a 1x1 convolution of `x`, and added: `[B, C, T] -> [B, C, T]`.

    SNAC (arXiv 2410.14411). The noise is a function of `seed`, `rate` and the place in the stream, the same for all
    items of a batch; a seed of None leaves it out. In training mode it is new at every step.
    """

    def __init__(self, channels: int, rate: int) -> None:
        super().__init__()
        self.linear = Conv1d(channels, channels, Kernel(1), bias=False)
        self.rate = rate  # positions a frame
        self.seed: int | None = 0

    def forward(self, x: Tensor, state: State | None = None) -> Tensor:
        """Add the noise of the positions that `x` holds."""
        if self.training:
            noise = torch.randn_like(x[:, :1])
        elif self.seed is None:
            return x
        else:
            noise = normal_at(self._places(x, state), self.seed, self.rate).to(x.dtype)[:, None]
        scaled: Tensor = self.linear(x)
        return torch.addcmul(x, noise, scaled)

    def _places(self, x: Tensor, state: State | None) -> Tensor:
        steps = torch.arange(x.shape[-1], device=x.device)
        if state is None:
            return steps[None]
        kept = state.get(self)
        first = steps.new_full((x.shape[0],), state.place * self.rate) if kept is None else kept[0]
        state.put(self, first + x.shape[-1])
        return first[:, None] + steps


def normal_at(places: Tensor, seed: int, track: int) -> Tensor:
    """Normal noise, float32 of the shape of `places`: a number for each place, independent of all others.

    Integers until the last step (Box and Muller 1958), so machines agree up to the rounding of four functions.
    """
    key = _mixed(_mixed(torch.tensor(seed, dtype=torch.int64)) + track).to(places.device)
    bits = _mixed(places + key)
    radius = (((bits >> 40) & 0xFFFFFF).float() + 0.5) * 2**-24
    angle = (bits & 0xFFFFFF).float() * (2 * math.pi * 2**-24)
    return torch.sqrt(-2 * radius.log()) * angle.cos()


def _mixed(x: Tensor) -> Tensor:
    """SplitMix64's number `x`: every bit depends on every bit of `x`."""
    x = (x + 1) * _STEP  # wraps around, as meant
    x = (x ^ _shifted(x, 30)) * _FIRST
    x = (x ^ _shifted(x, 27)) * _SECOND
    return x ^ _shifted(x, 31)


def _shifted(x: Tensor, by: int) -> Tensor:
    """`x` to the right with zeros from the left, as if it had no sign."""
    return (x >> by) & ((1 << (64 - by)) - 1)
