"""HiFi-Codec: HiFi-GAN's generator behind a group-residual quantizer, four codes a frame.

Yang et al. 2023 (arXiv 2305.02765), as AcademiCodec's code has it; its weights come in through
`converters/from_hificodec.py`. The encoder normalises over the whole of a sound, so no code is certain before the end
is heard: a stream gives its codes with the last chunk. The decoder streams, late by `info.lookahead`.

Letters in shapes: `B` batch, `C` channels, `D` features, `T` samples, `F` frames.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from ..codes import CodecInfo, Level
from ..contract import Wave
from ..errors import InputError
from ..nn.blocks import Branches, Chain, Mean, Residual
from ..nn.conv import Conv1d, ConvTranspose1d
from ..nn.padding import Kernel
from ..nn.reach import preroll, ready
from ..nn.state import State
from ..nn.weight_norm import normalise
from ..quantizers.codebook import Codebook, CodebookConfig
from ..quantizers.grvq import GroupResidualVQ
from ..quantizers.rvq import ResidualVQConfig
from .base import Codec

SLOPE = 0.1  # of all leaky ReLUs but the encoder's last, which has torch's 0.01
EPS = 1e-6  # of the norms
BLOCK = 20  # seconds; a longer sound is encoded in blocks of so many, all with the whole sound's norms


@dataclass(frozen=True)
class HiFiCodecConfig:
    """Sizes of a HiFi-Codec. The defaults are the 16 kHz model."""

    sample_rate: int = 16_000
    strides: tuple[int, ...] = (2, 4, 5, 8)  # in the encoder's order; the decoder has them the other way round
    kernels: tuple[int, ...] = (4, 8, 11, 16)  # of the strided convolutions
    filters: int = 32  # width next to the samples; doubled by every stage
    unit_kernels: tuple[int, ...] = (3, 7, 11)  # of the branches of a stage
    dilations: tuple[int, ...] = (1, 3, 5)  # of the residual units of a branch
    normed: int = 16  # channels that are normalised together
    groups: int | tuple[int, ...] = 2  # of features, or the features of each
    layers: int = 2  # levels of each group
    codebook_size: int = 1024
    revive: bool = False  # ours: entries begin as what k-means finds, and dead ones come back; the original's never do

    @property
    def hop(self) -> int:
        """Samples a frame."""
        return math.prod(self.strides)

    @property
    def latent(self) -> int:
        """Features that are quantized."""
        return self.filters << len(self.strides)


PRESETS = {
    "hificodec-16k-320d": HiFiCodecConfig(),
    "hificodec-24k-240d": HiFiCodecConfig(24_000, (2, 3, 5, 8), (4, 7, 11, 16)),
    "hificodec-24k-320d": HiFiCodecConfig(24_000),
}


class HiFiCodec(Codec):
    """Speech in four codes of 10 bits a frame: 2 kbps at 16 kHz, 4 or 3 at 24 kHz.

    Levels come layer by layer, the groups within: a stream of fewer levels leaves whole groups of features out.
    """

    encoder: Encoder

    def __init__(
        self,
        config: HiFiCodecConfig = PRESETS["hificodec-16k-320d"],
        name: str = "hificodec-16k-320d",
        digest: str = "",
    ) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        learnt = CodebookConfig(ema=False)  # by gradient, and in the original by nothing else
        learnt = learnt if config.revive else replace(learnt, kmeans=0, revive_below=0)
        sizes = (config.codebook_size,) * config.layers
        self.quantizer = GroupResidualVQ(
            ResidualVQConfig(config.latent, sizes, detach=False, codebook=learnt), config.groups
        )
        self.decoder = normalise(Chain(*_decoder(config)))
        many = 99  # frames of a stream that is under way
        self.info = CodecInfo(
            name=name,
            digest=digest,
            sample_rate=config.sample_rate,
            channels=1,
            hop=config.hop,
            codebook_sizes=self.quantizer.codebook_sizes,
            preroll=preroll(self.decoder),
            lookahead=many * config.hop - ready(self.decoder, many),  # the decoder's; the encoder waits for the end
        )
        _start_small(self)

    def new_state(self) -> State:
        """The state of one direction of a stream; the encoder's holds the samples until the end."""
        return _Held()

    @torch.inference_mode()
    def encode_frames(self, wave: Wave, state: State, levels: int) -> tuple[Level, ...]:
        """Nothing until the sound ends, then the levels of all of it."""
        assert isinstance(state, _Held)
        state.waves.append(torch.from_numpy(wave))
        if not state.last:
            return tuple(np.zeros((len(wave), 0), np.int64) for _ in range(levels))
        whole = torch.cat(state.waves, dim=-1).to(self.device)
        state.waves.clear()
        block = BLOCK * self.info.sample_rate // self.info.hop * self.info.hop
        parts = [self.quantizer.encode(z, levels) for z in self.encoder.in_blocks(whole, block)]
        return tuple(torch.cat(level, dim=1).cpu().numpy() for level in zip(*parts, strict=True))


