"""WavTokenizer: one codebook of 4096 entries is all there is; a SEANet in front, a Vocos with attention behind it.

Ji et al. 2024 (arXiv 2408.16532). Inference and import; official weights come in through
`converters/from_wavtokenizer.py`. Not causal: convolutions hear both sides, and attention and norms hear the whole
sound in the original. Here they hear windows of 15 to 30 seconds, so that length has no limit: sounds below 30 seconds
are as in the original, and a stream is late by a window.

Letters in shapes: `B` batch, `C` channels, `D` features, `F` frames, `T` samples.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..codes import CodecInfo
from ..nn.blocks import Chain, Residual
from ..nn.norms import GroupNorm
from ..nn.seanet import SEANetConfig, SEANetEncoder
from ..nn.state import State
from ..nn.vocoder import Vocoder, VocoderConfig
from ..quantizers.codebook import CodebookConfig
from ..quantizers.rvq import ResidualVQ, ResidualVQConfig
from .base import UnpaddedCodec

GROUPS, EPS = 32, 1e-6  # of the norms over time


@dataclass(frozen=True)
class WavTokenizerConfig:
    """Sizes of a WavTokenizer. The defaults are the released one of 75 tokens a second."""

    sample_rate: int = 24_000
    filters: int = 32  # width next to the samples; doubled by every stage
    strides: tuple[int, ...] = (2, 4, 5, 8)  # in the encoder's order
    latent: int = 512  # features that are quantized
    codebook_size: int = 4096
    dim: int = 768  # width of the decoder
    hidden: int = 2304
    layers: int = 12  # ConvNeXt blocks
    conditions: int = 4  # sets of gains and shifts in the decoder's norms
    condition: int = 0  # which of them is used
    window: int = 1_125  # frames that attention and norms hear together, and up to twice as many
    preroll: int = 75  # frames; windows are counted from the start, so a place that is sought out is near, not equal

    @property
    def hop(self) -> int:
        """Samples a frame."""
        return math.prod(self.strides)

    @property
    def seanet(self) -> SEANetConfig:
        """The encoder."""
        dilations = ((1,),) * len(self.strides)
        return SEANetConfig(
            dim=self.latent, filters=self.filters, strides=self.strides, dilations=dilations, causal=False
        )

    @property
    def vocoder(self) -> VocoderConfig:
        """The decoder."""
        return VocoderConfig(
            features=self.latent,
            dim=self.dim,
            hidden=self.hidden,
            layers=self.layers,
            n_fft=4 * self.hop,
            hop=self.hop,
            centred=False,
            conditions=self.conditions,
        )

    @property
    def lookahead(self) -> int:
        """Samples that a stream is late by: the encoder's right context in whole frames, then the decoder's."""
        seanet = self.seanet
        ahead, rate = seanet.kernel // 2, 1
        for stride in self.strides:
            ahead += (seanet.unit_kernel // 2 + stride // 2) * rate
            rate *= stride
        frames = -(-ahead // rate) + seanet.last_kernel // 2
        return (frames + 2 * self.window - 1) * rate + self.vocoder.lookahead


PRESETS = {
    "wavtokenizer-75": WavTokenizerConfig(),
    "wavtokenizer-40": WavTokenizerConfig(strides=(4, 5, 5, 6), window=600, preroll=40),
}


class WavTokenizer(UnpaddedCodec):
    """Sound at 24 kHz in one level of 12 bits: 75 tokens a second are 0.9 kbps, 40 are 0.48."""

    encoder: SEANetEncoder
    quantizer: ResidualVQ
    decoder: Decoder

    def __init__(
        self,
        config: WavTokenizerConfig = PRESETS["wavtokenizer-75"],
        name: str = "wavtokenizer-75",
        digest: str = "",
    ) -> None:
        super().__init__()
        self.config = config
        self.encoder = SEANetEncoder(config.seanet)
        codebook = CodebookConfig(kmeans=200)
        self.quantizer = ResidualVQ(ResidualVQConfig(config.latent, (config.codebook_size,), codebook=codebook))
        self.decoder = Decoder(config)
        self.info = CodecInfo(
            name=name,
            digest=digest,
            sample_rate=config.sample_rate,
            channels=1,
            hop=config.hop,
            codebook_sizes=(config.codebook_size,),
            preroll=config.preroll,
            lookahead=config.lookahead,
        )


class Decoder(nn.Module):
    """`[B, D, F] -> [B, 1, F * hop]`: a Vocos that looks around in windows before its blocks."""

    def __init__(self, config: WavTokenizerConfig) -> None:
        super().__init__()
        self.condition = config.condition
        self.vocoder = Vocoder(config.vocoder, before=Windowed(config.dim, config.window))

    def forward(self, z: Tensor, state: State | None = None) -> Tensor:
        """Samples of the frames."""
        wave: Tensor = self.vocoder(z, state, self.condition)
        return wave


class Windowed(nn.Module):
    """Convolutions, norms over time and attention inside windows that do not overlap: `[B, D, F] -> [B, D, F]`.

    A window has `window` frames, and the last one those that are left too, so that none is short and a sound of less
    than two windows is heard whole.
    """

    def __init__(self, dim: int, window: int) -> None:
        super().__init__()
        self.window = window
        parts = [resnet(dim), resnet(dim), SelfAttention(dim), resnet(dim), resnet(dim)]
        self.body = Chain(*parts, GroupNorm(GROUPS, dim, EPS))

    def forward(self, x: Tensor, state: State | None = None) -> Tensor:
        """Every window that is complete."""
        kept = state.get(self) if state is not None else None
        x = x if kept is None else torch.cat([kept[0], x], dim=-1)
        parts = [x[..., :0]]
        while x.shape[-1] >= 2 * self.window:
            parts.append(self.body(x[..., : self.window]))
            x = x[..., self.window :]
        if (state is None or state.last) and x.shape[-1]:
            parts.append(self.body(x))
            x = x[..., :0]
        if state is not None:
            state.put(self, x)
        return torch.cat(parts, dim=-1)


class SelfAttention(nn.Module):
    """Every frame attends to all, added to the input: `[B, D, F] -> [B, D, F]`; one head, no positions."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = GroupNorm(GROUPS, dim, EPS)
        self.qkv = nn.Conv1d(dim, 3 * dim, 1)
        self.out = nn.Conv1d(dim, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Attend."""
        q, k, v = self.qkv(self.norm(x)).transpose(1, 2).chunk(3, dim=2)
        mixed: Tensor = self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2))
        return x + mixed


def resnet(dim: int) -> Residual:
    """Norm, swish and convolution, twice, added to the input; zeros lie around a window."""
    norms = [GroupNorm(GROUPS, dim, EPS) for _ in range(2)]
    convolutions = [nn.Conv1d(dim, dim, 3, padding=1) for _ in range(2)]
    return Residual(Chain(norms[0], nn.SiLU(), convolutions[0], norms[1], nn.SiLU(), convolutions[1]))
