"""EnCodec at 24 kHz: a causal SEANet with an LSTM on both sides of a residual quantizer.

Défossez et al. 2022 (arXiv 2210.13438). Official weights come in through `converters/from_encodec.py`; codes and sound
are then those of the package. Where a signal begins its layers see it mirrored, so the first frames hear a few frames
after them: a stream gives these together, and every later one as soon as it is whole.

Letters in shapes: `B` batch, `C` channels, `T` samples, `D` features, `F` frames.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from ..codes import CodecInfo, Level
from ..contract import Stream, Wave
from ..nn.seanet import SEANetConfig, SEANetDecoder, SEANetEncoder
from ..quantizers.rvq import ResidualVQ, ResidualVQConfig
from .base import Codec, Reconstruction


@dataclass(frozen=True)
class EnCodecConfig:
    """Sizes of a causal EnCodec."""

    sample_rate: int = 24_000
    seanet: SEANetConfig = field(default_factory=SEANetConfig)  # both sides
    levels: int = 32
    codebook_size: int = 1024
    dropout: tuple[int, ...] = (2, 4, 8, 16, 32)  # level counts that training draws from: 1.5 to 24 kbps
    preroll: int = 75  # frames; an LSTM never quite forgets, so a place that is sought out is near, not equal


PRESETS = {"encodec-24k": EnCodecConfig()}


class EnCodec(Codec):
    """Sound at 24 kHz in up to 32 levels of 10 bits, 75 frames a second: 2 are 1.5 kbps, 8 are 6, all are 24."""

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
        self.quantizer = ResidualVQ(ResidualVQConfig(seanet.dim, sizes, detach=False, dropout=config.dropout))
        self.decoder = SEANetDecoder(seanet)
        self.info = CodecInfo(
            name=name,
            digest=digest,
            sample_rate=config.sample_rate,
            channels=seanet.channels,
            hop=seanet.hop,
            codebook_sizes=sizes,
            preroll=config.preroll,
            # what the last convolution of the encoder and the first of the decoder mirror before the first frame
            lookahead=seanet.hop * (max(seanet.kernel, seanet.last_kernel) - 1),
        )

    def forward(self, wave: Tensor) -> Reconstruction:
        """Code `[B, C, T]` and come back; layers pad a frame that is not whole themselves, as EnCodec's do."""
        quantized = self.quantizer(self.encoder(wave))
        return Reconstruction(self.decoder(quantized.z)[..., : wave.shape[-1]], quantized)

    def stream(self, levels: int | None = None) -> Stream:
        """A new two-way stream; its first frames come out together."""
        return UnpaddedStream(self, self.info.check_levels(levels))


class UnpaddedStream(Stream):
    """A stream that leaves a last frame that is not whole to the layers: EnCodec's mirror the sound there."""

    def _blocks(self, wave: Wave, unit: int) -> tuple[Level, ...]:
        zeros = self._fed * self.codec.info.hop + wave.shape[2] - self._heard if self._ended else 0
        return super()._blocks(wave[:, :, : wave.shape[2] - max(0, zeros)], unit)
