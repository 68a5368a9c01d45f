"""Recurrent layers, for `[B, C, T]`."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .state import State

SHORT = 8  # positions in all items; up to here cells one by one beat torch's LSTM, which packs its weights every call


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
        if memory is not None and x.shape[0] * x.shape[2] <= SHORT and not torch.onnx.is_in_onnx_export():
            y, (hidden, cell) = self._cells(x.transpose(1, 2), memory)
        else:
            y, (hidden, cell) = self.lstm(x.transpose(1, 2), memory)
        if state is not None:
            state.put(self, hidden.transpose(0, 1), cell.transpose(0, 1))
        added: Tensor = x + y.transpose(1, 2)
        return added

    def _cells(self, x: Tensor, memory: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """What `self.lstm` gives, position by position."""
        kept = []
        for hidden, cell, weights in zip(*memory, self.lstm.all_weights, strict=True):
            row = []
            for position in x.unbind(1):
                hidden, cell = torch.lstm_cell(position, (hidden, cell), *weights)
                row.append(hidden)
            kept.append((hidden, cell))
            x = torch.stack(row, dim=1)
        hiddens, cells = zip(*kept, strict=True)
        return x, (torch.stack(hiddens), torch.stack(cells))
