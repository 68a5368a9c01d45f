"""AudioDec: a causal autoencoder without recurrence, whose decoder can be changed for a vocoder.

Wu et al. 2023 (ICASSP, doi 10.1109/ICASSP49357.2023.10096509). Encoder and codebooks are trained first and then held
(`freeze`), so that every later decoder, denoising encoder or vocoder speaks the same codes. Official weights come in
through `converters/from_audiodec.py`.

Letters in shapes: `B` batch, `C` channels, `D` features, `T` samples, `F` frames.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
import torch
from torch import nn

from ..codes import CodecInfo, Level
from ..contract import Wave
from ..errors import InputError
from ..nn.blocks import Chain, Residual
from ..nn.conv import CausalConv1d, Conv1d, ConvTranspose1d
from ..nn.padding import Kernel
from ..nn.reach import preroll
from ..nn.state import State
from ..nn.weight_norm import normalise
from ..quantizers.codebook import CodebookConfig
from ..quantizers.rvq import ResidualVQ, ResidualVQConfig
from .audiodec_vocoder import Generator, GeneratorConfig
from .base import Codec

DILATIONS = (1, 3, 9)  # of the residual units of a stage
KERNEL = 7  # of these units, of the first convolution of either side and of the decoder's last
PARTS = ("encoder", "quantizer", "decoder")  # what training may hold


@dataclass(frozen=True)
class AudioDecConfig:
    """Sizes of an AudioDec. The defaults are symAD at 48 kHz."""

    sample_rate: int = 48_000
    strides: tuple[int, ...] = (3, 4, 5, 5)  # in the encoder's order; decoders have them the other way round
    width: int = 32  # of the encoder next to the samples; doubled by every stage
    decoder_width: int = 32  # of the decoder next to the samples; asymmetric where it is not that of the encoder
    latent: int = 64  # features that are quantized
    levels: int = 8
    codebook_size: int = 1024
    activated: bool = False  # symAAD: ELU around the stages, tanh at the end, weight norm
    vocoder: GeneratorConfig | None = None  # a decoder of the HiFi-GAN kind instead

    @property
    def hop(self) -> int:
        """Samples a frame."""
        return math.prod(self.strides)


_SYM = AudioDecConfig()
_V0, _V1, _V2 = GeneratorConfig((3, 7, 11), 1), GeneratorConfig(), GeneratorConfig((3,))
PRESETS = {
    "audiodec-48k-sym": _SYM,
    "audiodec-48k-sym-free": _SYM,  # symAD*: the second stage of its training holds nothing
    "audiodec-48k-asym": replace(_SYM, decoder_width=64),  # the paper's asymAD has no published sizes: ours
    "audiodec-48k-c16": replace(_SYM, strides=(2, 4, 5, 8), levels=16),
    "audiodec-48k-univ": _SYM,  # symADuniv: trained against UnivNet's discriminators
    "audiodec-48k-activated": replace(_SYM, activated=True),
    "audiodec-48k-v0": replace(_SYM, vocoder=_V0),
    "audiodec-48k-v1": replace(_SYM, vocoder=_V1),
    "audiodec-48k-v2": replace(_SYM, vocoder=_V2),
    "audiodec-48k-v3": replace(_SYM, vocoder=_V1),  # on the encoder of univ, trained against its discriminators
    "audiodec-24k-sym": replace(_SYM, sample_rate=24_000),
    "audiodec-24k-v0": replace(_SYM, sample_rate=24_000, vocoder=_V0),  # of the three only v1 was released
    "audiodec-24k-v1": replace(_SYM, sample_rate=24_000, vocoder=_V1),
    "audiodec-24k-v2": replace(_SYM, sample_rate=24_000, vocoder=_V2),
}


class AudioDec(Codec):
    """Speech at 48 kHz in eight levels of 10 bits, 160 frames a second: 12.8 kbps; at 24 kHz half of that.

    The encoder, the quantizer and the decoder may live on devices of their own.
    """

    quantizer: ResidualVQ

    def __init__(
        self,
        config: AudioDecConfig = PRESETS["audiodec-48k-sym"],
        name: str = "audiodec-48k-sym",
        digest: str = "",
    ) -> None:
        super().__init__()
        self.config = config
        self.encoder = Chain(*_encoder(config))
        sizes = (config.codebook_size,) * config.levels
        # as in AudioDec: random entries to begin with, fast averages, nothing revived, a residual with its gradient
        learning = CodebookConfig(decay=0.8, kmeans=0, revive_below=0)
        self.quantizer = ResidualVQ(ResidualVQConfig(config.latent, sizes, detach=False, codebook=learning))
        self.decoder: Chain = (
            Chain(*_decoder(config))
            if config.vocoder is None
            else Generator(config.vocoder, config.latent, config.strides[::-1])
        )
        if config.activated:
            normalise(self.encoder)
            normalise(self.decoder)
        self._held: tuple[str, ...] = ()
        self.info = CodecInfo(
            name=name,
            digest=digest,
            sample_rate=config.sample_rate,
            channels=1,
            hop=config.hop,
            codebook_sizes=sizes,
            preroll=preroll(self.decoder),
        )

    @property
    def frozen(self) -> tuple[str, ...]:
        """The parts that training leaves as they are."""
        return self._held

    def freeze(self, *parts: str) -> None:
        """Hold just these of "encoder", "quantizer" and "decoder", codebooks too; without any, all learn again.

        The stages of AudioDec: nothing held at first; then encoder and quantizer, for the decoder
        and for every vocoder; quantizer and decoder, for an encoder that denoises.
        """
        odd = sorted(set(parts) - set(PARTS))
        if odd:
            raise InputError(f"an AudioDec has the parts {', '.join(PARTS)}, got {', '.join(odd)}")
        self._held = tuple(part for part in PARTS if part in parts)
        for part in PARTS:
            module = self.get_submodule(part).requires_grad_(part not in parts)
            for parameter in module.parameters():
                parameter.grad = None
        self.train(self.training)

    def train(self, mode: bool = True) -> AudioDec:
        """As in torch; parts that are held stay in evaluation mode, in which codebooks do not learn."""
        super().train(mode)
        for part in self._held:
            self.get_submodule(part).eval()
        return self

    @torch.inference_mode()
    def encode_frames(self, wave: Wave, state: State, levels: int) -> tuple[Level, ...]:
        z = self.encoder(torch.from_numpy(wave).to(_device(self.encoder)), state)
        codes = self.quantizer.encode(z.to(_device(self.quantizer)), levels)
        return tuple(level.cpu().numpy() for level in codes)

    @torch.inference_mode()
    def decode_frames(self, levels: Sequence[Level], state: State) -> Wave:
        device = _device(self.quantizer)
        z = self.quantizer.decode([torch.from_numpy(level).to(device) for level in levels])
        return np.asarray(self.decoder(z.to(_device(self.decoder)), state).float().cpu().numpy())


def _device(part: nn.Module) -> torch.device:
    return next(tensor.device for tensor in chain(part.parameters(), part.buffers()))


def _encoder(config: AudioDecConfig) -> Iterator[nn.Module]:
    """Convolution; units and a stride a stage; projection. A stride hears the first of its samples and the past."""
    width = config.width
    yield CausalConv1d(1, width, KERNEL, bias=False)
    for stride in config.strides:
        yield from _units(width)
        yield Conv1d(width, 2 * width, Kernel(2 * stride, stride).early())
        width *= 2
    if config.activated:
        yield nn.ELU()
    yield CausalConv1d(width, config.latent, 3, bias=False)


def _decoder(config: AudioDecConfig) -> Iterator[nn.Module]:
    """The encoder's stages the other way round; before the start the first frame has always been sounding."""
    width = config.decoder_width << len(config.strides)
    yield CausalConv1d(config.latent, width, KERNEL, bias=False)
    for stride in reversed(config.strides):
        if config.activated:
            yield nn.ELU()
        yield ConvTranspose1d(width, width // 2, Kernel(2 * stride, stride), "replicate")
        width //= 2
        yield from _units(width)
    if config.activated:
        yield nn.ELU()
    yield CausalConv1d(width, 1, KERNEL, bias=False)
    if config.activated:
        yield nn.Tanh()


def _units(width: int) -> Iterator[nn.Module]:
    for dilation in DILATIONS:
        yield Residual(
            Chain(
                nn.ELU(),
                CausalConv1d(width, width, KERNEL, dilation=dilation, bias=False),
                nn.ELU(),
                CausalConv1d(width, width, 1, bias=False),
            )
        )
