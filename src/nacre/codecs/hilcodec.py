"""HILCodec: causal depthwise-separable convolutions, with spectra of the input at every rate of the encoder.

Ahn et al. 2024 (arXiv 2405.04752). Few parameters, much work: 4.4 G multiply-adds a second to encode, 11.9 to decode.
Constants keep the power of activations at one: inputs are normalised, a residual branch is scaled by `share`, and what
`j` branches have added is taken out again before the next (`steady`); latents have unit power. Official weights come
in through `converters/from_hilcodec.py`.

Letters in shapes: `B` batch, `T` samples or positions, `N` frequency bins, `C` channels, `D` features, `F` frames.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..codes import CodecInfo, Level
from ..contract import Wave
from ..nn.activations import ELU
from ..nn.blocks import Chain
from ..nn.norms import L2Norm
from ..nn.separable import Depthwise, DepthwiseTranspose, FromSamples, Pointwise, ToSamples, history
from ..nn.state import State
from ..nn.weight_norm import normalise
from ..quantizers.codebook import CodebookConfig
from ..quantizers.kmeans import exporting
from ..quantizers.rvq import ResidualVQ, ResidualVQConfig
from .base import Codec

PIECE = 24  # frames coded at a time


@dataclass(frozen=True)
class HILCodecConfig:
    """Sizes and constants of a HILCodec. The defaults are the speech model."""

    sample_rate: int = 24_000
    encoder_dim: int = 64  # width next to the samples; doubled by every stage
    decoder_dim: int = 96  # width next to the samples; halved down to it by every stage
    strides: tuple[int, ...] = (2, 4, 5, 8)  # in the encoder's order; the decoder has them the other way round
    encoder_units: int = 2  # residual units a stage
    decoder_units: int = 3
    kernel: int = 5
    n_fft: int = 64  # samples of the window next to the samples; doubled by every stage
    latent: int = 128  # features that are quantized
    levels: int = 8
    codebook_size: int = 1024
    dropout: tuple[int, ...] = (2, 4, 8)  # level counts that training draws from
    share: float = 3**-0.5  # of a residual branch
    wave_std: float = 0.1122080159  # of the data, -19 dB
    # of the log-magnitudes in the data, one a spectrum
    spectrum_means: tuple[float, ...] = (-4.554, -4.315, -4.021, -3.726, -3.477)
    spectrum_stds: tuple[float, ...] = (2.830, 2.837, 2.817, 2.796, 2.871)
    # decode as the released ONNX graphs do, not as the trained model: no `steady` in units, the last bias not scaled
    onnx_quirks: bool = False

    @property
    def hop(self) -> int:
        """Samples a frame."""
        return math.prod(self.strides)

    @property
    def memory(self) -> int:
        """Samples before a chunk that the longest spectrum hears."""
        return (self.n_fft << len(self.strides)) - 1

    @property
    def preroll(self) -> int:
        """Frames that a decoder hears before the first sample of a frame."""
        past = tail = self.kernel - 1
        for stride in self.strides:
            past = -(-(past + 2 * tail * self.decoder_units) // stride) + 1
        return past + tail


PRESETS = {
    "hilcodec-speech": HILCodecConfig(),
    "hilcodec-music": HILCodecConfig(levels=12, dropout=(2, 4, 8, 12)),
}


class HILCodec(Codec):
    """Sound at 24 kHz in nested levels of 10 bits, 75 frames a second: 2 are 1.5 kbps, 8 are 6 and 12 are 9."""

    encoder: Encoder
    decoder: Decoder

    def __init__(
        self, config: HILCodecConfig = PRESETS["hilcodec-speech"], name: str = "hilcodec-speech", digest: str = ""
    ) -> None:
        super().__init__()
        self.config = config
        sizes = (config.codebook_size,) * config.levels
        self.encoder = Encoder(config)
        self.quantizer = ResidualVQ(
            ResidualVQConfig(
                config.latent,
                sizes,
                dropout=config.dropout,
                whole=True,
                # HILCodec replaces what is hit less than 0.5 times by the 24 * 75 frames of a batch; so much is that
                codebook=CodebookConfig(smoothing=0, kmeans=20, revive_below=0.28),
            )
        )
        self.decoder = Decoder(config)
        self.info = CodecInfo(
            name=name,
            digest=digest,
            sample_rate=config.sample_rate,
            channels=1,
            hop=config.hop,
            codebook_sizes=sizes,
            preroll=config.preroll,
        )
        _start(self)
        normalise(self)

    def encode_frames(self, wave: Wave, state: State, levels: int) -> tuple[Level, ...]:
        """In pieces that stay in the processor's caches, and small in memory."""
        size, coded = PIECE * self.info.hop, []
        for i in range(0, wave.shape[2], size):
            coded.append(super().encode_frames(wave[:, :, i : i + size], state, levels))
        return tuple(np.concatenate(level, axis=1) for level in zip(*coded, strict=True))

    def decode_frames(self, levels: Sequence[Level], state: State) -> Wave:
        """In the same pieces."""
        sounds = []
        for i in range(0, levels[0].shape[1], PIECE):
            sounds.append(super().decode_frames([level[:, i : i + PIECE] for level in levels], state))
        return np.concatenate(sounds, axis=2)

    def fold(self) -> Self:
        """Make weights plain and take all constants of a branch or an end into them, for use; returns itself."""
        super().fold()
        for part in self.modules():
            if isinstance(part, Unit | Spectrum | Encoder | Decoder):
                part.fold()
        return self

    def unfold(self) -> Self:
        """The inverse of `fold`, but for weight norm; gains come back as what leaves the branch as it is."""
        for part in self.modules():
            if isinstance(part, Unit | Spectrum | Encoder | Decoder):
                part.unfold()
        return self


