"""How far an output is from its target: mel bands, spectra, phase and samples.

What a listener makes of the distance is in `hearing.py`, what discriminators think of the output in `adversarial.py`.

Every loss is a module that takes a `Pair` and returns a scalar that is zero (`LogSNRLoss` and `SISDRLoss`: least)
when the two are equal. Losses handed the same `Pair` share its spectra.

Letters in shapes: `B` batch, `C` channels, `T` samples, `F` frames, `N` frequency bins, `M` mel bands.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import InputError
from ..nn.spectral import MelScale, mel_filters
from .spectra import Pair, Resolution, Spectrum, resolutions


class PairLoss(nn.Module, ABC):
    """A loss between the two waves of a `Pair`, always in float32."""

    def forward(self, pair: Pair) -> Tensor:
        """The scalar loss of `pair`."""
        with torch.autocast(pair.output.device.type, enabled=False):
            return self.measure(pair)

    @abstractmethod
    def measure(self, pair: Pair) -> Tensor:
        """The same, without the care for autocast."""


@dataclass(frozen=True)
class MelLossConfig:
    """Which mel bands to compare, and how: the settings in which published codecs differ.

    The loss of a window is `linear * L1(mels) + log_l1 * L1(log mels) + log_l2 * L2(log mels)`, L2 being the mean
    square; windows are added up.
    """

    windows: tuple[int, ...] = (32, 64, 128, 256, 512, 1024, 2048)  # samples
    mels: tuple[int, ...] = (5, 10, 20, 40, 80, 160, 320)  # bands, a figure a window or one for all
    hops: tuple[int, ...] = ()  # samples; a quarter of the window unless told
    n_ffts: tuple[int, ...] = ()  # points; the window unless told
    shares: tuple[float, ...] = ()  # what each window counts; all alike unless told
    linear: float = 0.0
    log_l1: float = 1.0
    log_l2: float = 0.0
    rising: bool = False  # weigh log_l2 by sqrt(window / 2), as SoundStream does
    power: Literal[1, 2] = 1  # 1 sums magnitudes, 2 energies
    base: float = 10.0  # of the logarithm
    floor: float = 1e-5  # the least value that the logarithm sees
    straight_through: bool = False  # bands under the floor keep a gradient (HILCodec), else they have none
    normalised: bool = False  # spectra divided by the norm of their window (EnCodec)
    scale: Literal["htk", "slaney"] = "slaney"
    equal_area: bool = True  # else every band peaks at one
    high: float | None = None  # Hz; half the sample rate unless told


_SEVEN = (32, 64, 128, 256, 512, 1024, 2048)
_SIX = (64, 128, 256, 512, 1024, 2048)

MEL_LOSSES: dict[str, MelLossConfig] = {
    # Kumar et al. 2023 (arXiv 2306.06546)
    "dac": MelLossConfig(),
    # Défossez et al. 2022 (arXiv 2210.13438)
    "encodec": MelLossConfig(
        _SEVEN, (64,), linear=1, log_l1=0, log_l2=1, normalised=True, scale="htk", equal_area=False
    ),
    # Zeghidour et al. 2021 (arXiv 2107.03312), with the short transforms lengthened as in AcademiCodec
    "soundstream": MelLossConfig(
        _SIX,
        (64,),
        n_ffts=(512, 512, 512, 512, 1024, 2048),
        linear=1,
        log_l1=0,
        log_l2=1,
        rising=True,
        base=math.e,
        scale="htk",
        equal_area=False,
    ),
    # Ahn et al. 2024 (arXiv 2405.04752), band counts for 24 kHz
    "hilcodec": MelLossConfig(
        (32, 64, 128, 256, 512, 1024),
        (6, 12, 23, 45, 88, 128),
        log_l2=1,
        power=2,
        base=math.e,
        straight_through=True,
        scale="htk",
    ),
    # Wu et al. 2023 (arXiv 2305.16608)
    "audiodec": MelLossConfig((2048,), (80,), hops=(300,), base=math.e, floor=1e-10),
    # Kong et al. 2020 (arXiv 2010.05646), and HiFi-Codec after it
    "hifigan": MelLossConfig((1024,), (80,), base=math.e),
}


class MelLoss(PairLoss):
    """Distance between mel spectra at several resolutions; the papers stand beside `MEL_LOSSES`."""

    def __init__(self, sample_rate: int, config: MelLossConfig | None = None) -> None:
        super().__init__()
        config = config or MelLossConfig()
        mels = config.mels * len(config.windows) if len(config.mels) == 1 else config.mels
        scales = resolutions(config.windows, config.hops, config.n_ffts)
        if len(mels) != len(scales):
            raise InputError(
                f"expected one count of mel bands, or one a window, got {len(mels)} for {len(scales)} windows"
            )
        self.shares = config.shares or (1.0,) * len(scales)
        if len(self.shares) != len(scales):
            raise InputError(f"expected a share a window, got {len(self.shares)} for {len(scales)} windows")
        self.scales = nn.ModuleList(
            _MelScaleLoss(scale, bands, sample_rate, config) for scale, bands in zip(scales, mels, strict=True)
        )

    def measure(self, pair: Pair) -> Tensor:
        """The loss, summed over the windows."""
        return torch.stack([share * scale(pair) for share, scale in zip(self.shares, self.scales, strict=True)]).sum()


class _MelScaleLoss(PairLoss):
    """The part of a `MelLoss` that one window gives."""

    def __init__(self, scale: Resolution, bands: int, sample_rate: int, config: MelLossConfig) -> None:
        super().__init__()
        self.config = config
        self.spectrum = Spectrum(scale)
        mel = MelScale(sample_rate, scale.n_fft, scale.hop, bands, high=config.high, scale=config.scale)
        filters = mel_filters(replace(mel, equal_area=config.equal_area))
        if config.normalised:  # here and not in the spectra, so that all losses can share these
            filters = filters / self.spectrum.window.norm() ** config.power
        self.register_buffer("filters", filters, persistent=False)
        self.filters: Tensor  # [M, N]

    def measure(self, pair: Pair) -> Tensor:
        config = self.config
        target, output = (self._bands(size) for size in pair.magnitudes(self.spectrum))
        loss = target.new_zeros(())
        if config.linear:
            loss = loss + config.linear * F.l1_loss(output, target)
        if config.log_l1 or config.log_l2:
            target, output = self._log(target), self._log(output)
        if config.log_l1:
            loss = loss + config.log_l1 * F.l1_loss(output, target)
        if config.log_l2:
            rise = math.sqrt(self.spectrum.resolution.window / 2) if config.rising else 1
            loss = loss + config.log_l2 * rise * F.mse_loss(output, target)
        return loss

    def _bands(self, size: Tensor) -> Tensor:
        """Magnitudes `[B * C, N, F]` to mel bands `[B * C, M, F]`."""
        return torch.matmul(self.filters, size.square() if self.config.power == 2 else size)

    def _log(self, mel: Tensor) -> Tensor:
        held = floor_with_gradient(mel, self.config.floor) if self.config.straight_through else mel
        return held.clamp_min(self.config.floor).log() / math.log(self.config.base)


def floor_with_gradient(x: Tensor, floor: float) -> Tensor:
    """`x` raised to `floor` where it is lower, with the gradient of `x` itself there.

    A plain clamp has none, so a band that the output leaves empty would stay empty (Ahn et al. 2024).
    """
    return torch.where(x < floor, x - x.detach() + floor, x)


class STFTLoss(PairLoss):
    """Spectral convergence plus L1 of log magnitudes, the mean over resolutions.

    Yamamoto et al. 2020 (Parallel WaveGAN, arXiv 1910.11480), with its three resolutions for 24 kHz.
    """

    def __init__(self, scales: Sequence[Resolution] | None = None, convergence: float = 1.0, log: float = 1.0) -> None:
        super().__init__()
        self.convergence, self.log = convergence, log
        scales = scales or resolutions((600, 1200, 240), (120, 240, 50), (1024, 2048, 512))
        self.spectra = nn.ModuleList(Spectrum(scale) for scale in scales)

    def measure(self, pair: Pair) -> Tensor:
        """The loss, the mean over resolutions."""
        return torch.stack([self._distance(*pair.magnitudes(spectrum)) for spectrum in _all(self.spectra)]).mean()

    def _distance(self, target: Tensor, output: Tensor) -> Tensor:
        off: Tensor = torch.linalg.vector_norm(target - output, dim=(1, 2))
        size: Tensor = torch.linalg.vector_norm(target, dim=(1, 2))
        convergence = (off / size.clamp_min(1e-3)).mean()
        log = F.l1_loss(output.clamp_min(1e-5).log(), target.clamp_min(1e-5).log())
        return self.convergence * convergence + self.log * log


class ComplexSTFTLoss(PairLoss):
    """L1 of real and imaginary parts over the target's own, item by item, summed over windows.

    `power` below 1 presses magnitudes together first and leaves phases as they are, so that faint partials count
    beside loud ones (Braun and Tashev 2021, arXiv 2009.12286).

    Unlike losses of magnitudes it knows the phase, without which a waveform measure such as PESQ does not rise with
    the bitrate. Targets fainter than `floor` (mean part of a spectrum; 1e-3 is about -80 dBFS) count as `floor`.
    After the complex spectral losses of speech enhancement (Fu et al. 2017, arXiv 1704.08504).
    """

    def __init__(
        self, windows: Sequence[int] = (256, 640, 1600), floor: float = 1e-3, power: float | None = None
    ) -> None:
        super().__init__()
        self.floor, self.power = floor, power
        self.spectra = nn.ModuleList(Spectrum(scale) for scale in resolutions(windows))

    def measure(self, pair: Pair) -> Tensor:
        """The loss, summed over the windows."""
        return torch.stack([self._distance(*pair.spectra(spectrum)) for spectrum in _all(self.spectra)]).sum()

    def _distance(self, target: Tensor, output: Tensor) -> Tensor:
        target_parts, output_parts = (self._parts(spectrum) for spectrum in (target, output))
        off, size = target.real.new_zeros(len(target)), target.real.new_zeros(len(target))
        for wanted, given in zip(target_parts, output_parts, strict=True):
            off = off + (wanted - given).abs().mean((1, 2))
            size = size + wanted.abs().mean((1, 2))
        return (off / size.clamp_min(2 * self.floor)).mean()

    def _parts(self, spectrum: Tensor) -> tuple[Tensor, Tensor]:
        real, imaginary = torch.view_as_real(spectrum).unbind(-1)
        return (real, imaginary) if self.power is None else pressed(real, imaginary, self.power)


def pressed(real: Tensor, imaginary: Tensor, power: float, floor: float = 1e-3) -> tuple[Tensor, Tensor]:
    """Complex values of the same phase whose magnitude is raised to `power`; linear under `floor` (a power)."""
    size = real.square() + imaginary.square()
    gain = ((size + floor).log() * ((power - 1) / 2)).exp()  # a third of the time that pow takes, both ways
    return real * gain, imaginary * gain


class LogSNRLoss(PairLoss):
    """`log10(error / signal + bound)` of energies, item by item: minus the signal-to-noise ratio in bels.

    `bound` 0.01 stops rewarding an item at 20 dB, so that easy ones do not rule. Signals under `floor` (mean square)
    count as `floor`. After Heitkaemper et al. 2020 (thresholded SDR, arXiv 1911.08895).
    """

    def __init__(self, bound: float = 0.01, floor: float = 1e-6) -> None:
        super().__init__()
        self.bound, self.floor = bound, floor

    def measure(self, pair: Pair) -> Tensor:
        """From `log10(bound)` when equal, through about 0 for silence, upwards."""
        target, output = pair.target.float(), pair.output.float()
        error = (target - output).square().mean((1, 2))
        return (error / target.square().mean((1, 2)).clamp_min(self.floor) + self.bound).log10().mean()


class WaveLoss(PairLoss):
    """Mean absolute (`power` 1) or square (`power` 2) difference of the samples."""

    def __init__(self, power: Literal[1, 2] = 1) -> None:
        super().__init__()
        self.power = power

    def measure(self, pair: Pair) -> Tensor:
        """The loss; quiet items count little."""
        error = pair.output.float() - pair.target.float()
        return (error.abs() if self.power == 1 else error.square()).mean()


class SISDRLoss(PairLoss):
    """Minus the scale-invariant signal-to-distortion ratio in dB (Le Roux et al. 2019, arXiv 1811.02508)."""

    def measure(self, pair: Pair) -> Tensor:
        """The loss, the mean over items."""
        return -si_sdr(pair.target, pair.output).mean()


def si_sdr(target: Tensor, output: Tensor, floor: float = 1e-8) -> Tensor:
    """Scale-invariant SDR in dB of each item, `[B]`, means removed; energies are kept above `floor`."""
    target, output = (wave.float().flatten(1) for wave in (target, output))
    target, output = (wave - wave.mean(1, keepdim=True) for wave in (target, output))
    share = (target * output).sum(1, keepdim=True) / target.square().sum(1, keepdim=True).clamp_min(floor)
    wanted = (share * target).square().sum(1)
    unwanted = (output - share * target).square().sum(1)
    return 10 * ((wanted + floor) / (unwanted + floor)).log10()


def _all(spectra: nn.ModuleList) -> list[Spectrum]:
    return [spectrum for spectrum in spectra if isinstance(spectrum, Spectrum)]
