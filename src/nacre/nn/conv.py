"""Convolutions that run whole or in chunks from one `forward(x, state=None)`.

Letters in shapes: `B` batch, `C` channels, `T` positions in, `F` frames.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import InputError
from .padding import Kernel, Pad, spread, windows
from .state import State
from .weight_norm import accept_both_spellings


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
        return super().forward(x)


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
        return F.conv_transpose1d(x, self.weight, self.bias, k.stride, groups=self.groups, dilation=k.dilation)

    def forward(self, x: Tensor, state: State | None = None) -> Tensor:  # type: ignore[override]
        x, due = spread(self, x, state, self.kernel, self.pad)
        if not x.shape[-1]:
            return x.new_zeros(x.shape[0], self.out_channels, 0)
        return self.overlap(x)[..., due]
