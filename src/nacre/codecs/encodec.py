"""EnCodec: a SEANet with an LSTM on both sides of a residual quantizer; mono and causal, stereo in segments, or music.

Défossez et al. 2022 (arXiv 2210.13438), and audiocraft's model at 32 kHz, which MusicGen speaks (Copet et al. 2023,
arXiv 2306.05284). Official weights come in through `converters/from_encodec.py`; codes and sound are then those of
the package. Where a signal begins the layers see it mirrored, so at 24 kHz the first frames hear a few frames after
them: a stream gives these together, and every later one as soon as it is whole.

Letters in shapes: `B` batch, `C` channels, `T` samples, `D` features, `F` frames.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from ..codes import CodecInfo, Level
from ..contract import Stream, Wave
from ..errors import InputError
from ..nn.reach import lookahead
from ..nn.seanet import SEANetConfig, SEANetDecoder, SEANetEncoder
from ..quantizers.codebook import CodebookConfig
from ..quantizers.rvq import ResidualVQ, ResidualVQConfig
from .base import Reconstruction, UnpaddedCodec
from .encodec_segments import Scale, SegmentStream


@dataclass(frozen=True)
class EnCodecConfig:
    """Sizes of an EnCodec. The defaults are those at 24 kHz."""

    sample_rate: int = 24_000
    seanet: SEANetConfig = field(default_factory=SEANetConfig)  # both sides
    levels: int = 32
    codebook_size: int = 1024
    dropout: tuple[int, ...] = (2, 4, 8, 16, 32)  # level counts that training draws from: 1.5 to 24 kbps
    preroll: int = 75  # frames; an LSTM never quite forgets, so a place that is sought out is near, not equal
    segment: int = 0  # samples that are coded by themselves, all brought to one loudness; 0: the whole sound as it is
    overlap: int = 0  # samples that segments share

    def __post_init__(self) -> None:
        if self.segment and (self.segment % self.seanet.hop or not 0 < 2 * self.overlap <= self.segment):
            raise InputError(
                f"segments are whole frames of {self.seanet.hop} samples and overlap by 1 sample to half of them, "
                f"got {self.segment} samples and an overlap of {self.overlap}"
            )


_MUSIC = SEANetConfig(filters=64, strides=(4, 4, 5, 8), identity_skip=True, causal=False, pad="zero")

PRESETS = {
    "encodec-24k": EnCodecConfig(),
    "encodec-48k": EnCodecConfig(
        sample_rate=48_000,
        seanet=SEANetConfig(channels=2, causal=False, norm="time-group"),
        levels=16,
        dropout=(2, 4, 8, 16),
        preroll=0,
        segment=48_000,
        overlap=480,
    ),
    # as audiocraft trains it; transformers mirrors the sound where audiocraft sees zeros
    "encodec-32k": EnCodecConfig(32_000, _MUSIC, levels=4, codebook_size=2048, dropout=(), preroll=50),
    "encodec-32k-hf": EnCodecConfig(
        32_000, replace(_MUSIC, pad="reflect"), levels=4, codebook_size=2048, dropout=(), preroll=50
    ),
}


class EnCodec(UnpaddedCodec):
    """Sound in nested levels; at 24 kHz 75 frames a second of 10 bits: 2 levels are 1.5 kbps, 8 are 6, all are 24."""

    encoder: SEANetEncoder
    decoder: SEANetDecoder

    def __init__(
        self, config: EnCodecConfig = PRESETS["encodec-24k"], name: str = "encodec-24k", digest: str = ""
    ) -> None:
        super().__init__()
        seanet, sizes = config.seanet, (config.codebook_size,) * config.levels
        self.config = config
        self.encoder = SEANetEncoder(seanet)
        # as in EnCodec the residual keeps its gradient, so commitment pulls from the first level only
        book = CodebookConfig(kmeans=50)
        self.quantizer = ResidualVQ(
            ResidualVQConfig(seanet.dim, sizes, detach=False, dropout=config.dropout, codebook=book)
        )
        self.decoder = SEANetDecoder(seanet)
        self.info = CodecInfo(
            name=name,
            digest=digest,
            sample_rate=config.sample_rate,
            channels=seanet.channels,
            hop=seanet.hop,
            codebook_sizes=sizes,
            preroll=config.preroll,
            segment=config.segment // seanet.hop,
            overlap=config.overlap,
            lookahead=self._lookahead(),
        )

    def _lookahead(self) -> int:
        config: EnCodecConfig = self.config
        seanet = config.seanet
        if config.segment:
            return config.segment - seanet.hop
        if seanet.causal:  # what the last convolution of the encoder and the first of the decoder mirror at the start
            return seanet.hop * (max(seanet.kernel, seanet.last_kernel) - 1) if seanet.pad == "reflect" else 0
        return lookahead(self.encoder, self.decoder, seanet.hop)

    def forward(self, wave: Tensor) -> Reconstruction:
        """Code `[B, C, T]` and come back; a model of segments takes one segment at most."""
        length, segment = wave.shape[-1], self.config.segment
        if not segment:
            return super().forward(wave)
        if length > segment:
            raise InputError(
                f"{self.info.name} learns from segments of up to {segment} samples, got {length}; crop them"
            )
        even, scale = normalised(wave)
        quantized = self.quantizer(self.encoder(even))
        return Reconstruction(self.decoder(quantized.z)[..., :length] * scale, quantized)

    def stream(self, levels: int | None = None) -> Stream:
        """A new two-way stream; without segments its first frames come out together."""
        if not self.config.segment:
            return super().stream(levels)
        return SegmentStream(self, self, self.info.check_levels(levels))

    @torch.inference_mode()
    def encode_segment(self, wave: Wave, levels: int) -> tuple[tuple[Level, ...], Scale]:
        """Levels `[B, F]` of one segment `[B, C, T]`, and how loud it was, `[B]`."""
        even, scale = normalised(torch.from_numpy(wave).to(self.device))
        z = self.encoder(even)
        return tuple(level.cpu().numpy() for level in self.quantizer.encode(z, levels)), scale.flatten().cpu().numpy()

    @torch.inference_mode()
    def decode_segment(self, levels: tuple[Level, ...], scale: Scale) -> Wave:
        """Sound `[B, C, F * hop]` of one segment."""
        z = self.quantizer.decode([torch.from_numpy(level).to(self.device) for level in levels])
        sound = self.decoder(z).float().cpu() * torch.from_numpy(scale)[:, None, None]
        return np.asarray(sound.numpy())


def normalised(wave: Tensor) -> tuple[Tensor, Tensor]:
    """`[B, C, T]` at a loudness of 1, and the RMS of its mono mix, `[B, 1, 1]`, which brings it back."""
    mono = wave.mean(dim=1, keepdim=True)
    scale = 1e-8 + mono.pow(2).mean(dim=2, keepdim=True).sqrt()
    return wave / scale, scale
