"""SEANet: the convolutional encoder and decoder that SoundStream, EnCodec and their descendants share.

Tagliasacchi et al. 2020 (arXiv 2009.02095), as EnCodec has it (Défossez et al. 2022, arXiv 2210.13438). Layers
stand in the order of EnCodec's `model` lists, so weights find their place by number.

Letters in shapes: `B` batch, `C` channels, `D` features, `T` samples, `F` frames.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from ..errors import InputError
from .blocks import Chain, Residual
from .conv import Conv1d, ConvTranspose1d
from .norms import TimeGroupNorm
from .padding import Kernel, Pad
from .recurrent import SkipLSTM
from .state import State
from .weight_norm import normalise


@dataclass(frozen=True)
class SEANetConfig:
    """Sizes of one side of a SEANet. The defaults are EnCodec at 24 kHz."""

    channels: int = 1
    dim: int = 128  # features of a latent frame
    filters: int = 32  # width next to the samples; doubled by every stage
    strides: tuple[int, ...] = (2, 4, 5, 8)  # in the encoder's order
    kernel: int = 7  # of the first convolution
    last_kernel: int = 7
    unit_kernel: int = 3
    dilations: tuple[tuple[int, ...], ...] = ((1,),) * 4  # one residual unit each, a stage each, in the order they run
    compress: int = 2  # residual units are narrower inside by this
    identity_skip: bool = False  # else the skip is a 1x1 convolution
    lstm: int = 2  # layers; 0 for none
    causal: bool = True
    pad: Pad = "reflect"
    norm: Literal["weight", "time-group", "none"] = "weight"

    def __post_init__(self) -> None:
        if self.norm == "time-group" and self.causal:
            raise InputError("a norm over the whole time hears the future; choose another norm, or causal=False")
        if len(self.dilations) != len(self.strides):
            raise InputError(
                f"expected dilations for each of {len(self.strides)} strides, got {len(self.dilations)} sets of them"
            )

    @property
    def hop(self) -> int:
        """Samples a frame."""
        return math.prod(self.strides)

    @property
    def widest(self) -> int:
        """Width next to the latents."""
        return self.filters << len(self.strides)

    def window(self, size: int, stride: int = 1, dilation: int = 1) -> Kernel:
        """A kernel that hears the past only, or both sides."""
        kernel = Kernel(size, stride, dilation)
        return kernel if self.causal else kernel.centred()


class SEANetEncoder(Chain):
    """`[B, C, T] -> [B, D, ceil(T / hop)]`."""

    def __init__(self, config: SEANetConfig) -> None:
        super().__init__(*_encoder(config))
        if config.norm == "weight":
            normalise(self)


class SEANetDecoder(Chain):
    """`[B, D, F] -> [B, C, F * hop]`; no activation at the end."""

    def __init__(self, config: SEANetConfig) -> None:
        super().__init__(*_decoder(config))
        if config.norm == "weight":
            normalise(self)


def residual_unit(config: SEANetConfig, width: int, dilation: int) -> Residual:
    """ELU, dilated convolution to a narrower width, ELU, 1x1 convolution back; added to the skip."""
    inside = width // config.compress
    body = Chain(
        nn.ELU(),
        _conv(config, width, inside, config.window(config.unit_kernel, dilation=dilation)),
        nn.ELU(),
        _conv(config, inside, width, config.window(1)),
    )
    return Residual(body, None if config.identity_skip else _conv(config, width, width, config.window(1)))


def _encoder(config: SEANetConfig) -> Iterator[nn.Module]:
    width = config.filters
    yield _conv(config, config.channels, width, config.window(config.kernel))
    for stride, dilations in zip(config.strides, config.dilations, strict=True):
        yield from (residual_unit(config, width, dilation) for dilation in dilations)
        yield nn.ELU()
        yield _conv(config, width, 2 * width, config.window(2 * stride, stride))
        width *= 2
    if config.lstm:
        yield SkipLSTM(width, config.lstm)
    yield nn.ELU()
    yield _conv(config, width, config.dim, config.window(config.last_kernel))


def _decoder(config: SEANetConfig) -> Iterator[nn.Module]:
    width = config.widest
    yield _conv(config, config.dim, width, config.window(config.kernel))
    if config.lstm:
        yield SkipLSTM(width, config.lstm)
    for stride, dilations in zip(reversed(config.strides), config.dilations, strict=True):
        yield nn.ELU()
        transposed = _NormedTranspose1d if config.norm == "time-group" else ConvTranspose1d
        yield transposed(width, width // 2, config.window(2 * stride, stride))
        width //= 2
        yield from (residual_unit(config, width, dilation) for dilation in dilations)
    yield nn.ELU()
    yield _conv(config, width, config.channels, config.window(config.last_kernel))


def _conv(config: SEANetConfig, c_in: int, c_out: int, kernel: Kernel) -> nn.Module:
    return (_NormedConv1d if config.norm == "time-group" else Conv1d)(c_in, c_out, kernel, config.pad)


class _NormedConv1d(Conv1d):
    def __init__(self, c_in: int, c_out: int, kernel: Kernel, pad: Pad) -> None:
        super().__init__(c_in, c_out, kernel, pad)
        self.norm = TimeGroupNorm(c_out)

    def forward(self, x: Tensor, state: State | None = None) -> Tensor:
        y: Tensor = self.norm(super().forward(x, state), state)
        return y


class _NormedTranspose1d(ConvTranspose1d):
    """EnCodec normalises before it cuts, so what is cut counts in the mean too."""

    def __init__(self, c_in: int, c_out: int, kernel: Kernel) -> None:
        super().__init__(c_in, c_out, kernel)
        self.norm = TimeGroupNorm(c_out)

    def overlap(self, x: Tensor) -> Tensor:
        y: Tensor = self.norm(super().overlap(x))
        return y