class Encoder(nn.Module):
    """Samples `[B, 1, F * hop]` to latents `[B, D, F]` of unit power."""

    def __init__(self, config: HILCodecConfig) -> None:
        super().__init__()
        self.memory, self.wave_std, self.folded = config.memory, config.wave_std, False
        self.enter = FromSamples(config.encoder_dim, config.kernel)
        self.stages = nn.ModuleList()
        hop, width = 1, config.encoder_dim
        for i, stride in enumerate(config.strides):
            self.stages.append(Stage(config, Spectrum(config, i, hop), stride, width))
            hop, width = hop * stride, 2 * width
        self.spectrum = Spectrum(config, len(config.strides), hop)
        self.leave = Chain(ELU(), Depthwise(width, config.kernel, bias=False), Pointwise(width, config.latent))
        self.norm = L2Norm()

    def forward(self, wave: Tensor, state: State | None = None) -> Tensor:
        """Samples at every rate, each joined by their spectrum."""
        heard = history(self, wave.transpose(1, 2), state, self.memory)  # [B, memory + T, 1]
        near = heard[:, self.memory - self.enter.kernel_size[0] + 1 :]
        x = self.enter(near if self.folded else near / self.wave_std)
        for stage in self.stages:
            x = stage(x, heard, state)
        z: Tensor = self.norm(self.leave(x + self.spectrum(heard), state).transpose(1, 2))
        return z

    def fold(self) -> None:
        """Divide the first weights by `wave_std`."""
        if not self.folded:
            _scale(self.enter.weight, 1 / self.wave_std)
        self.folded = True

    def unfold(self) -> None:
        """Give it back."""
        if self.folded:
            _scale(self.enter.weight, self.wave_std)
        self.folded = False


class Stage(nn.Module):
    """Spectrum added, residual units, half as many positions or fewer: `[B, F * stride, C] -> [B, F, 2 * C]`."""

    def __init__(self, config: HILCodecConfig, spectrum: Spectrum, stride: int, width: int) -> None:
        super().__init__()
        self.spectrum = spectrum
        counts = range(1, config.encoder_units + 1)  # branches before a unit; the spectrum is one
        self.units = Chain(*(Unit(config, width, steady(config, j)) for j in counts))
        self.steady = steady(config, config.encoder_units)  # as the authors have it, though the spectrum makes one more
        self.down = Chain(ELU(), Pointwise(width, 2 * width, bias=False), Depthwise(2 * width, 2 * stride, stride))

    def forward(self, x: Tensor, heard: Tensor, state: State | None = None) -> Tensor:
        """`heard` are the samples so far, with their past."""
        y: Tensor = self.down(self.units(x + self.spectrum(heard), state) * self.steady, state)
        return y


