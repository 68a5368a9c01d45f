"""AudioDecs of the released shape, but narrow, with made-up weights under official names."""

from __future__ import annotations

from dataclasses import replace

from audiodec_reference import Weights, autoencoder, vocoder

from nacre.codecs.audiodec import AudioDec, AudioDecConfig
from nacre.codecs.audiodec_vocoder import GeneratorConfig
from nacre.converters.from_audiodec import from_audiodec

CONFIG = AudioDecConfig(width=2, decoder_width=2, latent=8, levels=3, codebook_size=32)
CONFIGS = {
    "sym": CONFIG,
    "asym": replace(CONFIG, decoder_width=3),
    "c16": replace(CONFIG, strides=(2, 4, 5, 8), levels=5),
    "activated": replace(CONFIG, activated=True),
    "v0": replace(CONFIG, vocoder=GeneratorConfig((3, 7, 11), 1, width=32)),
    "v1": replace(CONFIG, vocoder=GeneratorConfig((11,), 3, width=32)),
    "v2": replace(CONFIG, vocoder=GeneratorConfig((3,), 3, width=32)),
}


def official(kind: str) -> tuple[Weights, Weights | None]:
    """What AudioDec's checkpoints hold: the autoencoder's generator, and the vocoder's where there is one."""
    config = CONFIGS[kind]
    shapes = {"decoder_width": config.decoder_width, "activated": config.activated}
    weights = autoencoder(config.width, config.strides, config.latent, config.levels, config.codebook_size, **shapes)  # type: ignore[arg-type]
    if config.vocoder is None:
        return weights, None
    return weights, vocoder(config.vocoder.kernels, config.vocoder.groups, config.vocoder.width, config.latent)


def small_audiodec(kind: str = "sym", fused: bool = True) -> AudioDec:
    """An AudioDec of 3 levels of 5 bits, in evaluation mode."""
    return from_audiodec(*official(kind), CONFIGS[kind], fused)
