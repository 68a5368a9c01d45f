"""Finite scalar quantization: every feature is squashed and rounded to a few steps; the code is their number.

Mentzer, Minnen, Agustsson, Tschannen 2023 (arXiv 2309.15505). Nothing to learn, so nothing can die.
Letters in shapes: `B` batch, `D` features, `F` frames, `Q` scalars quantized.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from math import prod
from operator import mul

import torch
from torch import Tensor

from ..errors import InputError
from .base import Quantized, Quantizer
from .codebook import full_precision, straight_through
from .rvq import check_codes, check_latents, check_levels, projection
from .usage import follow, perplexity, usage

MAX_SIZE = 1 << 20  # the largest codebook that codes may have
MARGIN = 1e-3  # tanh reaches this share beyond the outer steps, so that they are rounded to before it saturates


class FSQ(Quantizer):
    """One level of prod(`steps`) codes: scalar i takes one of `steps[i]` values, odd or even in number.

    Values lie in [-1, 1]: for 5 steps -1, -0.5, 0, 0.5, 1; for 4 steps -1, -0.5, 0, 0.5. The code is a number of
    mixed radix, first scalar least. `dim` other than `len(steps)` adds 1x1 projections. There are no losses.
    """

    hits: Tensor  # [prod(steps)], moving average of hits a step, for the figures only
    _counts: Tensor  # [Q, 1], steps
    _places: Tensor  # [Q, 1], what one step of each scalar is worth in the code

    def __init__(self, dim: int, steps: tuple[int, ...], decay: float = 0.99) -> None:
        super().__init__()
        size = prod(steps)
        if not steps or min(steps) < 2 or size > MAX_SIZE:
            raise InputError(f"FSQ needs at least 2 steps a scalar and at most {MAX_SIZE} codes, got steps {steps}")
        self.dim, self.steps, self.decay = dim, steps, decay
        self.codebook_sizes, self.strides = (size,), (1,)
        between = len(steps) if dim != len(steps) else None
        self.in_proj = projection(dim, between)
        self.out_proj = projection(len(steps), dim if between else None)
        counts = torch.tensor(steps)[:, None]
        self.register_buffer("_counts", counts, persistent=False)
        places = [1, *accumulate(steps[:-1], mul)]
        self.register_buffer("_places", torch.tensor(places)[:, None], persistent=False)
        self.register_buffer("hits", torch.zeros(size), persistent=False)

    def forward(self, z: Tensor) -> Quantized:
        """Quantize `z` `[B, D, F]`, with the straight-through gradient of the squashed values."""
        check_latents(z, self.dim)
        with full_precision(z):
            bounded = self._bound(self.in_proj(z.float()))
            digits = self._digits(bounded)
            codes = self._join(digits)
            if self.training:
                follow(self.hits, codes, self.decay)
            quantized = self.out_proj(straight_through(bounded / self._half, self._values(digits)))
            zero = bounded.new_zeros(())
        return Quantized(quantized, (codes,), commitment=zero, codebook=zero)

    def encode(self, z: Tensor, levels: int | None = None) -> tuple[Tensor, ...]:
        """The one level of `z` `[B, D, F]`, int64 `[B, F]`."""
        check_latents(z, self.dim)
        check_levels(levels, 1)
        with full_precision(z):
            return (self._join(self._digits(self._bound(self.in_proj(z.float())))),)

    def decode(self, levels: Sequence[Tensor]) -> Tensor:
        """Latents `[B, D, F]` of the one level `[B, F]`."""
        check_codes(levels, self.strides)
        with full_precision(levels[0]):
            z: Tensor = self.out_proj(self.values(levels[0]))
        return z

    def values(self, codes: Tensor) -> Tensor:
        """The scalars `[B, Q, F]` that `codes` `[B, F]` stand for, before any projection."""
        return self._values(codes[:, None] // self._places % self._counts)

    def codes(self, values: Tensor) -> Tensor:
        """The codes `[B, F]` of scalars `[B, Q, F]` that are already values of ours: the inverse of `values`."""
        return self._join((values * self._half).round().long() + self._half)

    def usage(self) -> tuple[float, ...]:
        """The share of codes that training used of late."""
        return (usage(self.hits),)

    def perplexity(self) -> tuple[float, ...]:
        """The perplexity of training's codes of late."""
        return (perplexity(self.hits),)

    @property
    def _half(self) -> Tensor:
        return self._counts // 2

    def _bound(self, z: Tensor) -> Tensor:
        """Squash to where rounding finds `steps` integers; even numbers of steps have one more below zero."""
        reach = (self._counts - 1) * (0.5 + 0.5 * MARGIN)
        shift = (self._counts % 2 == 0) * 0.5
        return (z + (shift / reach).atanh()).tanh() * reach - shift

    def _digits(self, bounded: Tensor) -> Tensor:
        digits = bounded.round().long() + self._half
        return torch.minimum(digits.clamp(min=0), self._counts - 1)  # beyond 1000 steps the margin is a step of its own

    def _values(self, digits: Tensor) -> Tensor:
        return (digits - self._half).float() / self._half

    def _join(self, digits: Tensor) -> Tensor:
        return (digits * self._places).sum(1)
