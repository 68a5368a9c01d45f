"""A WavTokenizer of the released shape, but narrow, with weights of which every part matters."""

from __future__ import annotations

from functools import cache

import torch

from nacre.codecs.wavtokenizer import WavTokenizer, WavTokenizerConfig
from nacre.nn.weight_norm import fuse

CONFIG = WavTokenizerConfig(
    filters=2, latent=8, codebook_size=32, dim=64, hidden=40, layers=2, conditions=3, condition=1, window=6
)


@cache
def small_wavtokenizer(fused: bool = True) -> WavTokenizer:
    """Random, in evaluation mode, its entries about where latents of noise are."""
    torch.manual_seed(0)
    codec = WavTokenizer(CONFIG, "small-wavtokenizer").eval()
    with torch.no_grad():
        for name, parameter in codec.named_parameters():
            if name.startswith("decoder"):
                parameter.add_(torch.randn_like(parameter) * 0.1)
            elif name.endswith("original0"):
                parameter.mul_(2)  # torch starts so small that hardly any sound comes through
        z = codec.encoder(torch.randn(1, 1, 40 * CONFIG.hop) * 0.3)
        book = codec.quantizer.levels[0].codebook
        book.counts.uniform_(0.5, 20)
        book.hits.copy_(book.counts)
        book.entries.copy_(z.mean(2) + z.std(2) * torch.randn(book.size, book.dim))
        book.sums.copy_(book.entries * book.counts[:, None])
        book.started.fill_(True)
    return fuse(codec) if fused else codec
