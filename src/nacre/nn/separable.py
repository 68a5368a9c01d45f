"""Depthwise-separable convolutions, causal, with features last: `[B, T, C]`, so a pointwise one is a matrix product.

Weights have the shapes of torch's convolutions, so `weight_norm` and checkpoints fit. A depthwise convolution is a
sum of shifted products: it rounds alike wherever a chunk is cut, and is 2 to 20 times as fast as torch's on one thread.

Letters in shapes: `B` batch, `C` channels, `T` positions, `F` frames.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .state import State
from .weight_norm import accept_both_spellings


class Pointwise(nn.Conv1d):
    """A convolution over one position: `[B, T, C] -> [B, T, C']`."""

    def __init__(self, c_in: int, c_out: int, bias: bool = True) -> None:
        super().__init__(c_in, c_out, 1, bias=bias)
        accept_both_spellings(self)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight[:, :, 0], self.bias)


class Depthwise(nn.Conv1d):
    """Each channel by itself, with `kernel - stride` positions before a stride: `[B, F * stride, C] -> [B, F, C]`."""

    def __init__(self, channels: int, kernel: int, stride: int = 1, bias: bool = True) -> None:
        super().__init__(channels, channels, kernel, stride, groups=channels, bias=bias)
        self.past = kernel - stride
        accept_both_spellings(self)

    def forward(self, x: Tensor, state: State | None = None) -> Tensor:
        x, stride = history(self, x, state, self.past), self.stride[0]
        if torch.onnx.is_in_onnx_export():  # one node, which ONNX Runtime has a kernel for
            return F.conv1d(x.transpose(1, 2), self.weight, self.bias, self.stride, groups=self.groups).transpose(1, 2)
        reach = max(0, x.shape[1] - self.kernel_size[0] + 1)  # past the start of the last window
        taps = self.weight[:, 0].t().contiguous()
        first = x[:, :reach:stride]
        y = first * taps[0] if self.bias is None else torch.addcmul(self.bias, first, taps[0])
        for i in range(1, len(taps)):
            y.addcmul_(x[:, i : reach + i : stride], taps[i])
        return y


class DepthwiseTranspose(nn.ConvTranspose1d):
    """Each channel by itself, a frame sounding on in the next: `[B, F, C] -> [B, F * stride, C]`."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__(channels, channels, 2 * stride, stride, groups=channels, bias=False)
        accept_both_spellings(self)

    def forward(self, x: Tensor, state: State | None = None) -> Tensor:  # type: ignore[override]
        heard, stride = history(self, x, state, 1)[:, :, None], self.stride[0]
        taps = self.weight[:, 0].t().contiguous()
        return torch.addcmul(heard[:, 1:] * taps[:stride], heard[:, :-1], taps[stride:]).flatten(1, 2)


class FromSamples(nn.Conv1d):
    """Samples `[B, T + kernel - 1, 1]`, their past before them, to features `[B, T, C]`."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__(1, channels, kernel)
        accept_both_spellings(self)

    def forward(self, x: Tensor) -> Tensor:
        size = self.kernel_size[0]
        reach = x.shape[1] - size + 1
        return F.linear(torch.cat([x[:, i : reach + i] for i in range(size)], dim=2), self.weight[:, 0], self.bias)


class ToSamples(nn.Conv1d):
    """Features to samples, hearing the past: `[B, T, C] -> [B, T, 1]`."""

    bias: nn.Parameter

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__(channels, 1, kernel)
        accept_both_spellings(self)

    def forward(self, x: Tensor, state: State | None = None) -> Tensor:
        size = self.kernel_size[0]
        x = F.linear(history(self, x, state, size - 1), self.weight[0].t())
        reach = x.shape[1] - size + 1
        y = x[:, :reach, :1]
        for i in range(1, size):
            y = y + x[:, i : reach + i, i : i + 1]
        return y + self.bias


def history(layer: nn.Module, x: Tensor, state: State | None, length: int) -> Tensor:
    """`[B, T, C]` with `length` positions before it, silence where the stream begins; `state` moves on for `layer`."""
    kept = state.get(layer) if state is not None else None
    x = F.pad(x, (0, 0, length, 0)) if kept is None else torch.cat([kept[0], x], dim=1)
    if state is not None:
        state.put(layer, x[:, x.shape[1] - length :])
    return x
