"""Mimi: a causal SEANet, a transformer on either side, and a quantizer split into meaning and sound.

Défossez et al. 2024 (Moshi, arXiv 2410.00037), as `moshi` and `transformers` have it. Made for language models: 12.5
frames a second, the first level taught by a model of speech. Inference and import; official weights come in through
`converters/from_mimi.py`.

Letters in shapes: `B` batch, `C` channels, `D` features, `T` samples, `F` frames, `P` positions, two a frame.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from ..codes import CodecInfo
from ..nn.attention import CausalAttention, LayerScale
from ..nn.blocks import Chain
from ..nn.conv import Conv1d, ConvTranspose1d
from ..nn.norms import ChannelNorm
from ..nn.padding import Kernel
from ..nn.seanet import SEANetConfig, SEANetDecoder, SEANetEncoder
from ..nn.state import State
from ..quantizers.codebook import CodebookConfig
from ..quantizers.rvq import ResidualVQConfig
from ..quantizers.split import SplitVQ
from .base import UnpaddedCodec

POSITIONS = 2  # of the transformers, a frame
KERNEL, LAST_KERNEL, UNIT_KERNEL = 7, 3, 3  # of the SEANet's first and last convolutions and of its units


@dataclass(frozen=True)
class MimiConfig:
    """Sizes of a Mimi. The defaults are the released one."""

    sample_rate: int = 24_000
    filters: int = 64  # width next to the samples; doubled by every stage
    strides: tuple[int, ...] = (4, 5, 6, 8)  # of the SEANet, in the encoder's order
    dim: int = 512  # features of a latent
    layers: int = 8  # of either transformer
    heads: int = 8
    hidden: int = 2048  # features inside a transformer's layer
    context: int = 250  # positions that a layer attends to: 10 seconds
    levels: int = 32  # of which one says what is said; Moshi uses eight
    codebook_size: int = 2048
    code_dim: int = 256  # features of an entry

    @property
    def seanet(self) -> SEANetConfig:
        """The convolutions of both sides."""
        return SEANetConfig(
            dim=self.dim,
            filters=self.filters,
            strides=self.strides,
            kernel=KERNEL,
            last_kernel=LAST_KERNEL,
            unit_kernel=UNIT_KERNEL,
            dilations=((1,),) * len(self.strides),
            identity_skip=True,
            lstm=0,
            pad="zero",
            norm="none",
        )

    @property
    def hop(self) -> int:
        """Samples a frame."""
        return POSITIONS * math.prod(self.strides)

    @property
    def preroll(self) -> int:
        """Frames that a decoder hears before the first sample of a frame: most are what attention reaches back."""
        first = 1 - LAST_KERNEL  # walked back from that sample to the latents
        for stride in self.strides:
            first = (first + 1 - UNIT_KERNEL) // stride - 1
        first += 1 - KERNEL - self.layers * (self.context - 1)
        return 1 - first // POSITIONS


PRESETS = {"mimi-24k": MimiConfig()}


class Mimi(UnpaddedCodec):
    """Speech at 24 kHz in up to 32 levels of 11 bits, 12.5 frames a second: one is 138 bit/s, eight are 1.1 kbps."""

    encoder: Encoder
    quantizer: SplitVQ
    decoder: Decoder

    def __init__(self, config: MimiConfig = PRESETS["mimi-24k"], name: str = "mimi-24k", digest: str = "") -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.quantizer = SplitVQ(_half(config, 1), _half(config, config.levels - 1))
        self.decoder = Decoder(config)
        self.info = CodecInfo(
            name=name,
            digest=digest,
            sample_rate=config.sample_rate,
            channels=1,
            hop=config.hop,
            codebook_sizes=self.quantizer.codebook_sizes,
            preroll=config.preroll,
        )


class Encoder(nn.Module):
    """`[B, 1, T] -> [B, D, ceil(T / hop)]`: convolutions, attention, and every two positions to one."""

    def __init__(self, config: MimiConfig) -> None:
        super().__init__()
        self.seanet = SEANetEncoder(config.seanet)
        self.transformer = transformer(config)
        kernel = Kernel(2 * POSITIONS, POSITIONS)
        self.downsample = Conv1d(config.dim, config.dim, kernel, "replicate", bias=False)

    def forward(self, wave: Tensor, state: State | None = None) -> Tensor:
        """Latents of the frames that `wave` completes."""
        z: Tensor = self.downsample(self.transformer(self.seanet(wave, state), state), state)
        return z


class Decoder(nn.Module):
    """`[B, D, F] -> [B, 1, F * hop]`: the encoder backwards, upsampling feature by feature."""

    def __init__(self, config: MimiConfig) -> None:
        super().__init__()
        kernel = Kernel(2 * POSITIONS, POSITIONS)
        self.upsample = ConvTranspose1d(config.dim, config.dim, kernel, groups=config.dim, bias=False)
        self.transformer = transformer(config)
        self.seanet = SEANetDecoder(config.seanet)

    def forward(self, z: Tensor, state: State | None = None) -> Tensor:
        """Samples of the frames."""
        wave: Tensor = self.seanet(self.transformer(self.upsample(z, state), state), state)
        return wave


class TransformerLayer(nn.Module):
    """Attention to the past, then a two-layer net a position; both normalised before and added small: `[B, D, P]`."""

    def __init__(self, config: MimiConfig) -> None:
        super().__init__()
        self.attention_norm = ChannelNorm(config.dim)
        self.attention = CausalAttention(config.dim, config.heads, config.context)
        self.attention_scale = LayerScale(config.dim)
        self.net_norm = ChannelNorm(config.dim)
        self.up = nn.Linear(config.dim, config.hidden, bias=False)
        self.down = nn.Linear(config.hidden, config.dim, bias=False)
        self.net_scale = LayerScale(config.dim)

    def forward(self, x: Tensor, state: State | None = None) -> Tensor:
        """Attend, then think."""
        x = x + self.attention_scale(self.attention(self.attention_norm(x), state))
        y = self.down(F.gelu(self.up(self.net_norm(x).transpose(1, 2)))).transpose(1, 2)
        z: Tensor = x + self.net_scale(y)
        return z


def transformer(config: MimiConfig) -> Chain:
    """The layers of one side."""
    return Chain(*(TransformerLayer(config) for _ in range(config.layers)))


def _half(config: MimiConfig, levels: int) -> ResidualVQConfig:
    sizes = (config.codebook_size,) * levels
    codebook = CodebookConfig(smoothing=0)
    return ResidualVQConfig(config.dim, sizes, config.code_dim, shared=True, bias=False, codebook=codebook)
