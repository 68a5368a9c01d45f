"""Discriminators that look at samples: folded by periods (HiFi-GAN), or pooled to lower rates (MelGAN).

Letters in shapes: `B` batch, `T` samples, `P` samples of a period.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import InputError
from .family import Discriminator, DiscriminatorOutput, Norm, Stack, normed, same


@dataclass(frozen=True)
class MultiPeriodConfig:
    """The periods, and the layers over each. Strides but the last are equal."""

    periods: tuple[int, ...] = (2, 3, 5, 7, 11)  # samples
    channels: tuple[int, ...] = (32, 128, 512, 1024, 1024)
    kernel: int = 5
    stride: int = 3  # of all layers but the last
    last_kernel: int = 3
    slope: float = 0.1
    norm: Norm = "weight"
    always_pad: bool = False  # mirror a whole period where none is missing (DAC)


MULTI_PERIOD: dict[str, MultiPeriodConfig] = {
    # Kong et al. 2020 (arXiv 2010.05646); HiFi-Codec
    "hifigan": MultiPeriodConfig(),
    # Kumar et al. 2023 (arXiv 2306.06546)
    "dac": MultiPeriodConfig(always_pad=True),
    # Wu et al. 2023 (arXiv 2305.16608)
    "audiodec": MultiPeriodConfig(last_kernel=2),
    # the thin ones of AcademiCodec, whose norm is never applied
    "academicodec": MultiPeriodConfig(channels=(32,) * 5, slope=0.2, norm="none"),
}


class MultiPeriod(Discriminator):
    """Waves folded to `[B, 1, T / P, P]`, with kernels along the columns, so that each sees every P-th sample."""

    def __init__(self, config: MultiPeriodConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or MultiPeriodConfig()
        self.stacks = nn.ModuleList(self._stack(config) for _ in config.periods)

    def _stack(self, config: MultiPeriodConfig) -> Stack:
        layers, inputs, final = [], 1, len(config.channels) - 1
        for i, outputs in enumerate(config.channels):
            stride = config.stride if i < final else 1
            layers.append(self._conv(inputs, outputs, config.kernel, stride))
            inputs = outputs
        return Stack(layers, self._conv(inputs, 1, config.last_kernel), config.slope)

    def _conv(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Conv2d:
        layer = nn.Conv2d(inputs, outputs, (kernel, 1), (stride, 1), (same(kernel), 0))
        return normed(layer, self.config.norm)

    def forward(self, wave: Tensor) -> list[DiscriminatorOutput]:
        pairs = zip(self.config.periods, self.stacks, strict=True)
        return [stack(fold(wave, period, self.config.always_pad)) for period, stack in pairs]


def fold(wave: Tensor, period: int, always_pad: bool = False) -> Tensor:
    """`[B, 1, T] -> [B, 1, ceil(T / P), P]`, the end mirrored to fill the last row; `always_pad` may add a row."""
    missing = period - wave.shape[-1] % period if always_pad else -wave.shape[-1] % period
    if missing:
        if wave.shape[-1] <= missing:
            raise InputError(
                f"a period of {period} needs more than {missing} samples, got {wave.shape[-1]}; use longer crops"
            )
        wave = F.pad(wave, (0, missing), "reflect")
    return wave.reshape(wave.shape[0], 1, -1, period)


@dataclass(frozen=True)
class MultiScaleConfig:
    """The scales, each at half the rate of the one before, and the layers over each, one figure a layer."""

    channels: tuple[int, ...] = (128, 128, 256, 512, 1024, 1024, 1024)
    kernels: tuple[int, ...] = (15, 41, 41, 41, 41, 41, 5)
    strides: tuple[int, ...] = (1, 2, 2, 4, 4, 1, 1)
    groups: tuple[int, ...] = (1, 4, 16, 16, 16, 16, 1)
    norms: tuple[Norm, ...] = ("spectral", "weight", "weight")  # one a scale
    pool_padding: int = 2  # of the pooling between scales, over 4 samples every 2
    pool_counts_padding: bool = True  # the zeros of the padding are averaged too; MelGAN leaves them out
    start: Literal["zero", "reflect", "none"] = "zero"  # padding of the first layer
    slope: float = 0.1


_MELGAN = MultiScaleConfig(
    channels=(16, 64, 256, 1024, 1024, 1024),
    kernels=(15, 41, 41, 41, 41, 5),
    strides=(1, 4, 4, 4, 4, 1),
    groups=(1, 4, 16, 64, 256, 1),
    norms=("weight",) * 3,
    pool_padding=1,
    pool_counts_padding=False,
    start="reflect",
    slope=0.2,
)

MULTI_SCALE: dict[str, MultiScaleConfig] = {
    # Kumar et al. 2019 (arXiv 1910.06711); SoundStream
    "melgan": _MELGAN,
    # the 2023 student project, which leaves the first layer without padding
    "nac2023": replace(_MELGAN, start="none"),
    # Kong et al. 2020 (arXiv 2010.05646); HiFi-Codec
    "hifigan": MultiScaleConfig(),
    # Wu et al. 2023 (arXiv 2305.16608), whose norms are asked for but never applied
    "audiodec": MultiScaleConfig(strides=(1, 4, 4, 4, 4, 1, 1), norms=("none",) * 3),
    # the thin one of AcademiCodec
    "academicodec": MultiScaleConfig(channels=(32,) * 7, norms=("none",) * 3, slope=0.2),
}


class MultiScale(Discriminator):
    """Waves at the full rate, a half, a quarter ..., through grouped 1-D convolutions with long kernels."""

    def __init__(self, config: MultiScaleConfig | None = None) -> None:
        super().__init__()
        config = config or MultiScaleConfig()
        self.pool = nn.AvgPool1d(4, 2, config.pool_padding, count_include_pad=config.pool_counts_padding)
        self.stacks = nn.ModuleList(_scale_stack(config, norm) for norm in config.norms)

    def forward(self, wave: Tensor) -> list[DiscriminatorOutput]:
        outputs = []
        for stack in self.stacks:
            outputs.append(stack(wave))
            wave = self.pool(wave)
        return outputs


def _scale_stack(config: MultiScaleConfig, norm: Norm) -> Stack:
    figures = zip(config.channels, config.kernels, config.strides, config.groups, strict=True)
    layers: list[nn.Module] = []
    inputs = 1
    for outputs, kernel, stride, groups in figures:
        padding = same(kernel) if layers or config.start == "zero" else 0
        layer: nn.Module = normed(nn.Conv1d(inputs, outputs, kernel, stride, padding, groups=groups), norm)
        if not layers and config.start == "reflect":
            layer = nn.Sequential(nn.ReflectionPad1d(same(kernel)), layer)
        layers.append(layer)
        inputs = outputs
    return Stack(layers, normed(nn.Conv1d(inputs, 1, 3, padding=1), norm), config.slope)
