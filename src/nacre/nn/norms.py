"""Norms over features, for `[B, C, T]`; those that would hear the future say so instead of streaming.

Letters in shapes: `B` batch, `C` channels, `N` frequency bins, `T` positions.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import InputError
from .padding import Kernel, windows
from .state import State


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of each position: `[B, C, T] -> [B, C, T]`, keys as torch's `LayerNorm`."""

    def __init__(self, channels: int, eps: float = 1e-5, affine: bool = True) -> None:
        super().__init__(channels, eps=eps, elementwise_affine=affine)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise each position."""
        return super().forward(x.transpose(1, 2)).transpose(1, 2)


class L2Norm(nn.Module):
    """Scale each position to the length `sqrt(C)` over channels, so that features have unit power (HILCodec)."""

    def forward(self, x: Tensor) -> Tensor:
        """`[B, C, T] -> [B, C, T]`."""
        unit: Tensor = F.normalize(x, dim=1)
        return unit * math.sqrt(x.shape[1])


class GRN(nn.Module):
    """Global response normalisation that does not hear the future: channels compete by their recent power.

    Woo et al. 2023 (ConvNeXt V2, arXiv 2301.00808) measure a channel over all positions, which leaks the future of a
    signal in time. Here its power is the mean over the last `window` positions (1: the position alone, with silence
    before the start) and, for `[B, C, N, T]`, over the frequency bins. Starts as the identity.
    """

    def __init__(self, channels: int, window: int = 1, eps: float = 1e-6) -> None:
        super().__init__()
        self.kernel, self.eps = Kernel(window), eps
        self.gain = nn.Parameter(torch.zeros(channels, 1))
        self.shift = nn.Parameter(torch.zeros(channels, 1))

    def forward(self, x: Tensor, state: State | None = None) -> Tensor:
        """`[B, C, T]` or `[B, C, N, T]`, of the same shape after."""
        if not x.shape[-1]:
            return x
        power = x.square() if x.ndim == 3 else x.square().mean(dim=2)
        power = F.avg_pool1d(windows(self, power, state, self.kernel), self.kernel.size, stride=1)
        size = (power + self.eps**2).sqrt()  # a bare root has no gradient in silence
        share = size / (size.mean(dim=1, keepdim=True) + self.eps)
        gain = 1 + self.gain * share
        return x * gain + self.shift if x.ndim == 3 else x * gain[:, :, None] + self.shift[:, None]


class GroupNorm(nn.GroupNorm):
    """torch's, also of a single value a channel, which torch refuses lest it be a mistake in training."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise each group of channels over all that is there."""
        return torch.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)


class TimeGroupNorm(nn.GroupNorm):
    """Group norm over all channels and the whole time (EnCodec at 48 kHz): whole segments only, it cannot stream."""

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__(1, channels, eps)

    def forward(self, x: Tensor, state: State | None = None) -> Tensor:
        """`[B, C, T] -> [B, C, T]`; every output depends on every input."""
        if state is not None:
            raise InputError(
                "this model normalises over the whole time and cannot stream; code whole segments without a State"
            )
        return super().forward(x) if x.shape[-1] else x
