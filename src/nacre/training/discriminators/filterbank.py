"""Discriminators that look at the bands of a filter bank, one by one (HILCodec) or side by side (Avocodo).

Periods (HiFi-GAN) fold the spectrum over itself, for they drop samples; a filter bank keeps the bands apart.
Letters in shapes: `B` batch, `T` samples, `M` bands.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import InputError
from ...nn.spectral import PQMFAnalysis
from .family import Discriminator, DiscriminatorOutput, Stack, normed, same


class _Bands(nn.Module):
    """`[B, 1, T] -> [B, M, ceil(T / M)]` in float32; one band is the wave itself."""

    def __init__(self, bands: int, taps: int, beta: float) -> None:
        super().__init__()
        self.analysis = PQMFAnalysis(bands, taps, beta, centred=True) if bands > 1 else nn.Identity()

    def forward(self, wave: Tensor) -> Tensor:
        with torch.autocast(wave.device.type, enabled=False):
            bands: Tensor = self.analysis(wave.float())
        return bands


@dataclass(frozen=True)
class MultiFilterBankConfig:
    """The filter banks by their number of bands, and the layers over each."""

    bands: tuple[int, ...] = (1, 2, 3, 5, 7, 11)
    taps: int = 256
    beta: float = 8.0
    channels: tuple[int, ...] = (32, 128, 512, 1024, 1024)
    kernel: int = 5
    stride: int = 3  # of all layers but the last
    slope: float = 0.1


class MultiFilterBank(Discriminator):
    """Filter banks of 1 to 11 bands, each band through the same layers over time.

    Ahn et al. 2024 (HILCodec, arXiv 2405.04752). `MultiPeriod` with bands in the place of the samples of a period.
    """

    def __init__(self, config: MultiFilterBankConfig | None = None) -> None:
        super().__init__()
        config = config or MultiFilterBankConfig()
        self.banks = nn.ModuleList(_Bands(bands, config.taps, config.beta) for bands in config.bands)
        self.stacks = nn.ModuleList(_bank_stack(config) for _ in config.bands)

    def forward(self, wave: Tensor) -> list[DiscriminatorOutput]:
        return [stack(bank(wave)[:, None]) for bank, stack in zip(self.banks, self.stacks, strict=True)]


def _bank_stack(config: MultiFilterBankConfig) -> Stack:
    layers, inputs, final = [], 1, len(config.channels) - 1
    for i, outputs in enumerate(config.channels):
        stride = config.stride if i < final else 1
        layers.append(normed(nn.Conv2d(inputs, outputs, (1, config.kernel), (1, stride), (0, same(config.kernel)))))
        inputs = outputs
    return Stack(layers, normed(nn.Conv2d(inputs, 1, (1, 3), padding=(0, 1))), config.slope)


@dataclass(frozen=True)
class SubBandConfig:
    """One filter bank, the ranges of its bands that are looked at together, and the layers over each range."""

    bands: int = 16
    taps: int = 256
    beta: float = 10.0
    ranges: tuple[tuple[int, int], ...] = ((0, 6), (0, 11), (0, 16))  # first band, and the one after the last
    channels: tuple[int, ...] = (64, 128, 256, 256, 256)
    strides: tuple[int, ...] = (1, 1, 3, 3, 1)
    kernels: tuple[int, ...] = (7, 5, 3)  # one a range
    dilations: tuple[tuple[int, ...], ...] = ((5, 7, 11), (3, 5, 7), (1, 2, 3))  # side by side in each layer of a range
    slope: float = 0.2

    def __post_init__(self) -> None:
        if not all(0 <= first < last <= self.bands for first, last in self.ranges):
            raise InputError(f"expected ranges within {self.bands} bands, got {self.ranges}")


class SubBand(Discriminator):
    """Low, middle and all bands of one filter bank, as channels of layers with several dilations at once.

    Bak et al. 2022 (Avocodo, arXiv 2206.13404), without its fourth part, whose layers go over frequency and fix the
    length of the crops.
    """

    def __init__(self, config: SubBandConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or SubBandConfig()
        self.bank = _Bands(config.bands, config.taps, config.beta)
        figures = zip(config.ranges, config.kernels, config.dilations, strict=True)
        self.stacks = nn.ModuleList(
            self._stack(last - first, kernel, dilations) for (first, last), kernel, dilations in figures
        )

    def _stack(self, inputs: int, kernel: int, dilations: tuple[int, ...]) -> Stack:
        config, layers = self.config, []
        for outputs, stride in zip(config.channels, config.strides, strict=True):
            layers.append(_MultiDilated((inputs, outputs, kernel), stride, dilations, config.slope))
            inputs = outputs
        return Stack(layers, normed(nn.Conv1d(inputs, 1, 3, padding=1)), config.slope)

    def forward(self, wave: Tensor) -> list[DiscriminatorOutput]:
        bands = self.bank(wave)
        pairs = zip(self.config.ranges, self.stacks, strict=True)
        return [stack(bands[:, first:last]) for (first, last), stack in pairs]


class _MultiDilated(nn.Module):
    """Convolutions of several dilations side by side, added up, and one more that takes the stride."""

    def __init__(self, shape: tuple[int, int, int], stride: int, dilations: tuple[int, ...], slope: float) -> None:
        super().__init__()
        inputs, outputs, kernel = shape
        self.slope = slope
        self.sides = nn.ModuleList(
            normed(nn.Conv1d(inputs, outputs, kernel, padding=same(kernel, dilation), dilation=dilation))
            for dilation in dilations
        )
        self.joined = normed(nn.Conv1d(outputs, outputs, 3, stride, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        heard = torch.stack([F.leaky_relu(side(x), self.slope) for side in self.sides]).sum(0)
        joined: Tensor = self.joined(heard)
        return joined
