"""How far an output is from its target to a listener: what stays intelligible, and what is heard as loud.

Both losses follow a published model of hearing, and so flatter the measure that follows the same: STOI and PESQ.
Letters in shapes: `B` batch, `C` channels, `F` frames, `N` frequency bins, `M` bands.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import InputError
from .losses import PairLoss
from .spectra import Pair, Resolution, Spectrum


class IntelligibilityLoss(PairLoss):
    """One minus the correlation of third-octave envelopes over 0.4 s, the mean over bands and places.

    What STOI measures (Taal et al. 2011), without its clipping and at the codec's own rate: frames of `frame` seconds,
    half overlapping, 15 bands from 150 Hz up. Places 40 dB under the loudest of their item do not count.
    """

    def __init__(self, sample_rate: int, frame: float = 0.0256, frames: int = 30, bands: int = 15) -> None:
        super().__init__()
        window = round(frame * sample_rate / 2) * 2
        self.frames = frames
        self.spectrum = Spectrum(Resolution(1 << (window - 1).bit_length(), window // 2, window))
        self.register_buffer("filters", third_octaves(self.spectrum.resolution, sample_rate, bands), persistent=False)
        self.filters: Tensor  # [M, N]

    def measure(self, pair: Pair) -> Tensor:
        """From 0 when all envelopes are alike, through 1 when they have nothing in common, up to 2."""
        target, output = (self._envelopes(size) for size in pair.magnitudes(self.spectrum))
        power = target.square().mean((1, 3))  # [B * C, places]
        counts = (power > 1e-4 * power.amax(1, keepdim=True)).to(power.dtype) * (power > 0)
        target, output = (x - x.mean(-1, keepdim=True) for x in (target, output))
        alike = F.cosine_similarity(target, output, dim=-1, eps=1e-6).mean(1)
        return 1 - (alike * counts).sum() / counts.sum().clamp(min=1)

    def _envelopes(self, size: Tensor) -> Tensor:
        """Magnitudes `[B * C, N, F]` to places `[B * C, M, places, frames]`."""
        if size.shape[-1] < self.frames:
            raise InputError(f"intelligibility needs {self.frames} frames, got {size.shape[-1]}; use longer crops")
        bands = torch.matmul(self.filters, size.square()).clamp_min(1e-10).sqrt()
        return bands.unfold(-1, self.frames, 1)


def third_octaves(resolution: Resolution, sample_rate: int, bands: int, lowest: float = 150.0) -> Tensor:
    """Which bins `[M, N]` belong to each third of an octave, the first around `lowest` Hz."""
    hertz = torch.arange(resolution.bins) * sample_rate / resolution.n_fft
    centres = lowest * 2 ** (torch.arange(bands) / 3)
    edge = 2 ** (1 / 6)
    return ((hertz >= centres[:, None] / edge) & (hertz < centres[:, None] * edge)).float()


class LoudnessLoss(PairLoss):
    """How much louder or softer each critical band is heard, the mean over bands and frames.

    The inner ear of PESQ (ITU-T P.862, Beerends et al. 2002), as PMSQE made it a loss (Martin-Doñas et al. 2018, DOI
    10.1109/LSP.2018.2871419): powers in bands of half a Bark become loudness by Zwicker's law above the threshold
    in quiet, differences that the sound itself masks do not count, and what was added counts more than what was left
    out. Speech of any level is heard at `level` dB. Frames last 32 ms, half overlapping; bands go up to 8 kHz.
    """

    def __init__(self, sample_rate: int, level: float = 79.0, added: float = 0.3) -> None:
        super().__init__()
        self.level, self.added = level, added
        window = round(0.032 * sample_rate / 2) * 2
        self.spectrum = Spectrum(Resolution(1 << (window - 1).bit_length(), window // 2, window))
        filters, centres = critical_bands(self.spectrum.resolution, sample_rate)
        self.register_buffer("filters", filters, persistent=False)
        self.register_buffer("quiet", 10 ** (threshold_in_quiet(centres) / 10), persistent=False)
        self.filters: Tensor  # [M, N]
        self.quiet: Tensor  # [M]

    def measure(self, pair: Pair) -> Tensor:
        """From 0 when both sound alike, upwards."""
        target, output = (torch.matmul(self.filters, size.square()) for size in pair.magnitudes(self.spectrum))
        scale = 10 ** (self.level / 10) / target.sum(1, keepdim=True).mean(2, keepdim=True).clamp_min(1e-6)
        target, output = target * scale, output * scale
        heard, said = self._loudness(target), self._loudness(output)
        off = ((said - heard).abs() - 0.25 * torch.minimum(said, heard)).clamp_min(0)
        ratio = ((output + 50) / (target + 50)).detach().pow(1.2)
        worse = torch.where(ratio < 3, torch.zeros_like(ratio), ratio.clamp_max(12))
        symmetric = (off.square().mean(1) + 1e-4).sqrt() - 0.01
        return (symmetric + self.added * (off * worse).mean(1)).mean()

    def _loudness(self, power: Tensor) -> Tensor:
        quiet = self.quiet[:, None]
        return (2 * quiet).pow(0.23) * ((0.5 + 0.5 * power / quiet).pow(0.23) - 1).clamp_min(0)


def critical_bands(resolution: Resolution, sample_rate: int, top: float = 8000.0) -> tuple[Tensor, Tensor]:
    """Which bins `[M, N]` belong to each half a Bark (Traunmüller 1990) up to `top`, and the bands' centres, in Hz."""
    hertz = torch.arange(resolution.bins) * sample_rate / resolution.n_fft
    bark = 26.81 * hertz / (1960 + hertz) - 0.53
    last = float(bark[hertz <= top].max()) + 1e-3
    edges = torch.linspace(0.5, last, round(2 * last))
    filters = ((bark >= edges[:-1, None]) & (bark < edges[1:, None])).float()
    filters = filters[filters.sum(1) > 0]
    return filters, (filters * hertz).sum(1) / filters.sum(1)


def threshold_in_quiet(hertz: Tensor) -> Tensor:
    """The softest tone that is heard, dB SPL (Terhardt 1979)."""
    khz = hertz / 1000
    return 3.64 * khz**-0.8 - 6.5 * (-0.6 * (khz - 3.3) ** 2).exp() + 1e-3 * khz**4
