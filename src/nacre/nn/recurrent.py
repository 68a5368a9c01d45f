"""Recurrent layers, for `[B, C, T]`."""

from __future__ import annotations

from torch import Tensor, nn

from .state import State


class SkipLSTM(nn.Module):
    """An LSTM over time, added to its input (SEANet): `[B, C, T] -> [B, C, T]`, keys `lstm.*` as in torch."""

    def __init__(self, channels: int, layers: int = 2) -> None:
        super().__init__()
        self.lstm = nn.LSTM(channels, channels, layers, batch_first=True)

    def forward(self, x: Tensor, state: State | None = None) -> Tensor:
        """Go on from the memory in `state`, or from silence."""
        if not x.shape[-1]:
            return x
        kept = state.get(self) if state is not None else None
        # the batch comes first in a State, the layer first in torch
        memory = None if kept is None else (kept[0].transpose(0, 1).contiguous(), kept[1].transpose(0, 1).contiguous())
        y, (hidden, cell) = self.lstm(x.transpose(1, 2), memory)
        if state is not None:
            state.put(self, hidden.transpose(0, 1), cell.transpose(0, 1))
        added: Tensor = x + y.transpose(1, 2)
        return added
