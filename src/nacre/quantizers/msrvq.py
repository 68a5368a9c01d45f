"""Multi-scale residual vector quantization: coarse levels run slower than fine ones.

SNAC (arXiv 2410.14411). Letters in shapes: `B` batch, `D` features, `F` frames, `S` a level's stride.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor
from torch.nn import functional as F

from ..errors import InputError
from .codebook import CodebookConfig
from .kmeans import exporting
from .rvq import Level, LevelOutput, ResidualVQ, ResidualVQConfig


@dataclass(frozen=True)
class MultiScaleVQConfig(ResidualVQConfig):
    """A residual quantizer whose levels have strides."""

    strides: tuple[int, ...] = ()  # frames that one code of each level spans, (4, 2, 1) in SNAC at 24 kHz

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.strides) != len(self.codebook_sizes) or min(self.strides) < 1:
            levels = len(self.codebook_sizes)
            raise InputError(f"expected a positive stride for each of {levels} levels, got {self.strides}")


class PooledLevel(Level):
    """A level that codes the mean of every `stride` frames and repeats what it looks up as often."""

    def __init__(self, dim: int, size: int, code_dim: int | None, codebook: CodebookConfig, stride: int) -> None:
        super().__init__(dim, size, code_dim, codebook)
        self.stride = stride

    def forward(self, residual: Tensor) -> LevelOutput:
        """Quantize `residual` `[B, D, F]` to codes `[B, F / S]`; in training mode the codebook learns from it."""
        output = super().forward(self._pool(residual))
        return replace(output, z=self._spread(output.z))

    def encode(self, residual: Tensor) -> Tensor:
        """Codes `[B, F / S]` of `residual` `[B, D, F]`."""
        return super().encode(self._pool(residual))

    def values(self, codes: Tensor) -> Tensor:
        """Latents `[B, D, F]` of `codes` `[B, F / S]`."""
        return self._spread(super().values(codes))

    def decode(self, codes: Tensor) -> Tensor:
        """Latents `[B, D, F]` of `codes` `[B, F / S]`; a code of -1 says nothing."""
        z = super().values(codes.clamp(min=0))
        return self._spread(z * (codes >= 0).to(z.dtype)[:, None])

    def _pool(self, x: Tensor) -> Tensor:
        return F.avg_pool1d(x, self.stride, self.stride) if exporting() or x.shape[-1] else x

    def _spread(self, x: Tensor) -> Tensor:
        return x[..., None].expand(-1, -1, -1, self.stride).flatten(2)


class MultiScaleVQ(ResidualVQ):
    """Multi-scale residual vector quantization. Frames come in multiples of the strides' least common multiple."""

    config: MultiScaleVQConfig

    def __init__(self, config: MultiScaleVQConfig) -> None:
        super().__init__(config)
        self.strides = config.strides

    def _level(self, k: int, dim: int, code_dim: int | None) -> Level:
        config = self.config
        return PooledLevel(dim, config.codebook_sizes[k], code_dim, config.codebook, config.strides[k])
