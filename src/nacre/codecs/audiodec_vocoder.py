"""AudioDec's vocoders: causal HiFi-GAN generators that make sound of the latents an encoder left.

Kong et al. 2020 (HiFi-GAN, arXiv 2010.05646), made causal by Wu et al. 2023 (AudioDec). A vocoder hears latents of mean
nought and scale one, feature by feature; `audiodec_statistics.py` measures what to take off them.

Letters in shapes: `B` batch, `C` channels, `D` features, `T` samples, `F` frames.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..nn.blocks import Chain, Mean, Residual
from ..nn.conv import CausalConv1d, ConvTranspose1d
from ..nn.padding import Kernel
from ..nn.weight_norm import normalise

KERNEL = 7  # of the first and the last convolution
SLOPE, LAST_SLOPE = 0.1, 0.01  # of the leaky ReLUs inside, and of the one before the last convolution


@dataclass(frozen=True)
class GeneratorConfig:
    """Sizes of a vocoder. The defaults are AudioDec's v1."""

    kernels: tuple[int, ...] = (11,)  # of the residual blocks of a stage; more than one stand side by side
    groups: int = 3  # copies of the channels, on which one block works apart at once
    dilations: tuple[int, ...] = (1, 3, 5)  # of the residual units of a block
    width: int = 512  # next to the latents; halved by every stage

    def __post_init__(self) -> None:
        if not self.kernels or (self.groups > 1 and len(self.kernels) > 1):
            raise InputError(f"a stage has several kernels or one in several groups, got {self}")


class Generator(Chain):
    """Latents `[B, D, F]` to samples `[B, 1, F * hop]`; `scales` are the strides, the first next to the latents."""

    def __init__(self, config: GeneratorConfig, latent: int, scales: tuple[int, ...]) -> None:
        super().__init__(Standard(latent), *_layers(config, latent, scales))
        normalise(self)

    @property
    def standard(self) -> Standard:
        """The first layer: what is taken off the latents."""
        layer = self[0]
        assert isinstance(layer, Standard)
        return layer


class Standard(nn.Module):
    """`[B, D, F]` less a mean, over a scale, feature by feature; both are measured, not learnt."""

    mean: Tensor  # [D]
    scale: Tensor  # [D]

    def __init__(self, features: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("scale", torch.ones(features))

    def forward(self, z: Tensor) -> Tensor:
        """Standardise."""
        return (z - self.mean[:, None]) / self.scale[:, None]


class Copies(nn.Module):
    """`[B, C, T] -> [B, count * C, T]`: all channels, so many times over."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count

    def forward(self, x: Tensor) -> Tensor:
        """Repeat."""
        return x.repeat(1, self.count, 1)


def _layers(config: GeneratorConfig, latent: int, scales: tuple[int, ...]) -> Iterator[nn.Module]:
    width = config.width
    yield CausalConv1d(latent, width, KERNEL)
    for scale in scales:
        yield nn.LeakyReLU(SLOPE)
        yield ConvTranspose1d(width, width // 2, Kernel(2 * scale, scale), "replicate")
        width //= 2
        yield _fusion(config, width)
    yield nn.LeakyReLU(LAST_SLOPE)
    yield CausalConv1d(width, 1, KERNEL)
    yield nn.Tanh()


def _fusion(config: GeneratorConfig, width: int) -> nn.Module:
    """One block on copies of the channels, mixed again; or several blocks of different kernels, averaged."""
    if config.groups == 1:
        return Mean([Chain(*_block(config, width, kernel)) for kernel in config.kernels])
    wide = width * config.groups
    mix = CausalConv1d(wide, width, 1, bias=False)
    return Chain(Copies(config.groups), *_block(config, wide, config.kernels[0]), mix)


def _block(config: GeneratorConfig, width: int, kernel: int) -> Iterator[Residual]:
    for dilation in config.dilations:
        yield Residual(
            Chain(
                nn.LeakyReLU(SLOPE),
                CausalConv1d(width, width, kernel, dilation=dilation, groups=config.groups),
                nn.LeakyReLU(SLOPE),
                CausalConv1d(width, width, kernel, groups=config.groups),
            )
        )
