"""Lookup-free (binary) quantization: a code is the signs of its features, up to 20 bits without any table.

Yu et al. 2023 (MAGVIT-v2, arXiv 2310.05737); as used by MaskBit (arXiv 2409.16211) and HAC (18 bits a token).
Letters in shapes: `B` batch, `D` features, `F` frames, `Q` bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import InputError
from .base import Quantized, Quantizer
from .codebook import full_precision, straight_through
from .rvq import check_codes, check_latents, check_levels, projection
from .usage import follow, perplexity, usage

MAX_BITS = 20


@dataclass(frozen=True)
class LFQConfig:
    """A binary quantizer. Published codecs do not state temperature and diversity; these are our choice."""

    dim: int  # features of z
    bits: int = 18  # a code; other than `dim` adds 1x1 projections
    temperature: float = 1.0  # of the odds that a feature is +1: softmax of -(z ∓ 1)² / temperature
    diversity: float = 1.0  # weight of the batch's entropy against that of single vectors
    decay: float = 0.99  # of the figures' moving average

    def __post_init__(self) -> None:
        if not 1 <= self.bits <= MAX_BITS or self.dim < 1 or self.temperature <= 0:
            raise InputError(f"a binary quantizer has 1 to {MAX_BITS} bits and a positive temperature, got {self}")


class LFQ(Quantizer):
    """One level of 2^bits codes: bit i is set where scalar i is above zero; values are -1 and +1.

    `Quantized.codebook` holds the entropy loss here, which keeps all codes in use; it may be negative.
    """

    hits: Tensor  # [2^bits], moving average of hits a step, for the figures only
    _places: Tensor  # [Q, 1], what each bit is worth

    def __init__(self, config: LFQConfig) -> None:
        super().__init__()
        self.config = config
        self.codebook_sizes, self.strides = (1 << config.bits,), (1,)
        between = config.bits if config.dim != config.bits else None
        self.in_proj = projection(config.dim, between)
        self.out_proj = projection(config.bits, config.dim if between else None)
        self.register_buffer("_places", 2 ** torch.arange(config.bits)[:, None], persistent=False)
        self.register_buffer("hits", torch.zeros(1 << config.bits), persistent=False)

    def forward(self, z: Tensor) -> Quantized:
        """Quantize `z` `[B, D, F]`, with the straight-through gradient."""
        check_latents(z, self.config.dim)
        with full_precision(z):
            scalars = self.in_proj(z.float())
            codes = self._join(scalars)
            if self.training:
                follow(self.hits, codes, self.config.decay)
            signs = self.values(codes)
            return Quantized(
                z=self.out_proj(straight_through(scalars, signs)),
                levels=(codes,),
                commitment=(scalars - signs).square().mean(),
                codebook=entropy_loss(scalars, self.config.temperature, self.config.diversity),
            )

    def encode(self, z: Tensor, levels: int | None = None) -> tuple[Tensor, ...]:
        """The one level of `z` `[B, D, F]`, int64 `[B, F]`."""
        check_latents(z, self.config.dim)
        check_levels(levels, 1)
        with full_precision(z):
            return (self._join(self.in_proj(z.float())),)

    def decode(self, levels: Sequence[Tensor]) -> Tensor:
        """Latents `[B, D, F]` of the one level `[B, F]`."""
        check_codes(levels, self.strides)
        with full_precision(levels[0]):
            z: Tensor = self.out_proj(self.values(levels[0]))
        return z

    def values(self, codes: Tensor) -> Tensor:
        """The signs `[B, Q, F]`, -1.0 or 1.0, that `codes` `[B, F]` stand for, before any projection."""
        return (codes[:, None] // self._places % 2 * 2 - 1).float()

    def usage(self) -> tuple[float, ...]:
        """The share of codes that training used of late."""
        return (usage(self.hits),)

    def perplexity(self) -> tuple[float, ...]:
        """The perplexity of training's codes of late."""
        return (perplexity(self.hits),)

    def _join(self, scalars: Tensor) -> Tensor:
        return ((scalars > 0) * self._places).sum(1)


def entropy_loss(scalars: Tensor, temperature: float = 1.0, diversity: float = 1.0) -> Tensor:
    """E[H(p(q|z))] - diversity * H(E[p(q|z)]) in nats a bit, of scalars `[B, Q, F]`; scalar.

    Low when every vector is sure of its code and the batch uses all of them. Bits are taken as independent, so
    both entropies are sums over bits: 2^Q codes cost no more than Q numbers.
    """
    logits = 4 * scalars / temperature  # (z + 1)² - (z - 1)²
    return _entropy(logits).mean() - diversity * _entropy(logits.sigmoid().mean((0, 2)).logit(eps=1e-6)).mean()


def _entropy(logits: Tensor) -> Tensor:
    """Entropy in nats of coins that fall +1 with odds exp(`logits`); its gradient is finite everywhere."""
    return F.softplus(logits) - logits * logits.sigmoid()
