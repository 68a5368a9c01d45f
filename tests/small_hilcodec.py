"""A HILCodec of the released shape, but narrow, with made-up weights."""

from __future__ import annotations

import hilcodec_reference as reference

from nacre.codecs.hilcodec import HILCodec, HILCodecConfig
from nacre.converters.from_hilcodec import from_hilcodec

SIZES = reference.Sizes(enc=4, dec=4, n_fft=8, dim=8, books=3, entries=16)
CONFIG = HILCodecConfig(encoder_dim=4, decoder_dim=4, n_fft=8, latent=8, levels=3, codebook_size=16, dropout=(1, 2, 3))


def small_hilcodec(fused: bool = True) -> HILCodec:
    """Three levels of 4 bits, in evaluation mode."""
    return from_hilcodec(reference.made_up(SIZES), CONFIG, "small-hilcodec", fused)
