"""Discriminators that look at complex or magnitude spectra, with kernels over time and frequency.

Letters in shapes: `B` batch, `T` samples, `F` frames, `N` frequency bins.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ...errors import InputError
from ..spectra import Resolution, Spectrum, resolutions
from .family import Discriminator, DiscriminatorOutput, Norm, Stack, normed, same


@dataclass(frozen=True)
class MultiScaleSTFTConfig:
    """One spectrum a window, and the layers over each."""

    windows: tuple[int, ...] = (2048, 1024, 512, 256, 128)  # samples
    hops: tuple[int, ...] = ()  # samples; a quarter of the window unless told
    n_ffts: tuple[int, ...] = ()  # points; the window unless told
    channels: int = 32
    growth: int = 1  # each strided layer but the first has so many times more channels
    max_channels: int = 1024
    dilations: tuple[int, ...] = (1, 2, 4)  # over time, of the layers that halve the frequencies
    slope: float = 0.2
    magnitude: bool = False  # one channel of sizes instead of real and imaginary parts
    long_in_time: bool = False  # kernels and strides are long over time instead of over frequency
    first_norm: Norm = "weight"  # of the first layer; "none" is what EnCodec's package does without saying so


MULTI_SCALE_STFT: dict[str, MultiScaleSTFTConfig] = {
    # Défossez et al. 2022 (arXiv 2210.13438); its package leaves the first layer without norm
    "encodec": MultiScaleSTFTConfig(first_norm="none"),
    "encodec-48k": MultiScaleSTFTConfig((4096, 2048, 1024, 512, 256), first_norm="none"),
    # Ahn et al. 2024 (arXiv 2405.04752)
    "hilcodec": MultiScaleSTFTConfig((128, 256, 512, 1024), channels=16, growth=2),
    # Jang et al. 2021 (UnivNet, arXiv 2106.07889)
    "univnet": MultiScaleSTFTConfig(
        (600, 1200, 240),
        (120, 240, 50),
        (1024, 2048, 512),
        dilations=(1, 1, 1),
        magnitude=True,
        long_in_time=True,
    ),
}


class MultiScaleSTFT(Discriminator):
    """Spectra at several resolutions, each through its own stack of 2-D convolutions (EnCodec; UnivNet as preset)."""

    def __init__(self, config: MultiScaleSTFTConfig | None = None) -> None:
        super().__init__()
        config = config or MultiScaleSTFTConfig()
        self.magnitude, self.long_in_time = config.magnitude, config.long_in_time
        scales = resolutions(config.windows, config.hops, config.n_ffts)
        self.spectra = nn.ModuleList(Spectrum(scale, padding="none", normalised=True) for scale in scales)
        self.stacks = nn.ModuleList(_stft_stack(config) for _ in scales)

    def forward(self, wave: Tensor) -> list[DiscriminatorOutput]:
        pairs = zip(self.spectra, self.stacks, strict=True)
        return [stack(self._picture(spectrum(wave))) for spectrum, stack in pairs]

    def _picture(self, spectrum: Tensor) -> Tensor:
        """`[B, N, F]` as `[B, 1 or 2, F, N]`, or with frames last where kernels are long in time."""
        parts = [spectrum.abs()] if self.magnitude else [spectrum.real, spectrum.imag]
        picture = torch.stack(parts, dim=1)
        return picture if self.long_in_time else picture.transpose(2, 3).contiguous()


def _stft_stack(config: MultiScaleSTFTConfig) -> Stack:
    channels = config.channels
    layers = [_conv(1 if config.magnitude else 2, channels, (3, 9), norm=config.first_norm)]
    for i, dilation in enumerate(config.dilations):
        wider = min(config.channels * config.growth**i, config.max_channels)
        layers.append(_conv(channels, wider, (3, 9), stride=2, dilation=dilation))
        channels = wider
    wider = min(config.channels * config.growth ** len(config.dilations), config.max_channels)
    layers.append(_conv(channels, wider, (3, 3)))
    return Stack(layers, _conv(wider, 1, (3, 3)), config.slope)


@dataclass(frozen=True)
class ResidualSTFTConfig:
    """One spectrum, and the units that shrink it."""

    window: int = 1024  # samples
    hop: int = 256
    channels: int = 32
    growth: tuple[int, ...] = (2, 2, 1, 2, 1, 2)  # channels of each unit over those before it
    time_strides: tuple[int, ...] = (1, 2, 1, 2, 1, 2)  # of each unit; over frequency all take 2
    slope: float = 0.3


class ResidualSTFT(Discriminator):
    """One complex spectrum through residual units that halve it over frequency, and every second one over time.

    Zeghidour et al. 2021 (SoundStream, arXiv 2107.03312, figure 5). Weight norm and the slope are ours: the paper
    names none.
    """

    def __init__(self, config: ResidualSTFTConfig | None = None) -> None:
        super().__init__()
        config = config or ResidualSTFTConfig()
        self.spectrum = Spectrum(Resolution(config.window, config.hop, config.window), padding="none", normalised=True)
        width, bins = config.channels, config.window // 2
        layers: list[nn.Module] = [normed(nn.Conv2d(2, width, 7, padding=3))]
        for growth, stride in zip(config.growth, config.time_strides, strict=True):
            layers.append(_ResidualUnit(width, growth * width, stride, config.slope))
            width, bins = growth * width, bins // 2
        self.stack = Stack(layers, normed(nn.Conv2d(width, 1, (1, bins))), config.slope)

    def forward(self, wave: Tensor) -> list[DiscriminatorOutput]:
        spectrum = self.spectrum(wave)[:, :-1]  # without the highest bin, so that halves are whole
        return [self.stack(torch.stack([spectrum.real, spectrum.imag], dim=1).transpose(2, 3).contiguous())]


class _ResidualUnit(nn.Module):
    """Two convolutions, the second one strided, beside a strided one of size 1."""

    def __init__(self, width: int, to: int, stride: int, slope: float) -> None:
        super().__init__()
        self.slope = slope
        self.inside = normed(nn.Conv2d(width, width, 3, padding=1))
        self.down = normed(nn.Conv2d(width, to, (stride + 2, 4), (stride, 2), padding=1))
        self.skip = normed(nn.Conv2d(width, to, 1, (stride, 2)))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.down(torch.nn.functional.leaky_relu(self.inside(x), self.slope))
        beside: Tensor = self.skip(x)
        frames = min(y.shape[2], beside.shape[2])  # an odd number of frames leaves the skip one more
        return y[:, :, :frames] + beside[:, :, :frames]


@dataclass(frozen=True)
class MultiResolutionConfig:
    """One spectrum a window, and the bands that it is cut into, as parts of the bins from first to last."""

    windows: tuple[int, ...] = (2048, 1024, 512)  # samples; the hop is a quarter
    channels: int = 32
    bands: tuple[float, ...] = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)  # edges
    slope: float = 0.1


class MultiBandMultiResolution(Discriminator):
    """Complex spectra cut into bands with layers of their own, joined for the logits.

    Kumar et al. 2023 (DAC, arXiv 2306.06546): the layers of a band need not suit the others, which sharpens the treble.
    """

    def __init__(self, config: MultiResolutionConfig | None = None) -> None:
        super().__init__()
        config = config or MultiResolutionConfig()
        self.scales = nn.ModuleList(_MultiBand(scale, config) for scale in resolutions(config.windows))

    def forward(self, wave: Tensor) -> list[DiscriminatorOutput]:
        return [scale(wave) for scale in self.scales]


class _MultiBand(nn.Module):
    """One resolution of `MultiBandMultiResolution`."""

    def __init__(self, scale: Resolution, config: MultiResolutionConfig) -> None:
        super().__init__()
        self.spectrum = Spectrum(scale, padding="hops")
        self.edges = _edges(config.bands, scale.bins)
        self.stacks = nn.ModuleList(self._band(config) for _ in self.edges[1:])
        self.last = _conv(config.channels, 1, (3, 3))

    def _band(self, config: MultiResolutionConfig) -> Stack:
        first = _conv(2, config.channels, (3, 9))
        strided = [_conv(config.channels, config.channels, (3, 9), stride=2) for _ in range(3)]
        return Stack([first, *strided, _conv(config.channels, config.channels, (3, 3))], nn.Identity(), config.slope)

    def forward(self, wave: Tensor) -> DiscriminatorOutput:
        spectrum = self.spectrum(wave)
        picture = torch.stack([spectrum.real, spectrum.imag], dim=1).transpose(2, 3)  # [B, 2, F, N]
        sizes = [last - first for first, last in itertools.pairwise(self.edges)]
        bands = torch.split(picture, sizes, dim=3)
        parts = [stack(band.contiguous()) for stack, band in zip(self.stacks, bands, strict=True)]
        logits = self.last(torch.cat([part.logits for part in parts], dim=3))
        return DiscriminatorOutput(logits, tuple(feature for part in parts for feature in part.features))


@dataclass(frozen=True)
class FrameRateConfig:
    """One spectrum a window, and the two kinds of layers over each."""

    windows: tuple[int, ...] = (2048, 1024, 512)  # samples; the hop is a quarter
    channels: tuple[int, ...] = (8, 16)  # of the layers over frequency, each of which keeps a quarter of the places
    width: int = 128  # of the layers over time alone
    layers: int = 3
    slope: float = 0.2
    floor: float = 1e-3  # magnitudes are not told apart below


class FrameRateSTFT(Discriminator):
    """Log-magnitudes through two strided layers over frequency, then layers at the frame rate that see all of it.

    Ours, for computers without a GPU: nearly all of it are matrix products of a few hundred rows a second, a tenth of
    what EnCodec's discriminators take. It judges magnitudes only; phases are left to the other losses.
    """

    def __init__(self, config: FrameRateConfig | None = None) -> None:
        super().__init__()
        config = config or FrameRateConfig()
        self.scales = nn.ModuleList(_FrameRate(scale, config) for scale in resolutions(config.windows))

    def forward(self, wave: Tensor) -> list[DiscriminatorOutput]:
        return [scale(wave) for scale in self.scales]


class _FrameRate(nn.Module):
    """One resolution of `FrameRateSTFT`."""

    def __init__(self, scale: Resolution, config: FrameRateConfig) -> None:
        super().__init__()
        self.spectrum = Spectrum(scale, padding="none", normalised=True)
        self.slope, self.floor = config.slope, config.floor
        sizes = [1, *config.channels]
        self.local = nn.ModuleList(
            normed(nn.Conv2d(fewer, more, (3, 9), (1, 4), (1, 4))) for fewer, more in itertools.pairwise(sizes)
        )
        places = scale.bins
        for _ in config.channels:
            places = (places + 3) // 4
        widths = [config.channels[-1] * places, *[config.width] * config.layers]
        over_time = [normed(nn.Conv1d(a, b, 3, padding=1)) for a, b in itertools.pairwise(widths)]
        self.stack = Stack(over_time, normed(nn.Conv1d(config.width, 1, 3, padding=1)), config.slope)

    def forward(self, wave: Tensor) -> DiscriminatorOutput:
        picture = self.spectrum(wave).abs().clamp_min(self.floor).log().transpose(1, 2).unsqueeze(1)  # [B, 1, F, N]
        features = []
        for layer in self.local:
            picture = torch.nn.functional.leaky_relu(layer(picture), self.slope)
            features.append(picture)
        out: DiscriminatorOutput = self.stack(picture.transpose(2, 3).flatten(1, 2))  # [B, C * N, F]
        return DiscriminatorOutput(out.logits, (*features, *out.features))


def _edges(bands: Sequence[float], bins: int) -> list[int]:
    edges = [int(part * bins) for part in bands]
    if len(edges) < 2 or edges[0] != 0 or edges[-1] != bins or sorted(set(edges)) != edges:
        raise InputError(f"expected band edges that rise from 0 to 1, at least a bin each of {bins}, got {[*bands]}")
    return edges


def _conv(
    inputs: int, outputs: int, kernel: tuple[int, int], stride: int = 1, dilation: int = 1, norm: Norm = "weight"
) -> nn.Conv2d:
    """Strides go over the second axis, dilations over the first."""
    padding = (same(kernel[0], dilation), same(kernel[1]))
    layer = nn.Conv2d(inputs, outputs, kernel, (1, stride), padding, (dilation, 1))
    return normed(layer, norm)
