"""Convolutions that run whole or in chunks from one `forward(x, state=None)`.

Letters in shapes: `B` batch, `C` channels, `T` positions in, `F` positions out.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .state import State


class CausalConv1d(nn.Conv1d):
    """A convolution that hears the past only: `[B, C, T] -> [B, C', ceil(T / stride)]`, the past before the start is zero."""

    @property
    def context(self) -> int:
        """Positions before a stride that its output needs."""
        return (self.kernel_size[0] - 1) * self.dilation[0] + 1 - self.stride[0]

    def forward(self, x: Tensor, state: State | None = None) -> Tensor:  # noqa: D102
        kept = state.get(self) if state is not None else None
        x = F.pad(x, (self.context, 0)) if kept is None else torch.cat([kept[0], x], dim=-1)
        if state is not None:
            state.put(self, x[..., x.shape[-1] - self.context :])
        return super().forward(x)
