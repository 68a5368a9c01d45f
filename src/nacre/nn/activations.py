"""Activations that torch does not have, or has slower. LeakyReLU is torch's own (`nn.LeakyReLU`), ELU mostly.

All work position by position, so whole and chunks are the same to them.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Snake(nn.Module):
    """`x + sin(alpha * x)^2 / alpha` with a trained `alpha` a channel: `[B, C, T] -> [B, C, T]`.

    Ziyin et al. 2020 (arXiv 2006.08195), with the 1e-9 of DAC and SNAC in the divisor.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(1, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Add the ripple; in use without any tensor but the one that comes out."""
        size = (self.alpha + 1e-9).reciprocal()
        if torch.is_grad_enabled() or torch.onnx.is_in_onnx_export():
            return x + size * (self.alpha * x).sin().square()
        y = (self.alpha * x).sin_()
        return y.mul_(y).mul_(size).add_(x)


class SnakeBeta(nn.Module):
    """Snake whose ripple has a size of its own, both on a log scale: `x + sin(e^alpha * x)^2 / e^beta`.

    Lee et al. 2023 (BigVGAN, arXiv 2206.04658). `[B, C, T] -> [B, C, T]`.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.zeros(1, channels, 1))
        self.beta = nn.Parameter(torch.zeros(1, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Add the ripple."""
        return x + (self.beta.exp() + 1e-9).reciprocal() * (self.alpha.exp() * x).sin().square()


class SMU(nn.Module):
    """A smooth maximum of `x` and `slope * x`: `((1+a)x + (1-a)x * erf(mu * (1-a)x)) / 2` with a trained `mu`.

    Biswas et al. 2021 (arXiv 2111.04682). `mu` says how sharp the bend is: towards 0 the line `(1+a)/2 * x`, towards
    infinity a leaky ReLU. It starts at 1, near GELU's bend; HAC, which uses SMU, does not say where it starts.
    """

    def __init__(self, slope: float = 0.25, mu: float = 1.0) -> None:
        super().__init__()
        self.slope = slope
        self.mu = nn.Parameter(torch.tensor(mu))

    def forward(self, x: Tensor) -> Tensor:
        """Bend."""
        steep = (1 - self.slope) * x
        return ((1 + self.slope) * x + steep * torch.erf(self.mu * steep)) / 2


class ELU(nn.Module):
    """`x` above zero, `exp(x) - 1` below, within 1e-7 of torch's, which takes two thirds longer over `expm1`.

    Learning and exported graphs use torch's.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Bend."""
        if torch.is_grad_enabled() or torch.onnx.is_in_onnx_export():
            return F.elu(x)
        y = x.clamp(max=0).exp_().sub_(1)
        return torch.maximum(x, y, out=y)
