"""SNAC: residual levels at different rates, coarse ones slower; not causal.

Siuzdak et al. 2024 (arXiv 2410.14411), true to the package `snac` 1.2.1. The stages are DAC's with depthwise
convolutions; the models for music attend within windows of 32 frames. It hears both sides of every sample, so it
streams late by `info.lookahead`, and is exact for that.

The decoder adds noise, which in the package is another at every run. Here it belongs to its place in the sound and to
`SNAC.seed`, so a file, a stream and a seek give the same samples.

Letters in shapes: `B` batch, `C` channels, `D` features, `T` samples, `F` frames.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from torch import Tensor, nn
from torch.nn.functional import pad

from ..codes import CodecInfo, Level
from ..contract import Stream, Wave
from ..nn.activations import Snake
from ..nn.attention import LocalAttention
from ..nn.blocks import Chain, Gather
from ..nn.conv import Conv1d, ConvTranspose1d
from ..nn.noise import Noise
from ..nn.padding import Kernel
from ..nn.reach import lookahead, preroll
from ..nn.snakenet import descent, units
from ..nn.weight_norm import normalise
from ..quantizers.codebook import CodebookConfig
from ..quantizers.msrvq import MultiScaleVQ, MultiScaleVQConfig
from .base import Codec, Reconstruction


@dataclass(frozen=True)
class SNACConfig:
    """Sizes of a SNAC. The defaults are the 24 kHz model for speech."""

    sample_rate: int = 24_000
    strides: tuple[int, ...] = (2, 4, 8, 8)  # in the encoder's order; the decoder has them the other way round
    encoder_dim: int = 48  # width next to the samples; doubled by every stage
    decoder_dim: int = 1024  # width next to the latents; halved by every stage
    level_strides: tuple[int, ...] = (4, 2, 1)  # frames that one code of each level spans
    window: int | None = None  # frames that attend to each other; None is no attention
    codebook_size: int = 4096
    code_dim: int = 8  # features of an entry
    noise: bool = True  # whether the decoder has noise blocks at all
    depthwise: bool = True  # wide convolutions keep channels apart

    @property
    def hop(self) -> int:
        """Samples a frame."""
        return math.prod(self.strides)

    @property
    def latent(self) -> int:
        """Features that are quantized."""
        return self.encoder_dim << len(self.strides)

    @property
    def turn(self) -> int:
        """Frames of which a whole sound has a multiple: all levels and windows start anew."""
        return math.lcm(*self.level_strides, self.window or 1)


PRESETS = {
    "snac-24k": SNACConfig(),
    "snac-32k": SNACConfig(32_000, (2, 3, 8, 8), 64, 1536, (8, 4, 2, 1), window=32),
    "snac-44k": SNACConfig(44_100, (2, 3, 8, 8), 64, 1536, (8, 4, 2, 1), window=32),
    "snac-44k-early": SNACConfig(44_100, (3, 3, 7, 7), 64, 1536, (8, 4, 2, 1), window=32),  # hubertsiuzdak/snac
}


class SNAC(Codec):
    """Speech at 0.98 kbps, music at 1.9 or 2.6, in three or four levels of 12 bits.

    `seed` chooses the decoder's noise, None leaves it out; set it before a stream opens.
    """

    decoder: Chain

    def __init__(self, config: SNACConfig = PRESETS["snac-24k"], name: str = "snac-24k", digest: str = "") -> None:
        super().__init__()
        self.config = config
        sizes = (config.codebook_size,) * len(config.level_strides)
        self.encoder = normalise(Chain(*_encoder(config)))
        self.quantizer = normalise(
            MultiScaleVQ(
                MultiScaleVQConfig(
                    config.latent,
                    sizes,
                    code_dim=config.code_dim,
                    detach=False,
                    codebook=CodebookConfig(ema=False, normalised=True, kmeans=0, revive_below=0),
                    strides=config.level_strides,
                )
            )
        )
        self.decoder = normalise(Chain(*_decoder(config)))
        self.info = CodecInfo(
            name=name,
            digest=digest,
            sample_rate=config.sample_rate,
            channels=1,
            hop=config.hop,
            codebook_sizes=sizes,
            strides=config.level_strides,
            preroll=preroll(self.decoder),
            lookahead=lookahead(self.encoder, self.decoder, config.hop, math.lcm(*config.level_strides), config.turn),
        )

    @property
    def seed(self) -> int | None:
        """What the decoder's noise is drawn from, 0 at first; None for a decoder without noise."""
        return next((layer.seed for layer in self.decoder if isinstance(layer, Noise)), None)

    @seed.setter
    def seed(self, seed: int | None) -> None:
        """For all noise blocks; a codec without any stays at None."""
        for layer in self.decoder:
            if isinstance(layer, Noise):
                layer.seed = seed

    def forward(self, wave: Tensor) -> Reconstruction:
        """Code `[B, 1, T]` and come back, aligned and of the same length."""
        length = wave.shape[-1]
        whole = super().forward(pad(wave, (0, -length % (self.config.hop * self.config.turn))))
        return Reconstruction(whole.wave[..., :length], whole.quantized)

    def stream(self, levels: int | None = None) -> Stream:
        """A new two-way stream; it ends with whole windows, as the package does."""
        return WindowStream(self, self.info.check_levels(levels), self.config.turn)


class WindowStream(Stream):
    """A stream that fills up its last window with silence, so it codes up to a window more than it heard."""

    def __init__(self, codec: SNAC, levels: int, turn: int) -> None:
        super().__init__(codec, levels)
        self._turn = turn  # frames

    def _blocks(self, wave: Wave, unit: int) -> tuple[Level, ...]:
        if self._ended:
            turn = self._turn * self.codec.info.hop
            fed = self._fed * self.codec.info.hop + wave.shape[2]
            wave = np.pad(wave, ((0, 0), (0, 0), (0, -fed % turn)))
        return super()._blocks(wave, unit)


def _encoder(config: SNACConfig) -> Iterator[nn.Module]:
    width = config.latent
    yield from descent(config.encoder_dim, config.strides, config.depthwise)
    if config.window:
        yield LocalAttention(width, config.window)
    yield _wide(width, width, config.depthwise)
    yield Gather(math.lcm(*config.level_strides))


def _decoder(config: SNACConfig) -> Iterator[nn.Module]:
    width, rate = config.decoder_dim, 1
    if config.depthwise:
        yield _wide(config.latent, config.latent, True)
        yield Conv1d(config.latent, width, Kernel(1))
    else:
        yield _wide(config.latent, width, False)
    if config.window:
        yield LocalAttention(width, config.window)
    for stride in reversed(config.strides):
        rate *= stride
        yield Snake(width)
        yield ConvTranspose1d(width, width // 2, Kernel(2 * stride, stride).centred())
        width //= 2
        if config.noise:
            yield Noise(width, rate)
        yield from units(width, config.depthwise)
    yield Snake(width)
    yield _wide(width, 1, False)
    yield nn.Tanh()


def _wide(width: int, to: int, depthwise: bool) -> Conv1d:
    return Conv1d(width, to, Kernel(7).centred(), groups=width if depthwise else 1)
