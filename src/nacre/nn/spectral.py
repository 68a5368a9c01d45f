"""Short-time Fourier transforms as plain convolutions: causal, streamable, exportable without complex numbers.

Letters in shapes: `B` batch, `T` samples, `F` frames, `N` frequency bins.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .state import State


class CausalSTFT(nn.Module):
    """`[B, 1, T] -> [B, 2 * N, F]`: real parts of the `N = n_fft // 2 + 1` bins, then imaginary parts.

    Frame `t` hears samples up to `(t + 1) * hop`; the window is the square root of a periodic Hann window, so that
    `CausalISTFT` of the frames gives the samples back.
    """

    def __init__(self, n_fft: int, hop: int) -> None:
        super().__init__()
        self.n_fft, self.hop = n_fft, hop
        self.register_buffer("basis", fourier_basis(n_fft)[:, None], persistent=False)  # [2N, 1, n_fft]
        self.basis: Tensor

    def forward(self, x: Tensor, state: State | None = None) -> Tensor:
        """Spectra of the frames that `x` completes."""
        kept = state.get(self) if state is not None else None
        past = self.n_fft - self.hop
        x = F.pad(x, (past, 0)) if kept is None else torch.cat([kept[0], x], dim=-1)
        if state is not None:
            state.put(self, x[..., x.shape[-1] - past :])
        return F.conv1d(x, self.basis, stride=self.hop)


class CausalISTFT(nn.Module):
    """`[B, 2 * N, F] -> [B, 1, F * hop]`, lagging by `n_fft - hop` samples: overlap-add, with the frames before the start silent.

    Expects `hop = n_fft / 2`, where the squared windows of neighbouring frames add up to one.
    """

    def __init__(self, n_fft: int) -> None:
        super().__init__()
        self.n_fft, self.hop = n_fft, n_fft // 2
        weights = torch.full((n_fft // 2 + 1,), 2.0 / n_fft)
        weights[0] = weights[-1] = 1.0 / n_fft  # zero and Nyquist stand once in a full spectrum
        basis = fourier_basis(n_fft) * torch.cat([weights, weights])[:, None]
        self.register_buffer("basis", basis[:, None], persistent=False)
        self.basis: Tensor

    def forward(self, spectrum: Tensor, state: State | None = None) -> Tensor:
        """Samples that the frames complete."""
        kept = state.get(self) if state is not None else None
        x = F.pad(spectrum, (1, 0)) if kept is None else torch.cat([kept[0], spectrum], dim=-1)
        if state is not None:
            state.put(self, x[..., -1:])
        halves = F.linear(x.transpose(1, 2), self.basis[:, 0].T)  # [B, 1 + F, n_fft]
        y = halves[:, :-1, self.hop :] + halves[:, 1:, : self.hop]
        return y.flatten(1)[:, None]


def fourier_basis(n_fft: int) -> Tensor:
    """Cosines, then negative sines, under the square root of a Hann window: `[2 * (n_fft // 2 + 1), n_fft]`."""
    time = torch.arange(n_fft, dtype=torch.float64)
    # multiples of one turn are dropped before the cosine, so that large angles stay exact
    angle = torch.outer(torch.arange(n_fft // 2 + 1, dtype=torch.float64), time).remainder(n_fft) * (2 * math.pi / n_fft)
    window = torch.hann_window(n_fft, periodic=True, dtype=torch.float64).sqrt()
    return (torch.cat([angle.cos(), -angle.sin()]) * window).float()
