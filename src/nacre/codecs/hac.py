"""HAC, the HANCE Audio Codec: speech at 24 kHz as one token of 18 bits a frame, 75 to 200 tokens a second, causal.

HANCE published tables of its versions, neither code nor weights nor a paper. Known, and kept here: 24 kHz, tokens a
second, bits a token, numbers of parameters; binary scalar quantization after MaskBit (arXiv 2409.16211); v1.1 works on
samples with separable causal convolutions and Snake; v1.2 and v1.3 on complex spectra, with separable causal
convolutions of which one kind sweeps frequency and the other time, SMU, an input brought to zero mean and unit
variance, maps scaled by moving averages of their deviation; v1.3 has one convolution less in a residual block, and
GRN. **Everything else is our choice**: widths, depths, kernels, windows, how spectra are compressed, and what GRN
counts. No weights of theirs can be loaded.

Letters in shapes: `B` batch, `C` channels, `D` features, `N` bands of frequency, `T` samples, `F` frames, `Q` bits.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..codes import CodecInfo
from ..nn.activations import SMU, Snake
from ..nn.blocks import Chain, Residual
from ..nn.conv import CausalConv1d, ConvTranspose1d
from ..nn.norms import GRN
from ..nn.padding import Kernel
from ..nn.spectral import CausalISTFT, CausalSTFT, compress
from ..nn.state import State
from ..quantizers.lfq import LFQ, LFQConfig
from .base import Codec


@dataclass(frozen=True)
class HACWaveConfig:
    """Sizes of a HAC that works on samples, as v1.1 does."""

    sample_rate: int = 24_000
    strides: tuple[int, ...] = (2, 4, 5, 8)  # in the encoder's order; the decoder has them the other way round
    filters: int = 68  # width next to the samples; doubled by every stage
    kernel: int = 7
    dilations: tuple[int, ...] = (1, 3, 9)  # of the residual units of a stage
    bits: int = 18  # a token

    @property
    def hop(self) -> int:
        """Samples a frame."""
        return math.prod(self.strides)

    @property
    def delay(self) -> int:
        """Samples that decoded sound lags."""
        return 0

    @property
    def preroll(self) -> int:
        """Frames that the decoder hears before the one at hand."""
        past = self.kernel - 1  # positions before a sample; walked back to the latents
        for stride in self.strides:
            past += (self.kernel - 1) * sum(self.dilations)
            past = -(-past // stride) + 1
        return past + self.kernel - 1


@dataclass(frozen=True)
class HACConfig:
    """Sizes of a HAC that works on spectra, as v1.2 and v1.3 do; a figure a resolution where there are several."""

    sample_rate: int = 24_000
    hop: int = 120  # samples a frame
    window: int = 480  # samples of the STFT; a multiple of the hop
    bands: tuple[int, ...] = (60, 15, 1)  # of the maps; window / 2 bins go in
    widths: tuple[int, ...] = (48, 96, 320)  # features of a band
    blocks: tuple[int, ...] = (1, 2, 3)
    growth: int = 2  # features inside a block, a feature outside
    band_kernel: int = 5  # bands that a sweep over frequency hears
    time_kernel: int = 5  # frames that a sweep over time hears
    twice: bool = False  # a second convolution in every block (v1.2)
    grn_window: int = 4  # frames whose power GRN counts, with all bands; 0 for none (v1.2)
    decay: float = 0.99  # of the moving averages that scale maps
    bits: int = 18  # a token

    @property
    def delay(self) -> int:
        """Samples that decoded sound lags: the overlap of the inverse STFT."""
        return self.window - self.hop

    @property
    def preroll(self) -> int:
        """Frames that the decoder hears before the one at hand."""
        block = self.time_kernel - 1 + max(0, self.grn_window - 1)
        return sum(self.blocks) * block + self.window // self.hop - 1


PRESETS: dict[str, HACConfig | HACWaveConfig] = {
    "hac-v1.1": HACWaveConfig(),
    "hac-v1.2": HACConfig(twice=True, grn_window=0),
    "hac-v1.3": HACConfig(),
    "hac-150": HACConfig(hop=160),  # announced, not published: 150 tokens a second in real time on a CPU, below 8 MB
}


class HAC(Codec):
    """Speech at 24 kHz in one level of 2^18 codes: the signs of 18 numbers a frame."""

    quantizer: LFQ

    def __init__(
        self, config: HACConfig | HACWaveConfig = PRESETS["hac-v1.3"], name: str = "hac-v1.3", digest: str = ""
    ) -> None:
        super().__init__()
        self.config = config
        if isinstance(config, HACWaveConfig):
            self.encoder, self.decoder = Chain(*_wave_encoder(config)), Chain(*_wave_decoder(config))
        else:
            self.encoder, self.decoder = SpectrumEncoder(config), SpectrumDecoder(config)
        self.quantizer = LFQ(LFQConfig(config.bits, config.bits))
        self.info = CodecInfo(
            name=name,
            digest=digest,
            sample_rate=config.sample_rate,
            channels=1,
            hop=config.hop,
            codebook_sizes=(1 << config.bits,),
            delay=config.delay,
            preroll=config.preroll,
        )


def _wave_encoder(config: HACWaveConfig) -> Iterator[nn.Module]:
    width = config.filters
    yield CausalConv1d(1, width, config.kernel)
    for stride in config.strides:
        yield from _units(config, width)
        yield Snake(width)
        yield CausalConv1d(width, width, 2 * stride, stride, groups=width)
        yield CausalConv1d(width, 2 * width, 1)
        width *= 2
    yield Snake(width)
    yield CausalConv1d(width, width, config.kernel, groups=width)
    yield CausalConv1d(width, config.bits, 1)


def _wave_decoder(config: HACWaveConfig) -> Iterator[nn.Module]:
    width = config.filters << len(config.strides)
    yield CausalConv1d(config.bits, width, 1)
    yield CausalConv1d(width, width, config.kernel, groups=width)
    for stride in reversed(config.strides):
        yield Snake(width)
        yield CausalConv1d(width, width // 2, 1)
        width //= 2
        yield ConvTranspose1d(width, width, Kernel(2 * stride, stride), groups=width)
        yield from _units(config, width)
    yield Snake(width)
    yield CausalConv1d(width, 1, config.kernel)


def _units(config: HACWaveConfig, width: int) -> Iterator[Residual]:
    """Residual units: a dilated separable convolution each."""
    for dilation in config.dilations:
        sweep = CausalConv1d(width, width, config.kernel, dilation=dilation, groups=width)
        yield Residual(Chain(Snake(width), sweep, Snake(width), CausalConv1d(width, width, 1)))


class SpectrumEncoder(nn.Module):
    """Samples `[B, 1, T]` to the numbers `[B, Q, F]` whose signs are the token."""

    def __init__(self, config: HACConfig) -> None:
        super().__init__()
        self.stft = CausalSTFT(config.window, config.hop)
        self.scale = Standardise((config.window // 2, 2), config.decay, centred=True)
        self.body, bands, width = Chain(), config.window // 2, 2
        for at, now, blocks in zip(config.bands, config.widths, config.blocks, strict=True):
            self.body.append(Regroup(bands // at * width, now))
            self.body.extend(Sweep(config, at, now) for _ in range(blocks))
            bands, width = at, now
        self.leave = nn.Linear(bands * width, config.bits)

    def forward(self, wave: Tensor, state: State | None = None) -> Tensor:
        """Spectrum, compressed and scaled; bands joined step by step, sweeps between; one number a bit."""
        parts = compress(self.stft(wave, state)).transpose(1, 2).chunk(2, dim=2)
        x = self.scale(torch.stack(parts, dim=-1)[:, :, :-1])  # [B, F, N, D] from here on, without the highest bin
        x = self.body(x, state)
        latent: Tensor = self.leave(x.flatten(2)).transpose(1, 2)
        return latent


class SpectrumDecoder(nn.Module):
    """Signs `[B, Q, F]` to samples `[B, 1, F * hop]`, late by the overlap of the inverse STFT."""

    def __init__(self, config: HACConfig) -> None:
        super().__init__()
        self.body = Chain(Regroup(config.bits, config.widths[-1], config.bands[-1]))
        finer = ((config.window // 2, 2), *zip(config.bands, config.widths, strict=True))
        for k in reversed(range(len(config.bands))):
            (bands, width), (at, now) = finer[k], finer[k + 1]
            self.body.extend(Sweep(config, at, now) for _ in range(config.blocks[k]))
            self.body.append(Regroup(now, width, bands // at))
        self.gain = nn.Parameter(torch.full((config.window // 2, 1), 0.3))  # about a compressed spectrum's size
        self.istft = CausalISTFT(config.window, config.hop)

    def forward(self, z: Tensor, state: State | None = None) -> Tensor:
        """Bands parted step by step, sweeps between; the spectrum, expanded; samples."""
        x = expand(self.body(z.transpose(1, 2)[:, :, None], state) * self.gain)  # [B, F, N, D]
        spectrum = nn.functional.pad(x, (0, 0, 0, 1)).transpose(1, 2)  # [B, N, F, D]
        wave: Tensor = self.istft(torch.cat([spectrum[..., 0], spectrum[..., 1]], dim=1), state)
        return wave


def expand(x: Tensor) -> Tensor:
    """Magnitudes of `[..., 2]` squared, real part and imaginary part in the last place; what `compress` undid."""
    return x * x.square().sum(-1, keepdim=True).clamp_min(1e-10).sqrt()


class Regroup(nn.Linear):
    """Joins bands of `[B, F, N, D]` until `joined` features stand side by side, and parts each into `parts` bands."""

    def __init__(self, joined: int, width: int, parts: int = 1) -> None:
        super().__init__(joined, width * parts)
        self.width = width

    def forward(self, x: Tensor) -> Tensor:
        """Fewer bands with more features, or the other way round."""
        y = super().forward(x.reshape(x.shape[0], x.shape[1], -1, self.in_features))
        return y.reshape(x.shape[0], x.shape[1], -1, self.width)


class Sweep(nn.Module):
    """A residual block over a map `[B, F, N, D]`: along the bands, along time, across features, and added to it.

    With `twice` the two directions are separable convolutions of their own, as in v1.2; v1.3 has one of them less.
    """

    def __init__(self, config: HACConfig, bands: int, width: int) -> None:
        super().__init__()
        inside = config.growth * width
        self.scale = Standardise((width,), config.decay)
        self.over_bands = BandSweep(width, config.band_kernel) if bands > 1 else nn.Identity()
        self.over_time = TimeSweep(inside if config.twice else width, config.time_kernel)
        self.up, self.bend = nn.Linear(width, inside), SMU()
        self.across = nn.Sequential(nn.Linear(inside, inside), SMU()) if config.twice else None
        self.grn = GRN(inside, config.grn_window) if config.grn_window else None
        self.down = nn.Linear(inside, width)
        self.share = nn.Parameter(torch.full((width,), 0.3))

    def forward(self, x: Tensor, state: State | None = None) -> Tensor:
        """The map, and what its neighbours change of it."""
        y = self.over_bands(self.scale(x))
        if self.across is None:
            y = self.bend(self.up(self.over_time(y, state)))
        else:
            y = self.across(self.over_time(self.bend(self.up(y)), state))
        if self.grn is not None:
            y = self.grn(y.permute(0, 3, 2, 1), state).permute(0, 3, 2, 1)
        added: Tensor = x + self.share * self.down(y)
        return added


class TimeSweep(nn.Module):
    """A causal convolution of each feature along time, `[B, F, N, D] -> [B, F, N, D]`.

    Written as sums of products, which round alike for one frame and for many.
    """

    def __init__(self, width: int, size: int) -> None:
        super().__init__()
        self.size = size
        self.taps = _taps(width, size)

    def forward(self, x: Tensor, state: State | None = None) -> Tensor:
        """Each frame with those before it; silence before the start."""
        kept = state.get(self) if state is not None else None
        past = x.new_zeros(x.shape[0], self.size - 1, *x.shape[2:]) if kept is None else kept[0]
        held = torch.cat([past, x], dim=1)
        if state is not None:
            state.put(self, held[:, held.shape[1] - self.size + 1 :])
        return _swept(held, self.taps, 1)


class BandSweep(nn.Module):
    """A convolution of each feature along the bands of one frame, `[B, F, N, D] -> [B, F, N, D]`."""

    def __init__(self, width: int, size: int) -> None:
        super().__init__()
        self.size = size
        self.taps = _taps(width, size)

    def forward(self, x: Tensor) -> Tensor:
        """Each band with those around it; silence beside the first and the last."""
        around = self.size - 1
        return _swept(nn.functional.pad(x, (0, 0, around // 2, around - around // 2)), self.taps, 2)


def _taps(width: int, size: int) -> nn.Parameter:
    return nn.Parameter(torch.empty(size, width).uniform_(-1, 1) * (3 / size) ** 0.5)


def _swept(held: Tensor, taps: Tensor, dim: int) -> Tensor:
    """The sum of `held`, moved by one position along `dim` for each of the `taps` `[K, D]`."""
    last = len(taps) - 1
    y = torch.zeros(())
    for k in range(len(taps)):
        piece = held.narrow(dim, k, held.shape[dim] - last) * taps[k]
        y = piece if not k else y + piece
    return y


class Standardise(nn.Module):
    """Divides by a moving average of the deviation, and takes one of the mean away first if `centred`.

    Fixed once trained, so that chunks, batches and whole files are scaled alike.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, shape: tuple[int, ...], decay: float, centred: bool = False) -> None:
        super().__init__()
        self.shape, self.decay, self.centred = shape, decay, centred
        if centred:
            self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("deviation", torch.ones(shape))

    def forward(self, x: Tensor) -> Tensor:
        """`[..., *shape]` scaled; in training mode the averages move first."""
        if self.training:
            self._follow(x.detach().float().flatten(0, x.ndim - len(self.shape) - 1))
        x = x - self.mean if self.centred else x
        return x / self.deviation.clamp_min(1e-3)

    @torch.no_grad()
    def _follow(self, x: Tensor) -> None:
        if self.centred:
            self.mean.lerp_(x.mean(0), 1 - self.decay)
        self.deviation.lerp_(x.std(0, correction=0), 1 - self.decay)
