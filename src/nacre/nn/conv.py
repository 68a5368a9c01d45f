"""Convolutions that run whole or in chunks from one `forward(x, state=None)`.

Letters in shapes: `B` batch, `C` channels, `T` positions in, `F` frames.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import InputError
from .padding import Kernel, Pad, spread, windows
from .state import State
from .weight_norm import accept_both_spellings

FEW = 8  # frames a stream gives at a time; up to here a product of rows beats a convolution, which reorders its weight


class Conv1d(nn.Conv1d):
    """`[B, C, T] -> [B, C', ceil(T / stride)]`; `kernel` says what each frame hears, `pad` what lies outside.

    `Conv1d(1, 32, Kernel(7).centred(), "reflect")` is the first layer of a SEANet encoder. A centred one lags by
    `kernel.lag` in a stream and catches up in the chunk that `state.last` announces.
    """

    def __init__(
        self, c_in: int, c_out: int, kernel: Kernel, pad: Pad = "zero", groups: int = 1, bias: bool = True
    ) -> None:
        super().__init__(c_in, c_out, kernel.size, kernel.stride, dilation=kernel.dilation, groups=groups, bias=bias)
        self.kernel, self.pad = kernel, pad
        accept_both_spellings(self)

    @property
    def context(self) -> int:
        """Positions beyond a stride that its frame hears."""
        return self.kernel.context

    def forward(self, x: Tensor, state: State | None = None) -> Tensor:
        x = windows(self, x, state, self.kernel, self.pad)
        if x.shape[-1] < self.kernel.span:
            return x.new_zeros(x.shape[0], self.out_channels, 0)
        frames = x.shape[0] * ((x.shape[-1] - self.kernel.span) // self.kernel.stride + 1)
        if frames <= FEW and _plain(self, self.kernel) and self.in_channels > FEW:
            return self._rows(x)
        alone = self.out_channels == 1 and self.kernel.stride == 1 and not torch.is_grad_enabled()
        if alone and _plain(self, self.kernel):
            return self._taps(x)
        return super().forward(x)

    def _rows(self, x: Tensor) -> Tensor:
        """The convolution as one product, a row a frame."""
        rows = x.unfold(-1, self.kernel.size, self.kernel.stride).transpose(1, 2).flatten(2)
        return F.linear(rows, self.weight.flatten(1), self.bias).transpose(1, 2)

    def _taps(self, x: Tensor) -> Tensor:
        """The convolution to one channel as one product, a row a tap, and a shifted sum: a third of torch's time."""
        taps = self.weight[0].T @ x  # [B, k, T]
        frames = x.shape[-1] - self.kernel.context
        y = taps[:, :1, :frames]
        for i in range(1, self.kernel.size):
            y = y + taps[:, i : i + 1, i : i + frames]
        return y if self.bias is None else y + self.bias


class CausalConv1d(Conv1d):
    """A convolution of the past only: `[B, C, T] -> [B, C', ceil(T / stride)]`, with silence before the start."""

    def __init__(
        self,
        c_in: int,
        c_out: int,
        kernel: int,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        super().__init__(c_in, c_out, Kernel(kernel, stride, dilation), groups=groups, bias=bias)


class ConvTranspose1d(nn.ConvTranspose1d):
    """`[B, C, F] -> [B, C', F * stride]`: each frame adds `kernel.size` samples from its own stride on.

    What reaches past the last stride is cut; a centred kernel cuts `kernel.left` samples off the start and keeps as
    many more at the end, so it lags by them in a stream. With `pad="replicate"` the first frame has always been
    sounding (AudioDec); only a causal kernel can have that.
    """

    def __init__(
        self, c_in: int, c_out: int, kernel: Kernel, pad: Pad = "zero", groups: int = 1, bias: bool = True
    ) -> None:
        super().__init__(c_in, c_out, kernel.size, kernel.stride, dilation=kernel.dilation, groups=groups, bias=bias)
        if pad == "reflect" or (pad != "zero" and kernel.left) or (kernel.left or 0) > kernel.context:
            raise InputError(f"a transposed convolution of {kernel} cannot cut or pad its start so ({pad})")
        self.kernel, self.pad = kernel, pad
        accept_both_spellings(self)

    def overlap(self, x: Tensor) -> Tensor:
        """Overlap-add of all frames, with everything that will be cut."""
        k = self.kernel
        if 8 * x.shape[0] * x.shape[-1] <= self.in_channels and k.size % k.stride == 0 and _plain(self, k):
            return self._rows(x)
        return F.conv_transpose1d(x, self.weight, self.bias, k.stride, groups=self.groups, dilation=k.dilation)

    def forward(self, x: Tensor, state: State | None = None) -> Tensor:  # type: ignore[override]
        x, due = spread(self, x, state, self.kernel, self.pad)
        if not x.shape[-1]:
            return x.new_zeros(x.shape[0], self.out_channels, 0)
        return self.overlap(x)[..., due]

    def _rows(self, x: Tensor) -> Tensor:
        """The overlap-add as one product, a row a frame, and a shifted sum: `[B, C, F] -> [B, C', (F - 1) * s + k]`."""
        stride, width = self.kernel.stride, self.out_channels
        count = self.kernel.size // stride
        rows = (x.transpose(1, 2) @ self.weight.flatten(1)).view(*x.shape[::2], width, count, stride)
        y = x.new_zeros(x.shape[0], width, (x.shape[2] - 1 + count) * stride)
        if self.bias is not None:
            y += self.bias[:, None]
        for i, part in enumerate(rows.permute(3, 0, 2, 1, 4).flatten(3)):  # [B, C', F * stride] each
            y[..., i * stride : i * stride + part.shape[-1]] += part
        return y


def _plain(layer: Conv1d | ConvTranspose1d, kernel: Kernel) -> bool:
    """Whether the layer's weight may be used as one matrix; exported graphs keep their convolutions."""
    exporting = torch.compiler.is_compiling() or torch.onnx.is_in_onnx_export()
    return layer.groups == 1 and kernel.dilation == 1 and not exporting
