"""Short-time spectra for losses and discriminators, each computed once for all that look at it.

Letters in shapes: `B` batch, `C` channels, `T` samples, `F` frames, `N` frequency bins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import InputError

Padding = Literal["centred", "hops", "none"]
"""What a spectrum hears beyond the wave: half a transform mirrored at both ends, frames centred on samples 0, hop,
2 hops ... (librosa); as much as makes one frame a hop (HiFi-GAN, DAC); or nothing (EnCodec)."""


@dataclass(frozen=True)
class Resolution:
    """A Hann window of `window` samples every `hop` samples, transformed at `n_fft` points."""

    n_fft: int
    hop: int
    window: int

    def __post_init__(self) -> None:
        if not (0 < self.window <= self.n_fft and 0 < self.hop <= self.window):
            raise InputError(f"expected 0 < hop <= window <= n_fft, got {self}")

    @property
    def bins(self) -> int:
        """Frequency bins `N`, zero and Nyquist included."""
        return self.n_fft // 2 + 1


def resolutions(windows: Sequence[int], hops: Sequence[int] = (), n_ffts: Sequence[int] = ()) -> tuple[Resolution, ...]:
    """One resolution a window; hops are a quarter of it and transforms as long as it where they are not given."""
    hops = hops or [max(1, window // 4) for window in windows]
    n_ffts = n_ffts or windows
    if not len(windows) == len(hops) == len(n_ffts):
        raise InputError(f"expected a hop and a transform a window, got {len(windows)}, {len(hops)} and {len(n_ffts)}")
    return tuple(Resolution(*figures) for figures in zip(n_ffts, hops, windows, strict=True))


class Spectrum(nn.Module):
    """Complex spectrum `[B, C, T] -> [B * C, N, F]`, in float32 also under autocast.

    `normalised` divides by the norm of the window, so that noise of any spectrum stays as loud as it was.
    """

    def __init__(self, resolution: Resolution, padding: Padding = "centred", normalised: bool = False) -> None:
        super().__init__()
        self.resolution, self.padding = resolution, padding
        self.settings = (resolution, padding, normalised)
        window = torch.hann_window(resolution.window)
        if normalised:
            window = window / window.norm()
        self.register_buffer("window", window, persistent=False)
        self.window: Tensor

    def forward(self, wave: Tensor) -> Tensor:
        """The spectrum of `wave`, a frame a column."""
        n_fft, hop = self.resolution.n_fft, self.resolution.hop
        least = {"centred": n_fft // 2 + 1, "hops": (n_fft + hop) // 2, "none": n_fft}[self.padding]
        if wave.shape[-1] < least:
            raise InputError(
                f"a spectrum of {n_fft} points needs {least} samples, got {wave.shape[-1]}; use longer crops"
            )
        with torch.autocast(wave.device.type, enabled=False):
            x = wave.flatten(0, -2).float()
            if self.padding == "hops":
                side = (n_fft - hop) // 2
                x = F.pad(x[:, None], (side, side + -x.shape[-1] % hop), "reflect")[:, 0]
            return torch.stft(
                x,
                n_fft,
                hop,
                self.resolution.window,
                self.window,
                center=self.padding == "centred",
                return_complex=True,
            )


class Pair:
    """A target wave and an output `[B, C, T]`, whose spectra are computed once and shared by all losses.

    The target's spectra keep no gradient.
    """

    def __init__(self, target: Tensor, output: Tensor) -> None:
        if target.shape != output.shape:
            raise InputError(f"expected target and output of one shape, got {[*target.shape]} and {[*output.shape]}")
        self.target, self.output = target.detach(), output
        self._spectra: dict[tuple[object, ...], tuple[Tensor, Tensor]] = {}
        self._magnitudes: dict[tuple[object, ...], tuple[Tensor, Tensor]] = {}

    def spectra(self, spectrum: Spectrum) -> tuple[Tensor, Tensor]:
        """Target's and output's complex `[B * C, N, F]`."""
        key = spectrum.settings
        if key not in self._spectra:
            self._spectra[key] = spectrum(self.target), spectrum(self.output)
        return self._spectra[key]

    def magnitudes(self, spectrum: Spectrum) -> tuple[Tensor, Tensor]:
        """Target's and output's magnitudes `[B * C, N, F]`."""
        key = spectrum.settings
        if key not in self._magnitudes:
            target, output = self.spectra(spectrum)
            self._magnitudes[key] = target.abs(), output.abs()
        return self._magnitudes[key]
