"""The Codec contract for models made of torch: one architecture a file, encode, quantize, decode.

Letters in shapes: `B` batch, `C` channels, `T` samples, `D` features, `F` frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from ..codes import CodecInfo, Level
from ..contract import CodecContract, Stream, UnpaddedStream, Wave
from ..nn.state import State
from ..nn.weight_norm import fuse
from ..quantizers.base import Quantized, Quantizer


@dataclass(frozen=True)
class Reconstruction:
    """What one pass through a codec gives."""

    wave: Tensor  # [B, C, T], as long as the input and aligned with it
    quantized: Quantized


class Codec(nn.Module, CodecContract):
    """An encoder to latents, a quantizer, a decoder back to samples; causal, or behind its input by `info.lookahead`.

    `forward` is the differentiable pass over tensors for training. `encode`, `decode` and `stream` speak numpy
    `Codes` and run the same three parts in the same order.
    """

    info: CodecInfo
    config: Any  # the architecture's frozen dataclass
    encoder: nn.Module  # (wave [B, C, F * hop], state=None) -> latents [B, D, F]
    quantizer: Quantizer
    decoder: nn.Module  # (latents [B, D, F], state=None) -> samples [B, C, F * hop], lagging by `info.delay`

    def forward(self, wave: Tensor) -> Reconstruction:
        """Code `[B, C, T]` and come back, aligned and of the same length."""
        length = wave.shape[-1]
        frames = self.info.frames(length)
        z = self.encoder(nn.functional.pad(wave, (0, frames * self.info.hop - length)))
        quantized = self.quantizer(z)
        y = self.decoder(self.transmit(quantized.z))
        return Reconstruction(y[..., self.info.delay : self.info.delay + length], quantized)

    def transmit(self, z: Tensor) -> Tensor:
        """Quantized latents as they reach the decoder; what trains for a bad line loses some here."""
        return z

    def fold(self) -> Self:
        """Make weights plain (weight norm, and constants where an architecture has some), for use; returns itself."""
        return fuse(self)

    @property
    def device(self) -> torch.device:
        """Where the model lives."""
        return next(self.parameters()).device

    def new_state(self) -> State:
        """The state of one direction of a stream that has heard nothing yet."""
        return State()

    def begin(self, state: State, frame: int) -> None:
        """A state that is still empty takes `frame` as its place."""
        state.place = frame

    def end(self, state: State) -> None:
        """The layers catch up with their look-ahead in the coming call."""
        state.last = True

    @torch.inference_mode()
    def encode_frames(self, wave: Wave, state: State, levels: int) -> tuple[Level, ...]:
        """Levels `[B, F]` of whole frames of samples."""
        z = self.encoder(torch.from_numpy(wave).to(self.device), state)
        return tuple(level.cpu().numpy() for level in self.quantizer.encode(z, levels))

    @torch.inference_mode()
    def decode_frames(self, levels: Sequence[Level], state: State) -> Wave:
        """Samples of whole frames of levels."""
        z = self.quantizer.decode([torch.from_numpy(level).to(self.device) for level in levels])
        return np.asarray(self.decoder(z, state).float().cpu().numpy())


class UnpaddedCodec(Codec):
    """A codec whose layers pad a last frame that is not whole themselves, as EnCodec's do."""

    def forward(self, wave: Tensor) -> Reconstruction:
        """Code `[B, C, T]` and come back, aligned and of the same length."""
        quantized = self.quantizer(self.encoder(wave))
        return Reconstruction(self.decoder(quantized.z)[..., : wave.shape[-1]], quantized)

    def stream(self, levels: int | None = None) -> Stream:
        """A new two-way stream."""
        return UnpaddedStream(self, self.info.check_levels(levels))

    def encode_frames(self, wave: Wave, state: State, levels: int) -> tuple[Level, ...]:
        """Levels `[B, F]` of frames of samples; only the last chunk of a stream may hold a piece of one."""
        state.last = state.last or wave.shape[2] % self.info.hop > 0
        return super().encode_frames(wave, state, levels)
