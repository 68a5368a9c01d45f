"""Spectra and filter banks as plain convolutions: streamable, exportable without complex numbers.

Letters in shapes: `B` batch, `T` samples, `F` frames, `N` frequency bins, `M` mel or filter bands.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import InputError
from .padding import Kernel, spread, windows
from .state import State


class STFT(nn.Module):
    """`[B, 1, T] -> [B, 2 * N, ceil(T / hop)]`: real parts of the `N = n_fft // 2 + 1` bins, then imaginary parts.

    `kernel` says which samples each frame hears: `Kernel(n_fft, hop)` up to the end of its hop, `.centred()` both
    sides, `.early()` up to its first sample (HILCodec). `window` weighs them, `[n_fft]`.
    """

    def __init__(self, kernel: Kernel, window: Tensor) -> None:
        super().__init__()
        self.kernel, self.n_fft, self.hop = kernel, kernel.size, kernel.stride
        self.register_buffer("basis", fourier_basis(self.n_fft, window)[:, None], persistent=False)  # [2N, 1, n_fft]
        self.basis: Tensor

    def forward(self, x: Tensor, state: State | None = None) -> Tensor:
        """Spectra of the frames that `x` completes."""
        x = windows(self, x, state, self.kernel)
        if x.shape[-1] < self.n_fft:
            return x.new_zeros(x.shape[0], self.basis.shape[0], 0)
        with torch.autocast(x.device.type, enabled=False):  # at 16 bits quiet bins would drown, and their logs burst
            return self._spectra(x.float())

    def _spectra(self, x: Tensor) -> Tensor:
        if self.n_fft % self.hop:
            return F.conv1d(x, self.basis, stride=self.hop)
        # hops side by side and one matrix product: it rounds alike for any number of frames, a convolution does not
        count, overlap = (x.shape[-1] - self.n_fft) // self.hop + 1, self.n_fft // self.hop
        hops = x[..., : (count + overlap - 1) * self.hop].reshape(x.shape[0], -1, self.hop)
        frames = torch.cat([hops[:, i : i + count] for i in range(overlap)], dim=-1)
        return F.linear(frames, self.basis[:, 0]).transpose(1, 2)


class CausalSTFT(STFT):
    """`[B, 1, T] -> [B, 2 * N, ceil(T / hop)]`; frame `t` hears samples up to `(t + 1) * hop`.

    The window is the square root of a periodic Hann window, so that `CausalISTFT` of the frames gives the samples back.
    """

    def __init__(self, n_fft: int, hop: int) -> None:
        super().__init__(Kernel(n_fft, hop), root_hann(n_fft))


class CausalISTFT(nn.Module):
    """`[B, 2 * N, F] -> [B, 1, F * hop]`, lagging by `n_fft - hop` samples: overlap-add, silent before the start.

    Divides by what the squared windows of neighbouring frames add up to, so any hop that divides `n_fft` at least
    twice gives the samples of `CausalSTFT(n_fft, hop)` back; `hop` is half of `n_fft` unless told.
    """

    def __init__(self, n_fft: int, hop: int | None = None) -> None:
        super().__init__()
        self.n_fft, self.hop = n_fft, n_fft // 2 if hop is None else hop
        if self.hop < 1 or n_fft % self.hop or n_fft < 2 * self.hop:
            raise InputError(f"expected a hop that divides {n_fft} at least twice, got {self.hop}")
        weights = torch.full((n_fft // 2 + 1,), 2.0 / n_fft)
        weights[0] = 1.0 / n_fft  # zero stands once in a full spectrum
        if n_fft % 2 == 0:
            weights[-1] = 1.0 / n_fft  # and so does Nyquist
        window = root_hann(n_fft)
        total = window.square().reshape(-1, self.hop).sum(dim=0).repeat(n_fft // self.hop).float()
        basis = fourier_basis(n_fft, window) * torch.cat([weights, weights])[:, None] / total
        self.register_buffer("basis", basis[:, None], persistent=False)
        self.basis: Tensor

    def forward(self, spectrum: Tensor, state: State | None = None) -> Tensor:
        """Samples that the frames complete."""
        kept = state.get(self) if state is not None else None
        past = self.n_fft // self.hop - 1
        x = F.pad(spectrum, (past, 0)) if kept is None else torch.cat([kept[0], spectrum], dim=-1)
        if state is not None:
            state.put(self, x[..., -past:])
        with torch.autocast(x.device.type, enabled=False):
            frames = torch.matmul(x.float().transpose(1, 2), self.basis[:, 0])  # [B, past + F, n_fft]
        y = frames[:, :-past, past * self.hop :]
        for i in range(1, past + 1):  # each later frame adds an earlier part of itself
            begin = (past - i) * self.hop
            y = y + frames[:, i : (i - past) or None, begin : begin + self.hop]
        return y.flatten(1)[:, None]


@dataclass(frozen=True)
class MelScale:
    """Which mel bands to measure, and how: the settings in which published codecs differ."""

    sample_rate: int
    n_fft: int
    hop: int
    bands: int
    low: float = 0.0  # Hz
    high: float | None = None  # Hz; half the sample rate unless told
    scale: Literal["htk", "slaney"] = "htk"
    equal_area: bool = False  # else every band peaks at one
    power: float = 1.0  # 1 sums magnitudes, 2 energies
    floor: float = 1e-5  # the least value that the logarithm sees


class LogMel(nn.Module):
    """`[B, 1, T] -> [B, M, ceil(T / hop)]`: natural logarithm of the mel bands, Hann window, hearing the past only."""

    def __init__(self, mel: MelScale) -> None:
        super().__init__()
        self.mel = mel
        self.stft = STFT(Kernel(mel.n_fft, mel.hop), torch.hann_window(mel.n_fft, dtype=torch.float64))
        self.register_buffer("filters", mel_filters(mel), persistent=False)
        self.filters: Tensor

    def forward(self, x: Tensor, state: State | None = None) -> Tensor:
        """Bands of the frames that `x` completes."""
        real, imaginary = self.stft(x, state).chunk(2, dim=1)
        # clamped: a bare root has no gradient in silence
        size = (real.square() + imaginary.square()).clamp_min(1e-14).pow(self.mel.power / 2)
        return torch.matmul(self.filters, size).clamp_min(self.mel.floor).log()


class PQMFAnalysis(nn.Module):
    """`[B, 1, T] -> [B, M, ceil(T / M)]`: M bands, each at an M-th of the rate, together as loud as the input.

    A cosine-modulated pseudo-QMF bank over a Kaiser prototype (Nguyen 1994; Lin and Vaidyanathan 1998). Followed by
    `PQMFSynthesis` of the same settings it gives the signal back to 64 dB, `taps + 1 - M` samples late, or
    on time when both are `centred`, which lag in a stream instead. `taps` is 32 a band unless told.
    """

    def __init__(self, bands: int, taps: int | None = None, beta: float = 9.0, centred: bool = False) -> None:
        super().__init__()
        taps = 32 * bands if taps is None else taps
        self.kernel = Kernel(taps + 1, bands, left=taps // 2 if centred else None)
        self.register_buffer("filters", _modulated(bands, taps, beta)[:, None], persistent=False)
        self.filters: Tensor  # [M, 1, taps + 1]

    def forward(self, x: Tensor, state: State | None = None) -> Tensor:
        """Bands of the frames that `x` completes."""
        x = windows(self, x, state, self.kernel)
        if x.shape[-1] < self.kernel.span:
            return x.new_zeros(x.shape[0], self.kernel.stride, 0)
        return F.conv1d(x, self.filters, stride=self.kernel.stride)


class PQMFSynthesis(nn.Module):
    """`[B, M, F] -> [B, 1, F * M]`: the signal of its bands, by the same filters backwards; see `PQMFAnalysis`."""

    def __init__(self, bands: int, taps: int | None = None, beta: float = 9.0, centred: bool = False) -> None:
        super().__init__()
        taps = 32 * bands if taps is None else taps
        self.kernel = Kernel(taps + 1, bands, left=taps // 2 if centred else None)
        self.register_buffer("filters", _modulated(bands, taps, beta)[:, None], persistent=False)
        self.filters: Tensor

    def forward(self, x: Tensor, state: State | None = None) -> Tensor:
        """Samples that the frames complete."""
        x, due = spread(self, x, state, self.kernel)
        if not x.shape[-1]:
            return x.new_zeros(x.shape[0], 1, 0)
        return F.conv_transpose1d(x, self.filters, stride=self.kernel.stride)[..., due]


def root_hann(n_fft: int) -> Tensor:
    """Square root of a periodic Hann window, double precision: `[n_fft]`."""
    return torch.hann_window(n_fft, periodic=True, dtype=torch.float64).sqrt()


def fourier_basis(n_fft: int, window: Tensor) -> Tensor:
    """Cosines, then negative sines, under `window`: `[2 * (n_fft // 2 + 1), n_fft]`."""
    time = torch.arange(n_fft, dtype=torch.float64)
    bins = torch.arange(n_fft // 2 + 1, dtype=torch.float64)
    # multiples of one turn are dropped before the cosine, so that large angles stay exact
    angle = torch.outer(bins, time).remainder(n_fft) * (2 * math.pi / n_fft)
    return (torch.cat([angle.cos(), -angle.sin()]) * window).float()


def compress(spectrum: Tensor) -> Tensor:
    """Square roots of the magnitudes of `[B, 2 * N, F]` (real parts, then imaginary); the phases stay."""
    real, imaginary = spectrum.chunk(2, dim=1)
    root = (real.square() + imaginary.square()).clamp_min(1e-10).sqrt().sqrt()
    return torch.cat([real / root, imaginary / root], dim=1)


def mel_filters(mel: MelScale) -> Tensor:
    """Triangles that overlap by half and have their corners evenly spaced in mel: `[M, N]`."""
    high = mel.sample_rate / 2 if mel.high is None else mel.high
    to_mel, to_hertz = (_htk, _from_htk) if mel.scale == "htk" else (_slaney, _from_slaney)
    ends = to_mel(torch.tensor([mel.low, high], dtype=torch.float64)).tolist()
    corners = to_hertz(torch.linspace(ends[0], ends[1], mel.bands + 2, dtype=torch.float64))[:, None]
    bins = torch.linspace(0, mel.sample_rate / 2, mel.n_fft // 2 + 1, dtype=torch.float64)
    rise = (bins - corners[:-2]) / (corners[1:-1] - corners[:-2])
    fall = (corners[2:] - bins) / (corners[2:] - corners[1:-1])
    filters = torch.minimum(rise, fall).clamp_min(0)
    if mel.equal_area:
        filters = filters * 2 / (corners[2:] - corners[:-2])
    return filters.float()


def _htk(hertz: Tensor) -> Tensor:
    return 2595 * (1 + hertz / 700).log10()


def _from_htk(mel: Tensor) -> Tensor:
    return 700 * (10 ** (mel / 2595) - 1)


def _slaney(hertz: Tensor) -> Tensor:
    """Straight up to 1 kHz, which is 15 mel; then 27 mel for every factor of 6.4."""
    return torch.where(hertz < 1000, hertz * 3 / 200, 15 + 27 * (hertz.clamp_min(1000) / 1000).log() / math.log(6.4))


def _from_slaney(mel: Tensor) -> Tensor:
    return torch.where(mel < 15, mel * 200 / 3, 1000 * 6.4 ** ((mel - 15) / 27))


def _modulated(bands: int, taps: int, beta: float) -> Tensor:
    """The prototype shifted to the middle of each band, `[M, taps + 1]`, scaled so that all bands keep the energy."""
    with torch.device("cpu"):  # the prototype is searched for, which takes numbers: a module on "meta" has none
        band = torch.arange(bands, dtype=torch.float64)[:, None]
        time = torch.arange(taps + 1, dtype=torch.float64) - taps / 2
        angle = (2 * band + 1) * math.pi / (2 * bands) * time + (1 - 2 * (band % 2)) * math.pi / 4
        return (2 * math.sqrt(bands) * prototype(bands, taps, beta) * angle.cos()).float()


def prototype(bands: int, taps: int, beta: float) -> Tensor:
    """Kaiser low-pass `[taps + 1]` whose cut-off makes neighbouring bands add up flat, found by golden section."""
    window = torch.kaiser_window(taps + 1, periodic=False, beta=beta, dtype=torch.float64)
    time = torch.arange(taps + 1, dtype=torch.float64) - taps / 2
    low, high, golden = 0.5 / bands, 1.0 / bands, (math.sqrt(5) - 1) / 2
    for _ in range(60):
        left, right = high - golden * (high - low), low + golden * (high - low)
        if _ripple(left, bands, window, time) < _ripple(right, bands, window, time):
            high = right
        else:
            low = left
    return low * torch.sinc(low * time) * window


def _ripple(cutoff: float, bands: int, window: Tensor, time: Tensor) -> float:
    """How far the prototype's autocorrelation is from zero at the multiples of twice the band count."""
    low_pass = torch.sinc(cutoff * time) * window * cutoff
    return max(abs(float(low_pass[lag:] @ low_pass[:-lag])) for lag in range(2 * bands, len(time), 2 * bands))
