"""A pearl small enough to export in a second, with weights that make noise rather than silence."""

from __future__ import annotations

import torch

from nacre.codecs.pearl import Pearl, PearlConfig

CONFIG = PearlConfig(
    dim=32, hidden=48, latent=16, encoder_blocks=2, decoder_blocks=2, levels=3, codebook_size=32, dropout=()
)


def small_pearl(seed: int = 0) -> Pearl:
    """A Pearl of 3 levels of 5 bits, in evaluation mode."""
    torch.manual_seed(seed)
    codec = Pearl(CONFIG, name="small-pearl")
    with torch.no_grad():
        for name, parameter in codec.named_parameters():
            if name.endswith("scale"):
                parameter.fill_(0.5)
        for level in codec.quantizer.levels:
            level.codebook.entries.normal_()
    return codec.eval()