class Spectrum(nn.Module):
    """Log-magnitudes of the samples up to the first of each hop, normalised and mixed: `-> [B, F, C]`."""

    def __init__(self, config: HILCodecConfig, i: int, hop: int) -> None:
        super().__init__()
        self.n_fft, self.hop, self.memory, self.share = config.n_fft << i, hop, config.memory, config.share
        self.mean, self.std = config.spectrum_means[i], config.spectrum_stds[i]
        self.register_buffer("basis", fourier(self.n_fft), persistent=False)  # [2N, 1, n_fft]
        self.basis: Tensor
        self.mix = Pointwise(self.n_fft // 2 + 1, config.encoder_dim << i, bias=False)
        self.gain: nn.Parameter | None = nn.Parameter(torch.zeros(1))

    def forward(self, heard: Tensor) -> Tensor:
        """`heard` `[B, memory + T, 1]`."""
        with torch.autocast(heard.device.type, enabled=False):  # at 16 bits quiet bins would drown
            real, imaginary = self._transform(heard[:, self.memory - self.n_fft + 1 :, 0].float()).chunk(2, dim=2)
            size = torch.addcmul(real.square(), imaginary, imaginary).clamp_min(1e-10).log()  # twice the log-magnitude
        if self.gain is not None:
            size = (size / 2 - self.mean) / self.std
        mixed: Tensor = self.mix(size)
        return mixed if self.gain is None else mixed * (self.share * self.gain)

    def _transform(self, x: Tensor) -> Tensor:
        """Windows of `[B, n_fft - 1 + T]` to `[B, F, 2N]`."""
        if exporting():
            return F.conv1d(x[:, None], self.basis, stride=self.hop).transpose(1, 2)
        return F.linear(x.unfold(1, self.n_fft, self.hop), self.basis[:, 0])

    def fold(self) -> None:
        """Normalisation and gain become weight and bias."""
        if self.gain is None:
            return
        scale = self.share * self.gain.item() / self.std
        self.mix.bias = nn.Parameter(self.mix.weight.detach().sum((1, 2)) * (-self.mean * scale))
        _scale(self.mix.weight, scale / 2)
        self.gain = None

    def unfold(self) -> None:
        """They leave again; the gain is one that `share` undoes."""
        if self.gain is None:
            _scale(self.mix.weight, 2 * self.std)
            self.mix.bias = None
            self.gain = nn.Parameter(self.mix.weight.new_full((1,), 1 / self.share))


class Unit(nn.Module):
    """`x` and what two separable convolutions make of it: `[B, T, C] -> [B, T, C]`."""

    def __init__(self, config: HILCodecConfig, width: int, steady: float) -> None:
        super().__init__()
        self.steady, self.share = steady, config.share
        self.branch = Chain(*(layer for _ in range(2) for layer in _separable(width, config.kernel)))
        self.gain: nn.Parameter | None = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor, state: State | None = None) -> Tensor:
        """Add the branch."""
        y: Tensor = self.branch(x * self.steady if self.steady != 1 else x, state)
        return x + (y if self.gain is None else y * (self.share * self.gain))

    def fold(self) -> None:
        """The gain goes into the last layer of the branch."""
        if self.gain is not None:
            for parameter in self._last.parameters():
                _scale(parameter, self.share * self.gain.item())
            self.gain = None

    @property
    def _last(self) -> Depthwise:
        return cast(Depthwise, self.branch[-1])

    def unfold(self) -> None:
        """The gain is again one that `share` undoes."""
        if self.gain is None:
            self.gain = nn.Parameter(self._last.weight.new_full((1,), 1 / self.share))


