"""DAC's own files end to end: sound to the bytes of a `.dac` and back, as `compress` and `decompress` of the package.

The package brings sound to -16 LUFS, cuts what is longer than a window into windows that overlap, and codes each
without any padding; the outputs, set end to end, are the sound. Its codes are not those of the whole and cost more.

Letters in shapes: `B` batch, `C` channels, `F` frames, `T` samples.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from ..audio.loudness import loudness
from ..codecs.dac import DAC
from ..codes import Codes, Level
from ..container.dac_file import DacMetadata, read_dac, write_dac
from ..contract import Wave
from ..errors import InputError
from ..nn.blocks import Chain, Residual
from ..nn.conv import Conv1d, ConvTranspose1d
from ..nn.padding import Kernel

_TARGET = -16.0  # LUFS
_MAX_KERNEL = 1 << 25  # numbers in the resampler's table, three of which take a gigabyte while it is made
_ZEROS, _ROLLOFF = 24, 0.945  # of the resampler: zero crossings on either side, share of the band that it keeps


@dataclass(frozen=True)
class DacOptions:
    """How a `.dac` is made."""

    window: float = 5.0  # seconds; what is longer is cut into windows, math.inf for one pass over all of it
    levels: int | None = None  # the first so many; None for all
    loud: float | None = _TARGET  # LUFS that sound is brought to first; None leaves it as it is


def encode_dac(codec: DAC, wave: Wave, sample_rate: int, options: DacOptions | None = None) -> bytes:
    """The `.dac` of `wave` `[1, C, T]`, which the package decodes to what `decode_dac` gives."""
    options = options or DacOptions()
    if wave.ndim != 3 or len(wave) != 1 or not wave.shape[2]:
        raise InputError(f"expected one sound [1, channels, samples] of some length, got {list(wave.shape)}")
    rate = codec.info.sample_rate
    sound = resampled(wave[0], sample_rate, rate)
    loud = loudness(sound, rate)
    if options.loud is not None:
        sound = sound * np.float32(10 ** ((options.loud - loud) / 20))
    sound = sound / np.maximum(np.abs(sound).max(axis=1, keepdims=True), 1)
    padding = sound.shape[1] <= options.window * rate
    whole = _encode_whole if padding else _encode_windows
    levels, chunk = whole(codec, sound[:, None], options)
    metadata = DacMetadata((loud,), wave.shape[2], sample_rate, chunk, wave.shape[1], padding)
    return write_dac(Codes(levels, sound.shape[1], codec.info), asdict(metadata))


def decode_dac(codec: DAC, data: bytes, levels: int | None = None) -> tuple[Wave, int]:
    """The sound `[1, C, T]` of a `.dac` that `codec` or the package's same model wrote, and its sample rate.

    Of its levels the first `levels`, all by default.
    """
    codes, metadata = read_dac(data, codec.info.name)
    codes = codes if levels is None else codes.head(levels)
    if metadata.padding:
        length = codes.frames * codec.info.hop - codec.decoder.lost
        sound = codec.decode(replace(codes, info=codec.info, length=length))[:, 0]
    else:
        sound = _decode_windows(codec, codes, metadata.chunk_length)
    rate, decibels = codec.info.sample_rate, np.resize(metadata.input_db, len(sound))
    for item, loud in zip(sound, decibels, strict=True):
        item *= np.float32(10 ** ((loud - loudness(item[None], rate)) / 20))
    sound = resampled(sound, rate, metadata.sample_rate)[:, : metadata.original_length]
    sound = np.pad(sound, ((0, 0), (0, metadata.original_length - sound.shape[1])))
    return sound.reshape(-1, metadata.channels, metadata.original_length), metadata.sample_rate


def resampled(wave: NDArray[np.float32], from_rate: int, to_rate: int) -> NDArray[np.float32]:
    """`[C, T]` at another rate, by the windowed sinc that the package takes: its sound hangs on every sample of it."""
    shared = math.gcd(from_rate, to_rate)
    old, new = from_rate // shared, to_rate // shared
    if old == new or not wave.shape[1]:
        return wave
    pace = min(old, new) * _ROLLOFF
    width = math.ceil(_ZEROS * old / pace)
    if new * (2 * width + old) > _MAX_KERNEL:
        raise InputError(
            f"{from_rate} and {to_rate} Hz have too little in common for the resampling of a .dac; "
            "resample the sound to a usual rate first, or write a .nac"
        )
    places = torch.arange(-width, width + old, dtype=torch.float64) / old - torch.arange(new)[:, None] / new
    angle = (places * pace).clamp(-_ZEROS, _ZEROS)
    kernel = torch.sinc(angle) * torch.cos(angle * (math.pi / (2 * _ZEROS))).square()
    kernel = (kernel / kernel.sum(1, keepdim=True)).float()[:, None]
    x = F.pad(torch.from_numpy(wave)[:, None], (width, width + old), "replicate")
    y = F.conv1d(x, kernel, stride=old).transpose(1, 2).flatten(1)
    return y[:, : new * wave.shape[1] // old].numpy()


def unpadded(layer: nn.Module, x: Tensor) -> Tensor:
    """`layer` over `[B, C, T]` and nothing around it: convolutions give fewer positions, transposed ones more."""
    if isinstance(layer, Chain):
        for part in layer:
            x = unpadded(part, x)
        return x
    if isinstance(layer, Residual):
        y = unpadded(layer.body, x)
        cut = (x.shape[-1] - y.shape[-1]) // 2
        return x[..., cut : cut + y.shape[-1]] + y
    if isinstance(layer, Conv1d):
        return nn.Conv1d.forward(layer, x)
    if isinstance(layer, ConvTranspose1d):
        return layer.overlap(x)
    beside: Tensor = layer(x)  # what goes position by position
    return beside


def unpadded_length(codec: DAC, length: int) -> int:
    """Samples that come back of `length` without padding; below 1 for too few."""
    for kernel, back in _kernels(codec):
        length = (length - 1) * kernel.stride + kernel.span if back else (length - kernel.span) // kernel.stride + 1
    return length


def margin(codec: DAC) -> int:
    """Samples of silence that the package puts before and behind a sound it cuts into windows."""
    fewest = length = unpadded_length(codec, 0)
    for kernel, back in reversed(list(_kernels(codec))):
        step, span = kernel.stride, kernel.span
        length = -((span - length) // step) + 1 if back else (length - 1) * step + span
    return (length - fewest) // 2


def _kernels(codec: DAC) -> Iterator[tuple[Kernel, bool]]:
    for layer in (*codec.encoder.modules(), *codec.decoder.modules()):
        if isinstance(layer, Conv1d | ConvTranspose1d):
            yield layer.kernel, isinstance(layer, ConvTranspose1d)


def _encode_whole(codec: DAC, sound: Wave, options: DacOptions) -> tuple[tuple[Level, ...], int]:
    # the package cuts the last samples off at odd strides and then wants them: another frame has them
    padded = np.pad(sound, ((0, 0), (0, 0), (0, codec.decoder.lost)))
    codes = codec.encode(padded, options.levels)
    return codes.levels, codes.frames


@torch.inference_mode()
def _encode_windows(codec: DAC, sound: Wave, options: DacOptions) -> tuple[tuple[Level, ...], int]:
    hop, edge = codec.info.hop, margin(codec)
    size = -(-int(options.window * codec.info.sample_rate) // hop) * hop
    step = unpadded_length(codec, size)
    if step < 1:
        raise InputError(f"a window of {options.window:g} s is too short for {codec.info.name}; take 1 s or more")
    sound = np.pad(sound, ((0, 0), (0, 0), (edge, edge + size)))
    parts = []
    for start in range(0, sound.shape[2] - 2 * edge - size, step):
        x = torch.from_numpy(sound[:, :, start : start + size]).to(codec.device)
        z = unpadded(codec.encoder, x)
        parts.append([level.cpu().numpy() for level in codec.quantizer.encode(z, options.levels)])
    return tuple(np.concatenate(level, axis=1) for level in zip(*parts, strict=True)), parts[0][0].shape[1]


@torch.inference_mode()
def _decode_windows(codec: DAC, codes: Codes, chunk: int) -> NDArray[np.float32]:
    parts = []
    for start in range(0, codes.frames, chunk):
        piece = [torch.from_numpy(level[:, start : start + chunk]).to(codec.device) for level in codes.levels]
        parts.append(unpadded(codec.decoder, codec.quantizer.decode(piece))[:, 0].cpu().numpy())
    return np.concatenate(parts, axis=1)
