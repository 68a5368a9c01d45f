"""Split quantization: two residual quantizers side by side on the same latents (Mimi).

Défossez et al. 2024 (Moshi, arXiv 2410.00037): the first levels are taught what is said and the others how it sounds,
so neither may code the residual of the other. Their latents are added.

Letters in shapes: `B` batch, `D` features, `F` frames.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ..errors import InputError
from .base import Quantized, Quantizer
from .rvq import ResidualVQ, ResidualVQConfig, check_codes, check_levels


class SplitVQ(Quantizer):
    """The levels of `first`, then those of `second`; both hear the latents whole."""

    def __init__(self, first: ResidualVQConfig, second: ResidualVQConfig) -> None:
        super().__init__()
        if first.dim != second.dim:
            raise InputError(
                f"both halves of a split quantizer hear the same latents, got {first.dim} and {second.dim}"
            )
        self.first, self.second = ResidualVQ(first), ResidualVQ(second)
        self.codebook_sizes = first.codebook_sizes + second.codebook_sizes
        self.strides = (1,) * len(self.codebook_sizes)

    def forward(self, z: Tensor) -> Quantized:
        """Quantize `z` `[B, D, F]`; losses are the mean over all levels."""
        a, b = self.first(z), self.second(z)
        share = len(a.levels) / len(self.codebook_sizes)
        return Quantized(
            z=a.z + b.z,
            levels=a.levels + b.levels,
            commitment=share * a.commitment + (1 - share) * b.commitment,
            codebook=share * a.codebook + (1 - share) * b.codebook,
        )

    def encode(self, z: Tensor, levels: int | None = None) -> tuple[Tensor, ...]:
        """The first `levels` levels of `z` `[B, D, F]`, each int64 `[B, F]`."""
        count, split = check_levels(levels, len(self.codebook_sizes)), len(self.first.codebook_sizes)
        codes = self.first.encode(z, min(count, split))
        return codes + self.second.encode(z, count - split) if count > split else codes

    def decode(self, levels: Sequence[Tensor]) -> Tensor:
        """Latents `[B, D, F]`: what the levels of either half look up, added."""
        count, split = check_codes(levels, self.strides), len(self.first.codebook_sizes)
        z = self.first.decode(levels[:split])
        return z + self.second.decode(levels[split:]) if count > split else z

    def usage(self) -> tuple[float, ...]:
        """Each level's share of entries that training used of late."""
        return self.first.usage() + self.second.usage()

    def perplexity(self) -> tuple[float, ...]:
        """Each level's perplexity of late."""
        return self.first.perplexity() + self.second.perplexity()
