"""pearl: our own small causal codec. STFT in, ConvNeXt blocks at the frame rate, inverse STFT out.

All learning happens at 75 frames a second, where the work is matrix products: about 0.3 G multiply-adds a second
of audio for 4 M parameters. Related: Vocos (Siuzdak 2023, arXiv 2306.00814) for the decoder, HAC v1.2 for the
spectral input, SoundStream (Zeghidour et al. 2021, arXiv 2107.03312) for the residual quantizer with level dropout.

Letters in shapes: `B` batch, `T` samples, `N` frequency bins, `D` features, `F` frames.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..codes import CodecInfo
from ..nn.blocks import ConvNeXtBlock
from ..nn.spectral import CausalISTFT, CausalSTFT, compress
from ..nn.state import State
from ..quantizers.rvq import ResidualVQ, ResidualVQConfig
from .base import Codec

LOUDEST = 6.0  # the largest log-magnitude the decoder may ask for


@dataclass(frozen=True)
class PearlConfig:
    """Sizes of a pearl."""

    sample_rate: int = 24_000
    hop: int = 320  # samples a frame; the STFT window is two frames long
    dim: int = 256  # features inside the encoder and the decoder
    hidden: int = 704  # features inside a block; at 16 bits a weight both graphs then stay under 8 MB
    latent: int = 64  # features that are quantized
    kernel: int = 7  # frames that a block hears
    encoder_blocks: int = 3
    decoder_blocks: int = 5
    levels: int = 9
    codebook_size: int = 512
    dropout: tuple[int, ...] = (1, 2, 2, 2, 3, 4, 4, 5, 6, 7, 8, 9)  # level counts that training draws from
    lost: float = 0.05  # share of frames that training loses, so that the decoder learns to make them up
    lost_frames: int = 12  # the most it loses at once; two such runs may meet


PRESETS = {"pearl-24k": PearlConfig()}


class Pearl(Codec):
    """Speech at 24 kHz in nested levels of 9 bits: two are 1.35 kbps, all nine 6.075 kbps."""

    encoder: Encoder
    decoder: Decoder

    def __init__(self, config: PearlConfig = PRESETS["pearl-24k"], name: str = "pearl-24k", digest: str = "") -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        sizes = (config.codebook_size,) * config.levels
        self.quantizer = ResidualVQ(ResidualVQConfig(config.latent, sizes, dropout=config.dropout))
        self.decoder = Decoder(config)
        self.info = CodecInfo(
            name=name,
            digest=digest,
            sample_rate=config.sample_rate,
            channels=1,
            hop=config.hop,
            codebook_sizes=sizes,
            delay=config.hop,
            preroll=config.decoder_blocks * (config.kernel - 1) + 1,  # and one for the overlap of the inverse STFT
            conceals=config.lost_frames if config.lost else 0,
        )

    def transmit(self, z: Tensor) -> Tensor:
        """Latents as they arrive: in training some frames are lost on the way, and zeros stand for them."""
        return lose(z, self.config.lost, self.config.lost_frames) if self.training and self.config.lost else z


class Encoder(nn.Module):
    """Samples `[B, 1, T]` to latents `[B, D, F]` of unit variance in every frame."""

    def __init__(self, config: PearlConfig) -> None:
        super().__init__()
        self.stft = CausalSTFT(2 * config.hop, config.hop)
        self.enter = nn.Linear(2 * (config.hop + 1), config.dim)
        self.blocks = nn.ModuleList(
            ConvNeXtBlock(config.dim, config.hidden, config.kernel) for _ in range(config.encoder_blocks)
        )
        self.leave = nn.Linear(config.dim, config.latent)
        self.norm = nn.LayerNorm(config.latent, elementwise_affine=False)  # unheld, the latents grow without bound

    def forward(self, wave: Tensor, state: State | None = None) -> Tensor:
        """Spectrum, compressed; blocks; projection."""
        x = self.enter(compress(self.stft(wave, state)).transpose(1, 2)).transpose(1, 2)
        for block in self.blocks:
            x = block(x, state)
        latent: Tensor = self.norm(self.leave(x.transpose(1, 2))).transpose(1, 2)
        return latent


class Decoder(nn.Module):
    """Latents `[B, D, F]` to samples `[B, 1, F * hop]`, one frame late: the overlap of the inverse STFT."""

    def __init__(self, config: PearlConfig) -> None:
        super().__init__()
        self.enter = nn.Linear(config.latent, config.dim)
        self.blocks = nn.ModuleList(
            ConvNeXtBlock(config.dim, config.hidden, config.kernel) for _ in range(config.decoder_blocks)
        )
        self.norm = nn.LayerNorm(config.dim)
        self.leave = nn.Linear(config.dim, 3 * (config.hop + 1))
        self.istft = CausalISTFT(2 * config.hop)

    def forward(self, z: Tensor, state: State | None = None) -> Tensor:
        """Blocks; log-magnitude and direction of every bin; samples."""
        x = self.enter(z.transpose(1, 2)).transpose(1, 2)
        for block in self.blocks:
            x = block(x, state)
        magnitude, real, imaginary = self.leave(self.norm(x.transpose(1, 2))).transpose(1, 2).chunk(3, dim=1)
        # a direction, not an angle: it does not wrap, and a square root rounds alike in every chunk, a cosine does not
        gain = magnitude.clamp(max=LOUDEST).exp() / (real.square() + imaginary.square() + 1e-6).sqrt()
        wave: Tensor = self.istft(torch.cat([gain * real, gain * imaginary], dim=1), state)
        return wave


def lose(z: Tensor, share: float, longest: int) -> Tensor:
    """`z` `[B, D, F]` with about a `share` of its frames zero, in runs of 1 to `longest`, which may meet."""
    batch, _, count = z.shape
    frames = torch.arange(count, device=z.device)
    begins = torch.rand(batch, count, device=z.device) < 2 * share / (longest + 1)
    ends = frames + torch.randint(1, longest + 1, (batch, count), device=z.device)
    lost = torch.where(begins, ends, 0).cummax(dim=1).values > frames
    return z.masked_fill(lost[:, None], 0.0)