class _Held(State):
    """A State that also keeps the samples, for an encoder that must hear them all first."""

    def __init__(self) -> None:
        super().__init__()
        self.waves: list[Tensor] = []

    def clone(self) -> State:
        other = super().clone()
        assert isinstance(other, _Held)
        other.waves = [*self.waves]
        return other

    def select(self, items: Sequence[int]) -> State:
        other = super().select(items)
        assert isinstance(other, _Held)
        other.waves = [wave[[*items]] for wave in self.waves]
        return other


class Encoder(Chain):
    """Samples `[B, 1, T]` to latents `[B, D, T / hop]`; with a State its norms must be known, see `in_blocks`."""

    def __init__(self, config: HiFiCodecConfig) -> None:
        super().__init__(*_encoder(config))
        normalise(Chain(*list(self)[:-1]))  # the last convolution has plain weights

    def in_blocks(self, wave: Tensor, size: int) -> Iterator[Tensor]:
        """The latents of `[B, 1, T]` in pieces, as of one pass, but the layers hold `size` samples at a time.

        The norms of a stage can be known when those before it are, so the sound is heard once for each stage first.
        """
        if wave.shape[-1] <= size:
            yield self(wave)
            return
        known: list[tuple[nn.Module, Tensor, Tensor]] = []
        for place, stage in enumerate(self):
            if isinstance(stage, NormedMean):
                before, moments = Chain(*list(self)[:place]), Moments()
                for x, state in _pieces(wave, size, known):
                    moments.add(stage.outputs(before(x, state), state))
                known.append((stage.norms, *stage.settled(moments)))
        for x, state in _pieces(wave, size, known):
            yield self(x, state)


