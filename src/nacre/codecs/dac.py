"""DAC: Descript's codec for any sound, not causal: convolutions, Snake, a residual quantizer of narrow codebooks.

Kumar et al. 2023 (arXiv 2306.06546), true to `descript-audio-codec` 1.0.0. It hears both sides of every sample, so it
streams late by `info.lookahead`, and is exact for that.

Letters in shapes: `B` batch, `C` channels, `D` features, `T` samples, `F` frames.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.functional import pad

from ..codes import CodecInfo
from ..nn.activations import Snake
from ..nn.blocks import Chain
from ..nn.conv import Conv1d, ConvTranspose1d
from ..nn.padding import Kernel
from ..nn.reach import lookahead, preroll
from ..nn.snakenet import descent, units
from ..nn.state import State
from ..nn.weight_norm import normalise
from ..quantizers.codebook import CodebookConfig
from ..quantizers.rvq import ResidualVQ, ResidualVQConfig
from .base import Codec


@dataclass(frozen=True)
class DACConfig:
    """Sizes of a DAC. The defaults are the 44.1 kHz model of 8 kbps."""

    sample_rate: int = 44_100
    strides: tuple[int, ...] = (2, 4, 8, 8)  # in the encoder's order; the decoder has them the other way round
    encoder_dim: int = 64  # width next to the samples; doubled by every stage
    decoder_dim: int = 1536  # width next to the latents; halved by every stage
    latent: int = 1024  # features that are quantized
    levels: int = 9
    codebook_size: int = 1024
    code_dim: int = 8  # features of an entry
    dropout_spared: float = 0.5  # share of a training batch that hears all levels

    @property
    def hop(self) -> int:
        """Samples a frame."""
        return math.prod(self.strides)


PRESETS = {
    "dac-16k": DACConfig(16_000, (2, 4, 5, 8), levels=12),
    "dac-24k": DACConfig(24_000, (2, 4, 5, 8), levels=32),
    "dac-44k": DACConfig(),
    "dac-44k-16kbps": DACConfig(latent=128, levels=18),
}


class DAC(Codec):
    """Any sound in nested levels of 10 bits; at 44.1 kHz nine are 7.75 kbps.

    The convolutions of the original's decoder are short of a sample after every odd stride: at 16 and 24 kHz the last 8
    samples of a sound are lost, and zeros stand for them here.
    """

    decoder: Decoder

    def __init__(self, config: DACConfig = PRESETS["dac-44k"], name: str = "dac-44k", digest: str = "") -> None:
        super().__init__()
        self.config = config
        sizes = (config.codebook_size,) * config.levels
        self.encoder = normalise(Chain(*_encoder(config)))
        self.quantizer = normalise(
            ResidualVQ(
                ResidualVQConfig(
                    config.latent,
                    sizes,
                    code_dim=config.code_dim,
                    detach=False,
                    dropout=tuple(range(1, config.levels + 1)),
                    dropout_spared=config.dropout_spared,
                    codebook=CodebookConfig(ema=False, normalised=True, kmeans=0, revive_below=0),
                )
            )
        )
        self.decoder = normalise(Decoder(config))
        self.info = CodecInfo(
            name=name,
            digest=digest,
            sample_rate=config.sample_rate,
            channels=1,
            hop=config.hop,
            codebook_sizes=sizes,
            preroll=preroll(self.decoder),
            lookahead=lookahead(self.encoder, self.decoder, config.hop),
        )
        _start_small(self)


class Decoder(Chain):
    """Latents `[B, D, F]` to samples `[B, 1, F * hop]`, with zeros for those that odd strides lose at the end."""

    def __init__(self, config: DACConfig) -> None:
        super().__init__(*_decoder(config))
        rate = config.hop
        self.lost = 0  # samples
        for stride in reversed(config.strides):
            rate //= stride
            self.lost += stride % 2 * rate

    def forward(self, z: Tensor, state: State | None = None) -> Tensor:
        wave = super().forward(z, state)
        ends = state is None or state.last
        return pad(wave, (0, self.lost)) if ends and wave.shape[-1] else wave


class Upsample(ConvTranspose1d):
    """DAC's transposed convolution: it cuts as much off the end as off the start, for odd strides one sample more."""

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__(c_in, c_out, Kernel(2 * stride, stride).centred())

    def forward(self, x: Tensor, state: State | None = None) -> Tensor:  # type: ignore[override]
        y = super().forward(x, state)
        odd = self.kernel.stride % 2 and (state is None or state.last)
        return y[..., :-1] if odd else y


def _encoder(config: DACConfig) -> Iterator[nn.Module]:
    width = config.encoder_dim << len(config.strides)
    yield from descent(config.encoder_dim, config.strides)
    yield Snake(width)
    yield Conv1d(width, config.latent, Kernel(3).centred())


def _decoder(config: DACConfig) -> Iterator[nn.Module]:
    width = config.decoder_dim
    yield Conv1d(config.latent, width, Kernel(7).centred())
    for stride in reversed(config.strides):
        yield Snake(width)
        yield Upsample(width, width // 2, stride)
        width //= 2
        yield from units(width)
    yield Snake(width)
    yield Conv1d(width, 1, Kernel(7).centred())
    yield nn.Tanh()


def _start_small(model: nn.Module) -> None:
    """DAC's start: normal weights of 0.02, cut at two deviations, no bias; transposed convolutions keep torch's."""
    for layer in model.modules():
        if isinstance(layer, nn.Conv1d):
            weight = layer.weight.detach().clone()
            layer.weight = nn.init.trunc_normal_(weight, std=0.02)  # goes into size and direction
            nn.init.zeros_(layer.bias) if layer.bias is not None else None