class Decoder(nn.Module):
    """Latents `[B, D, F]` to samples `[B, 1, F * hop]`."""

    def __init__(self, config: HILCodecConfig) -> None:
        super().__init__()
        self.wave_std, self.quirks, self.folded = config.wave_std, config.onnx_quirks, False
        width = config.decoder_dim << len(config.strides)
        self.enter = Chain(Pointwise(config.latent, width, bias=False), Depthwise(width, config.kernel))
        self.stages = nn.ModuleList()
        for i, stride in enumerate(reversed(config.strides)):
            self.stages.append(UpStage(config, stride, width >> i))
        self.steady = steady(config, config.decoder_units)
        self.leave = Chain(ELU(), ToSamples(config.decoder_dim, config.kernel))

    def forward(self, z: Tensor, state: State | None = None) -> Tensor:
        """Latents at every rate down to samples."""
        x = self.enter(z.transpose(1, 2), state)
        for i, stage in enumerate(self.stages):
            x = stage(x if i == 0 else x * self.steady, state)
        x = self.leave(x * self.steady, state)
        if not self.folded:
            x = self._loud(x)
        return torch.tanh(x).transpose(1, 2)

    @property
    def _last(self) -> ToSamples:
        return cast(ToSamples, self.leave[-1])

    def _loud(self, x: Tensor) -> Tensor:
        if not self.quirks:
            return x * self.wave_std
        bias = self._last.bias
        return (x - bias) * self.wave_std + bias

    def fold(self) -> None:
        """Multiply the last weights by `wave_std`."""
        self._refold(True, self.wave_std)

    def unfold(self) -> None:
        """Take it back."""
        self._refold(False, 1 / self.wave_std)

    def _refold(self, folded: bool, scale: float) -> None:
        if self.folded != folded:
            _scale(self._last.weight, scale)
            if not self.quirks:
                _scale(self._last.bias, scale)
        self.folded = folded


class UpStage(nn.Module):
    """More positions, half as many features, residual units: `[B, F, C] -> [B, F * stride, C / 2]`."""

    def __init__(self, config: HILCodecConfig, stride: int, width: int) -> None:
        super().__init__()
        self.up = Chain(ELU(), DepthwiseTranspose(width, stride), Pointwise(width, width // 2))
        befores = [1.0 if config.onnx_quirks else steady(config, j) for j in range(config.decoder_units)]
        self.units = Chain(*(Unit(config, width // 2, before) for before in befores))

    def forward(self, x: Tensor, state: State | None = None) -> Tensor:
        """`[B, F, C]`."""
        y: Tensor = self.units(self.up(x, state), state)
        return y


def steady(config: HILCodecConfig, branches: int) -> float:
    """What brings the power back to one after so many branches of `share` were added."""
    return float((1 + branches * config.share**2) ** -0.5)


def fourier(n_fft: int) -> Tensor:
    """Cosines, then negative sines, under a periodic Hann window, `[2 * (n_fft // 2 + 1), 1, n_fft]`.

    Angles are multiplied out at 32 bits as in the original, to whose errors (1e-4 at the top) its weights are used.
    """
    bins, times = torch.arange(n_fft // 2 + 1).float()[:, None, None], torch.arange(n_fft).float()
    angle = bins * (2 * math.pi / n_fft) * times
    return torch.cat([angle.cos(), -angle.sin()]) * torch.hann_window(n_fft)


def _separable(width: int, kernel: int) -> tuple[nn.Module, ...]:
    return ELU(), Pointwise(width, width, bias=False), Depthwise(width, kernel)


def _scale(weight: Tensor, by: float) -> None:
    with torch.no_grad():
        weight.mul_(by)


def _start(model: nn.Module) -> None:
    """HILCodec's start: He's normal weights, by a ReLU's gain behind an ELU, no biases; latents start off zero."""
    bent = {
        after
        for chain in model.modules()
        if isinstance(chain, Chain)
        for before, after in itertools.pairwise(chain)
        if isinstance(before, ELU)
    }
    for layer in model.modules():
        if isinstance(layer, nn.Conv1d | nn.ConvTranspose1d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu" if layer in bent else "linear")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    if isinstance(model, HILCodec):
        nn.init.normal_(cast(Tensor, model.encoder.leave[-1].bias))  # silence would be scaled up without bound
