"""Sample rates: a resampler that takes blocks of any size and gives one fixed result, and the length rule.

`frames` samples at rate `a` become `floor(frames * b / a + 1/2)` samples at rate `b`: rounded, halves up, in
integers. Blocks are cut anywhere without changing a bit of the result. soxr's HQ setting: 20 bits, linear phase.
"""

from __future__ import annotations

import numpy as np
import soxr
from numpy.typing import NDArray

from ..errors import InputError
from .channels import Block, check_channels

MIN_RATE, MAX_RATE = 100, 1_000_000  # Hz; beyond, the filters grow without use
LOUDEST = 1e9  # sample values beyond are no sound, and could overflow where channels are summed
_PIECE = 16384  # samples a call of soxr, so that its buffers stay small when a whole file is handed in


def check_rate(sample_rate: int) -> int:
    """`sample_rate` if we can work at it, in Hz."""
    if not MIN_RATE <= sample_rate <= MAX_RATE or sample_rate != int(sample_rate):
        raise InputError(f"expected a whole sample rate from {MIN_RATE} to {MAX_RATE} Hz, got {sample_rate}")
    return int(sample_rate)


def check_finite(block: Block, start: int, sample_rate: int, name: str) -> None:
    """Refuse NaN, infinite and absurd samples in a block `[C, T]` that begins `start` samples into `name`."""
    with np.errstate(invalid="ignore"):
        fine = np.abs(block) <= LOUDEST  # false for NaN too
    if fine.all():
        return
    place = start + int(np.argmin(fine.all(axis=0)))
    raise InputError(
        f"{name} holds a NaN, infinite or absurdly large sample at {place / sample_rate:.3f} s (sample {place}); "
        "repair it first"
    )


def resampled_length(frames: int, from_rate: int, to_rate: int) -> int:
    """How many samples `frames` samples become: `frames * to_rate / from_rate`, rounded, halves up."""
    return (2 * frames * to_rate + from_rate) // (2 * from_rate)


class Resampler:
    """One stream from one sample rate to another: push blocks `[C, T]` of any size, get what is ready."""

    def __init__(self, from_rate: int, to_rate: int, channels: int = 1) -> None:
        self.from_rate, self.to_rate = check_rate(from_rate), check_rate(to_rate)
        self.channels = check_channels(channels)
        self._came = self._gave = 0
        self._ended = False
        self._stream = None
        if from_rate != to_rate:
            self._stream = soxr.ResampleStream(from_rate, to_rate, channels, dtype="float32", quality="HQ")

    def push(self, block: Block, last: bool = False) -> Block:
        """Push samples `[C, T]` (none is fine), get samples `[C, T']`; `last` ends the stream at its exact length."""
        if block.ndim != 2 or len(block) != self.channels:
            raise InputError(f"expected a block [{self.channels}, samples], got {list(block.shape)}")
        if self._ended:
            raise InputError("this resampler has ended (last=True was given); make another")
        self._came += block.shape[1]
        self._ended = last
        if self._stream is None:
            return block
        frames = np.ascontiguousarray(block.T, np.float32)
        pieces = [self._stream.resample_chunk(frames[i : i + _PIECE]).T for i in range(0, len(frames), _PIECE)]
        if last:
            pieces.append(self._stream.resample_chunk(np.zeros((0, self.channels), np.float32), last=True).T)
        out = np.concatenate(pieces, axis=1) if pieces else np.zeros((self.channels, 0), np.float32)
        if last:
            out = _fit(out, resampled_length(self._came, self.from_rate, self.to_rate) - self._gave)
        self._gave += out.shape[1]
        return out


def _fit(block: Block, length: int) -> Block:
    """Cut or pad with silence: soxr gives the stated length today but does not promise it."""
    return np.pad(block[:, :length], ((0, 0), (0, max(0, length - block.shape[1]))))


def resample(wave: NDArray[np.float32], from_rate: int, to_rate: int) -> NDArray[np.float32]:
    """A whole wave `[B, C, T]` or `[C, T]` at another rate, `resampled_length` samples long."""
    wave = np.asarray(wave, np.float32)
    if wave.ndim == 3:
        # An empty batch has no item to ask for its length.
        length = resampled_length(wave.shape[2], check_rate(from_rate), check_rate(to_rate))
        items = [resample(item, from_rate, to_rate) for item in wave]
        return np.stack(items) if items else np.zeros((0, wave.shape[1], length), np.float32)
    if wave.ndim != 2:
        raise InputError(f"expected samples [channel, sample] or [batch, channel, sample], got {list(wave.shape)}")
    return Resampler(from_rate, to_rate, len(wave)).push(wave, last=True)
