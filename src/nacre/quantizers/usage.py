"""How much of a codebook is used: figures of a histogram of hits.

Letters in shapes: `K` entries.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .ddp import reduce_sum


def usage(hits: Tensor) -> float:
    """The share of entries that are used: hit at least 1 % as often as the mean. `hits` `[K]`, any scale."""
    return float(((hits > 0) & (hits >= 0.01 * hits.mean())).float().mean())


def perplexity(hits: Tensor) -> float:
    """exp(entropy) of `hits` `[K]`: how many equally used entries would say as much; 0 when nothing was hit."""
    total = float(hits.double().sum())
    if total == 0:
        return 0.0
    return float(torch.special.entr(hits.double() / total).sum().exp())


@torch.no_grad()
def follow(hits: Tensor, codes: Tensor, decay: float) -> None:
    """Move the average `hits` `[K]` towards the hits of this step's `codes`, counted over all processes."""
    news = torch.zeros_like(hits).index_add_(0, codes.reshape(-1), hits.new_ones(codes.numel()))
    hits.lerp_(reduce_sum(news), 1 - decay)
