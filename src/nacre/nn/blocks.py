"""Blocks made of a few layers, shared by several codecs.

Letters in shapes: `B` batch, `D` features, `F` frames.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .conv import CausalConv1d
from .state import State


class ConvNeXtBlock(nn.Module):
    """A causal ConvNeXt block: depthwise convolution over time, then a two-layer net a frame, added to the input.

    Liu et al. 2022 (arXiv 2201.03545), in one dimension as in Vocos (Siuzdak 2023, arXiv 2306.00814).
    `[B, D, F] -> [B, D, F]`.
    """

    def __init__(self, dim: int, hidden: int, kernel: int = 7, scale: float = 0.1) -> None:
        super().__init__()
        self.depthwise = CausalConv1d(dim, dim, kernel, groups=dim)
        self.norm = nn.LayerNorm(dim)
        self.up = nn.Linear(dim, hidden)
        self.down = nn.Linear(hidden, dim)
        self.scale = nn.Parameter(torch.full((dim,), scale))

    def forward(self, x: Tensor, state: State | None = None) -> Tensor:
        """Mix over time, then over features."""
        y = self.norm(self.depthwise(x, state).transpose(1, 2))
        y = self.down(nn.functional.gelu(self.up(y)))
        return x + (self.scale * y).transpose(1, 2)