class NormedMean(Branches):
    """Branches added up one by one, the sum normalised after each over its groups and the whole time; then the mean.

    `[B, C, T] -> [B, C, T]`. With a State, gain and shift of each branch must stand in it, under `norms`.
    """

    def __init__(self, channels: int, normed: int, branches: Sequence[nn.Module]) -> None:
        super().__init__(branches)
        self.norms = nn.ModuleList(nn.GroupNorm(channels // normed, channels, EPS) for _ in branches)

    def forward(self, x: Tensor, state: State | None = None) -> Tensor:
        parts = self.outputs(x, state)
        if state is None:
            total = torch.zeros_like(x)
            for part, norm in zip(parts, self.norms, strict=True):
                total = norm(total + part)
            return total / len(parts)
        known = state.get(self.norms)
        if known is None:
            raise InputError("this encoder normalises over the whole time and cannot stream; code whole sounds")
        gains, mixed = known[0], known[1][..., None]
        for j, part in enumerate(parts):
            mixed = mixed + gains[:, j, :, None] * part
        return mixed

    def settled(self, moments: Moments) -> tuple[Tensor, Tensor]:
        """Gains `[B, branches, C]` and shifts `[B, C]`: what all norms together come to, once the moments are known."""
        gains = torch.zeros_like(moments.mean)
        shift = torch.zeros_like(moments.mean[:, 0])
        spread = moments.products / moments.count
        for j, norm in enumerate(self.norms):
            assert isinstance(norm, nn.GroupNorm)
            gains[:, j] += 1
            mean = (gains * moments.mean).sum(1) + shift
            power = torch.einsum("bic,bjc,bijc->bc", gains, gains, spread)
            centre = _over_groups(mean, norm.num_groups)
            scale = (_over_groups(power + (mean - centre).square(), norm.num_groups) + norm.eps).rsqrt() * norm.weight
            shift = (shift - centre) * scale + norm.bias
            gains = gains * scale[:, None]
        return gains.float() / len(self.norms), shift.float() / len(self.norms)


class Moments:
    """Means of some signals, and of their products, over a time that comes in pieces (Chan et al. 1979)."""

    def __init__(self) -> None:
        self.count = 0  # positions
        self.mean = torch.zeros(())  # [B, signals, C], float64
        self.products = torch.zeros(())  # [B, signals, signals, C], sums of products about the mean, float64

    def add(self, signals: Sequence[Tensor]) -> None:
        """Hear on, each signal `[B, C, T]`."""
        x = torch.stack(list(signals), dim=1)
        fresh = x.shape[-1]
        if not fresh:
            return
        mean = x.mean(-1, keepdim=True)
        x = x - mean
        products = torch.einsum("bict,bjct->bijc", x, x).double()
        apart = mean[..., 0].double() - self.mean
        share = fresh / (self.count + fresh)
        self.products = self.products + products + apart[:, :, None] * apart[:, None] * self.count * share
        self.mean = self.mean + apart * share
        self.count += fresh


def _over_groups(x: Tensor, groups: int) -> Tensor:
    """`[B, C]`, each channel with the mean of its group."""
    mean = x.reshape(len(x), groups, -1).mean(2, keepdim=True)
    return mean.expand(-1, -1, x.shape[1] // groups).reshape(x.shape)


def _pieces(
    wave: Tensor, size: int, known: Sequence[tuple[nn.Module, Tensor, Tensor]]
) -> Iterator[tuple[Tensor, State]]:
    """`wave` in pieces of `size`, each with the State that runs through all of them and knows some norms."""
    state = State()
    for norms, gains, shift in known:
        state.put(norms, gains, shift)
    for at in range(0, wave.shape[-1], size):
        state.last = at + size >= wave.shape[-1]
        yield wave[..., at : at + size], state


def _encoder(config: HiFiCodecConfig) -> Iterator[nn.Module]:
    width = config.filters
    yield Conv1d(1, width, Kernel(7).centred())
    for stride, size in zip(config.strides, config.kernels, strict=True):
        yield nn.LeakyReLU(SLOPE)
        yield Conv1d(width, 2 * width, Kernel(size, stride).centred())
        width *= 2
        # the other way round than in the decoder, which matters here
        branches = [_branch(width, kernel, config.dilations) for kernel in reversed(config.unit_kernels)]
        yield NormedMean(width, config.normed, branches)
    yield nn.LeakyReLU()
    yield Conv1d(width, config.latent, Kernel(3).centred())


def _decoder(config: HiFiCodecConfig) -> Iterator[nn.Module]:
    width = config.latent
    yield Conv1d(width, width, Kernel(7).centred())
    for stride, size in zip(reversed(config.strides), reversed(config.kernels), strict=True):
        yield nn.LeakyReLU(SLOPE)
        yield ConvTranspose1d(width, width // 2, Kernel(size, stride).centred())
        width //= 2
        yield Mean([_branch(width, kernel, config.dilations) for kernel in config.unit_kernels])
    yield nn.LeakyReLU(SLOPE)
    yield Conv1d(width, 1, Kernel(7).centred())
    yield nn.Tanh()


def _branch(width: int, kernel: int, dilations: Sequence[int]) -> Chain:
    """Residual units of one kernel: leaky ReLU, dilated convolution, leaky ReLU, convolution."""
    return Chain(
        *(
            Residual(
                Chain(
                    nn.LeakyReLU(SLOPE),
                    Conv1d(width, width, Kernel(kernel, dilation=dilation).centred()),
                    nn.LeakyReLU(SLOPE),
                    Conv1d(width, width, Kernel(kernel).centred()),
                )
            )
            for dilation in dilations
        )
    )


def _start_small(codec: HiFiCodec) -> None:
    """HiFi-Codec's start: latents and entries near zero."""
    nn.init.normal_(codec.encoder[-1].weight, std=0.01)  # type: ignore[arg-type]
    for book in codec.modules():
        if isinstance(book, Codebook):
            nn.init.uniform_(book.entries, -1 / book.size, 1 / book.size)
