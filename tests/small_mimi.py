"""A Mimi of the released shape, but narrow, with weights of which every part matters."""

from __future__ import annotations

from functools import cache

import torch

from nacre.codecs.mimi import Mimi, MimiConfig
from nacre.quantizers.rvq import ResidualVQ

CONFIG = MimiConfig(filters=2, dim=16, layers=2, heads=2, hidden=24, context=7, levels=5, codebook_size=16, code_dim=8)


@cache
def small_mimi(config: MimiConfig = CONFIG) -> Mimi:
    """Random, in evaluation mode, its codebooks about where latents of noise are."""
    torch.manual_seed(0)
    codec = Mimi(config, "small-mimi").eval()
    with torch.no_grad():
        for name, parameter in codec.named_parameters():
            if name.endswith("gain"):
                parameter.uniform_(0.3, 1)
            elif "norm" in name:
                parameter.add_(torch.randn_like(parameter) * 0.2)
            elif name.endswith("bias"):
                parameter.mul_(0.3)
            elif parameter.ndim == 3 and "quantizer" not in name:
                parameter.mul_(2)  # torch starts so small that hardly any sound comes through
        z = codec.encoder(torch.randn(1, 1, 20 * config.hop) * 0.3)
        for half in (codec.quantizer.first, codec.quantizer.second):
            fit(half, half.in_proj(z))
    return codec


def fit(quantizer: ResidualVQ, z: torch.Tensor) -> None:
    """Give every level entries of the spread that is left; an entry is its sum over its count, as after training."""
    residual = z
    for level in quantizer.levels:
        book = level.codebook
        spread, middle = residual.std(dim=(0, 2)), residual.mean(dim=(0, 2))
        book.counts.uniform_(0.5, 20)
        book.sums.copy_((middle + spread * torch.randn(book.size, book.dim)) * book.counts[:, None])
        book.entries.copy_(book.sums / book.counts[:, None])
        book.hits.copy_(book.counts)
        book.started.fill_(True)
        residual = residual - level.decode(level.encode(residual))
