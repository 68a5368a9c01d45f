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
SMALL = 20_480  # values: up to here torch computes dilated convolutions without oneDNN, slower than a product of rows


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
        return self._rows(x) if self._small(x) else super().forward(x)

    def _small(self, x: Tensor) -> bool:
        """Whether `x` is so little that a product of rows is faster."""
        depthwise = self.groups == self.in_channels == self.out_channels
        if (self.groups > 1 and not depthwise) or self.in_channels <= FEW or _exporting():
            return False
        if self.groups == 1 and self.kernel.dilation > 1 and x.shape[0] == 1 and x.numel() <= SMALL:
            return True
        frames = x.shape[0] * ((x.shape[-1] - self.kernel.span) // self.kernel.stride + 1)
        return frames <= (FEW // 2 if depthwise else FEW)

    def _rows(self, x: Tensor) -> Tensor:
        """The convolution as one product, a row a frame; as a sum, where channels are apart."""
        heard = x.unfold(-1, self.kernel.span, self.kernel.stride)[..., :: self.kernel.dilation]
        if self.groups > 1:
            y = (heard * self.weight).sum(-1)
            return y if self.bias is None else y + self.bias[:, None]
        return F.linear(heard.transpose(1, 2).flatten(2), self.weight.flatten(1), self.bias).transpose(1, 2)


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
        few = 8 * x.shape[0] * x.shape[-1] <= self.in_channels
        if few and k.size % k.stride == 0 and self.groups == k.dilation == 1 and not _exporting():
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


def _exporting() -> bool:
    """Exported graphs keep their convolutions."""
    return torch.compiler.is_compiling() or torch.onnx.is_in_onnx_export()
