"""Group residual vector quantization: features split into groups, each with a residual quantizer of its own.

HiFi-Codec (arXiv 2305.02765) has 2 groups of 2 levels. Letters in shapes: `B` batch, `D` features, `F` frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn

from ..errors import InputError
from .base import Quantized, Quantizer
from .rvq import ResidualVQ, ResidualVQConfig, check_codes, check_latents, check_levels, draw_levels


class GroupResidualVQ(Quantizer):
    """Any number of groups, each coded by the residual quantizer that `config` describes.

    `groups` is their number, or the features of each. Levels come layer by layer, the groups within: with 2 groups
    the first layer is levels 0 and 1. Level dropout counts layers. A group with no level yet decodes to zeros.
    """

    def __init__(self, config: ResidualVQConfig, groups: int | tuple[int, ...]) -> None:
        super().__init__()
        self.config, self.splits = config, _splits(config.dim, groups)
        self.codebook_sizes = tuple(size for size in config.codebook_sizes for _ in self.splits)
        self.strides = (1,) * len(self.codebook_sizes)
        self.groups = nn.ModuleList(ResidualVQ(replace(config, dim=dim, dropout=())) for dim in self.splits)

    def forward(self, z: Tensor) -> Quantized:
        """Quantize `z` `[B, D, F]`; in training mode with level dropout, and the codebooks learn."""
        check_latents(z, self.config.dim)
        choices = self.config.dropout if self.training else ()
        heard = draw_levels(z, len(self.config.codebook_sizes), choices, self.config.dropout_spared)
        parts = zip(self._groups(), torch.split_with_sizes(z, self.splits, 1), strict=True)
        outputs = [group.quantize(part, heard) for group, part in parts]
        return Quantized(
            z=torch.cat([output.z for output in outputs], dim=1),
            levels=tuple(
                codes for layer in zip(*(output.levels for output in outputs), strict=True) for codes in layer
            ),
            commitment=torch.stack([output.commitment for output in outputs]).mean(),
            codebook=torch.stack([output.codebook for output in outputs]).mean(),
        )

    def encode(self, z: Tensor, levels: int | None = None) -> tuple[Tensor, ...]:
        """The first `levels` levels (all by default) of `z` `[B, D, F]`, each int64 `[B, F]`."""
        check_latents(z, self.config.dim)
        count = check_levels(levels, len(self.codebook_sizes))
        layers = -(-count // len(self.splits))
        parts = zip(self._groups(), torch.split_with_sizes(z, self.splits, 1), strict=True)
        columns = [group.encode(part, layers) for group, part in parts]
        return tuple(codes for layer in zip(*columns, strict=True) for codes in layer)[:count]

    def decode(self, levels: Sequence[Tensor]) -> Tensor:
        """Latents `[B, D, F]` from the first one or more levels."""
        check_codes(levels, self.strides)
        batch, frames = levels[0].shape
        parts: list[Tensor] = []
        for g, group in enumerate(self._groups()):
            own = levels[g :: len(self.splits)]
            parts.append(group.decode(own) if own else parts[0].new_zeros(batch, self.splits[g], frames))
        return torch.cat(parts, dim=1)

    def usage(self) -> tuple[float, ...]:
        """Each level's share of entries that training used of late."""
        return tuple(value for layer in zip(*(g.usage() for g in self._groups()), strict=True) for value in layer)

    def perplexity(self) -> tuple[float, ...]:
        """Each level's perplexity of late."""
        return tuple(value for layer in zip(*(g.perplexity() for g in self._groups()), strict=True) for value in layer)

    def _groups(self) -> list[ResidualVQ]:
        return [cast(ResidualVQ, group) for group in self.groups]


def _splits(dim: int, groups: int | tuple[int, ...]) -> tuple[int, ...]:
    if isinstance(groups, int):
        if groups < 1 or dim % groups:
            raise InputError(f"cannot split {dim} features into {groups} equal groups; give the features of each group")
        return (dim // groups,) * groups
    if not groups or min(groups) < 1 or sum(groups) != dim:
        raise InputError(f"groups should add up to {dim} features, got {groups}")
    return groups
