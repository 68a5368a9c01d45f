"""Vocos: features to sound by ConvNeXt blocks and one inverse Fourier transform; no upsampling layer anywhere.

Siuzdak 2023 (arXiv 2306.00814). It hears both sides of a frame, so in a stream it lags by `lookahead`. WavTokenizer's
decoder is one with a few layers before the blocks.

Letters in shapes: `B` batch, `D` features, `N` frequency bins, `F` frames, `T` samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .blocks import in_step
from .conv import Conv1d
from .padding import Kernel, spread
from .state import State

KERNEL = 7  # frames that the first convolution and each block hear
LOUDEST = 100.0  # magnitudes are cut here, as in the original


@dataclass(frozen=True)
class VocoderConfig:
    """Sizes of a Vocos. The defaults are the released one for mel bands at 24 kHz."""

    features: int = 100  # of a frame that comes in
    dim: int = 512
    hidden: int = 1536  # features inside a block
    layers: int = 8
    n_fft: int = 1024
    hop: int = 256
    centred: bool = True  # frames have their middle at multiples of the hop, as mel frames do; else between these
    conditions: int = 1  # how many sets of gains and shifts the norms have to choose from

    @property
    def window(self) -> Kernel:
        """Which samples a frame sounds in; `left` of the first one's are cut."""
        return Kernel(self.n_fft, self.hop, left=(self.n_fft if self.centred else self.n_fft - self.hop) // 2)

    @property
    def wait(self) -> int:
        """Frames that the blocks hear beyond one."""
        return (KERNEL // 2) * (self.layers + 1)

    @property
    def lookahead(self) -> int:
        """Samples by which a stream is late."""
        return self.wait * self.hop + self.window.past

    @property
    def preroll(self) -> int:
        """Frames that must be heard before the first sample of a frame."""
        return self.wait - ((self.window.past - self.n_fft) // self.hop + 1)


class Vocoder(nn.Module):
    """`[B, D, F] -> [B, 1, F * hop]`, or a hop less where frames are centred; `before` runs ahead of the blocks."""

    def __init__(self, config: VocoderConfig, before: nn.Module | None = None) -> None:
        super().__init__()
        self.config = config
        self.embed = Conv1d(config.features, config.dim, Kernel(KERNEL).centred())
        self.before = before
        self.norm = ChoiceNorm(config.dim, config.conditions)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.last_norm = ChoiceNorm(config.dim)
        self.spectrum = nn.Linear(config.dim, config.n_fft + 2)
        self.inverse = HannISTFT(config.window)

    def forward(self, x: Tensor, state: State | None = None, condition: int = 0) -> Tensor:
        """Samples of the frames, said under one of the `conditions`."""
        x = self.embed(x, state)
        if self.before is not None:
            x = self.before(x, state)
        x = self.norm(x, condition)
        for block in self.blocks:
            x = block(x, state, condition)
        size, phase = self.spectrum(self.last_norm(x).transpose(1, 2)).transpose(1, 2).chunk(2, dim=1)
        size = size.exp().clamp(max=LOUDEST)
        wave: Tensor = self.inverse(torch.cat([size * phase.cos(), size * phase.sin()], dim=1), state)
        ends = state is None or state.last
        return wave[..., : -self.config.hop] if self.config.centred and ends and wave.shape[-1] else wave


class Block(nn.Module):
    """A depthwise convolution over time, then a two-layer net a frame, added to the input: `[B, D, F] -> [B, D, F]`."""

    def __init__(self, config: VocoderConfig) -> None:
        super().__init__()
        self.depthwise = Conv1d(config.dim, config.dim, Kernel(KERNEL).centred(), groups=config.dim)
        self.norm = ChoiceNorm(config.dim, config.conditions)
        self.up = nn.Linear(config.dim, config.hidden)
        self.down = nn.Linear(config.hidden, config.dim)
        self.scale = nn.Parameter(torch.full((config.dim,), 1 / config.layers))

    def forward(self, x: Tensor, state: State | None = None, condition: int = 0) -> Tensor:
        """Mix over time, then over features."""
        y = self.norm(self.depthwise(x, state), condition).transpose(1, 2)
        y = (self.scale * self.down(F.gelu(self.up(y)))).transpose(1, 2)
        straight, bent = in_step(self, [x, y], state)
        return straight + bent


class ChoiceNorm(nn.Module):
    """Layer norm over the features of each frame, with gain and shift for each of a few conditions."""

    def __init__(self, dim: int, conditions: int = 1, eps: float = 1e-6) -> None:
        super().__init__()
        self.eps = eps
        self.gain = nn.Parameter(torch.ones(conditions, dim))
        self.shift = nn.Parameter(torch.zeros(conditions, dim))

    def forward(self, x: Tensor, condition: int = 0) -> Tensor:
        """`[B, D, F] -> [B, D, F]`."""
        gain, shift = self.gain[condition], self.shift[condition]
        return F.layer_norm(x.transpose(1, 2), gain.shape, gain, shift, self.eps).transpose(1, 2)


class HannISTFT(nn.Module):
    """`[B, 2 * N, F] -> [B, 1, F * hop]`: overlap-add under a Hann window, over what the squared windows add up to.

    `kernel.left` samples are cut off the start, so a stream lags by as many. At the ends fewer windows add up.
    """

    def __init__(self, kernel: Kernel) -> None:
        super().__init__()
        self.kernel = kernel
        window = torch.hann_window(kernel.size, dtype=torch.float64).float()
        self.register_buffer("window", window[:, None], persistent=False)
        self.window: Tensor  # [n_fft, 1]
        self.squares = nn.Module()  # their sum has a place of its own in a State

    def forward(self, spectrum: Tensor, state: State | None = None) -> Tensor:
        """Samples that the frames complete."""
        frames, due = spread(self, spectrum, state, self.kernel)
        ones, same = spread(self.squares, spectrum.new_ones(len(spectrum), 1, spectrum.shape[-1]), state, self.kernel)
        if not frames.shape[-1]:
            return spectrum.new_zeros(spectrum.shape[0], 1, 0)
        pieces = torch.fft.irfft(torch.complex(*frames.chunk(2, dim=1)), self.kernel.size, dim=1) * self.window
        squares = ones * self.window.square()
        return overlapped(pieces, self.kernel)[..., due] / overlapped(squares, self.kernel)[..., same]


def overlapped(pieces: Tensor, kernel: Kernel) -> Tensor:
    """Pieces `[B, n_fft, F]`, a stride apart, added up: `[B, 1, T]`."""
    length = (pieces.shape[-1] - 1) * kernel.stride + kernel.size
    return F.fold(pieces, (1, length), (1, kernel.size), stride=(1, kernel.stride))[:, :, 0]
