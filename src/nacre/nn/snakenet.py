"""SnakeNet: the stages of strided convolutions with Snake that DAC and SNAC share.

Kumar et al. 2023 (arXiv 2306.06546). Letters in shapes: `B` batch, `C` channels, `T` positions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import nn

from .activations import Snake
from .blocks import Chain, Residual
from .conv import Conv1d
from .padding import Kernel

DILATIONS = (1, 3, 9)  # of the residual units of a stage


def units(width: int, depthwise: bool = False) -> Iterator[Residual]:
    """The residual units of a stage, `[B, width, T] -> [B, width, T]` each; `depthwise` keeps channels apart (SNAC)."""
    groups = width if depthwise else 1
    for dilation in DILATIONS:
        wide = Conv1d(width, width, Kernel(7, dilation=dilation).centred(), groups=groups)
        yield Residual(Chain(Snake(width), wide, Snake(width), Conv1d(width, width, Kernel(1))))


def descent(width: int, strides: Sequence[int], depthwise: bool = False) -> Iterator[nn.Module]:
    """From samples to frames: `[B, 1, T]`, then `width` channels, doubled by the stage of every stride."""
    yield Conv1d(1, width, Kernel(7).centred())
    for stride in strides:
        yield from units(width, depthwise)
        yield Snake(width)
        yield Conv1d(width, 2 * width, Kernel(2 * stride, stride).centred())
        width *= 2
