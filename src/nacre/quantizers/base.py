"""The Quantizer contract: z in, levels out, and back. Knows nothing of audio.

Letters in shapes: `B` batch, `D` features, `F` frames.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn


@dataclass(frozen=True)
class Quantized:
    """What a quantizer returns while training."""

    z: Tensor  # [B, D, F], quantized, with the straight-through gradient
    levels: tuple[Tensor, ...]  # int64 [B, frames of that level], coarse level first
    commitment: Tensor  # scalar: pulls z towards the entries; weigh it as the recipe says
    codebook: Tensor  # scalar: pulls the entries towards z; zero for codebooks learnt by moving averages


class Quantizer(nn.Module, ABC):
    """Turns latents `[B, D, F]` into integer levels and back."""

    codebook_sizes: tuple[int, ...]  # entries of each level's codebook
    strides: tuple[int, ...]  # frames that one code of each level spans

    @abstractmethod
    def forward(self, z: Tensor) -> Quantized:
        """Quantize `z` `[B, D, F]`; in training mode the codebooks learn from it."""

    @abstractmethod
    def encode(self, z: Tensor, levels: int | None = None) -> tuple[Tensor, ...]:
        """The first `levels` levels (all by default) of `z` `[B, D, F]`, each int64 `[B, frames of that level]`."""

    @abstractmethod
    def decode(self, levels: Sequence[Tensor]) -> Tensor:
        """Latents `[B, D, F]` from the first one or more levels."""
