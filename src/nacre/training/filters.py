"""Resampling, rooms and colour as products of spectra: one FFT there and one back for a whole batch.

`B` batch, `C` channel, `T` sample. Per-crop figures are `[B, 1, 1]`, on the device of the wave.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

_SILENT = 0.002  # seconds between the direct sound and the first reflection
_OCTAVES = 0.4  # width of a bell, standard deviation
_STEP = 64  # samples, the grain of lengths
_EDGE = 0.12  # a low-pass is down to nothing this part above its frequency


def speed_margin(sample_rate: int) -> int:
    """Samples at both ends of a crop that resampling uses up."""
    return max(64, sample_rate // 100)


def resample_group(wave: Tensor, speed: float, margin: int, length: int) -> Tensor:
    """`wave` `[B, C, T]` played `speed` times as fast: `length` samples that begin `margin` source samples in.

    Band-limited: the spectrum is cut or extended. The margins are faded first, so that the ends, which an FFT takes
    for neighbours, do not click. The true speed is `T` over a multiple of 64 samples, which keeps FFTs quick and few.
    """
    size = wave.shape[-1]
    target = _STEP * round(size / speed / _STEP)
    ramp = torch.linspace(0, 1, margin, device=wave.device, dtype=wave.dtype)
    fade = torch.ones(size, device=wave.device, dtype=wave.dtype)
    fade[:margin] = torch.sin(ramp * math.pi / 2) ** 2
    fade[-margin:] = fade[:margin].flip(0)
    bins = min(size, target) // 2
    spectrum = torch.fft.rfft(wave * fade)[..., :bins]
    spectrum = torch.nn.functional.pad(spectrum, (0, target // 2 + 1 - bins))
    start = round(margin * target / size)
    out: Tensor = torch.fft.irfft(spectrum, n=target) * (target / size)
    return out[..., start : start + length]


def impulse_responses(tails: Tensor, decay: Tensor, level_db: Tensor, sample_rate: int) -> Tensor:
    """Rooms `[B, C, T]` from white noise `tails`: a direct sound of 1, then noise that falls 60 dB in `decay` samples.

    `level_db` is the energy of the tail over that of the direct sound.
    """
    time = torch.arange(tails.shape[-1], device=tails.device, dtype=tails.dtype)
    tails = tails * torch.exp(-math.log(1000) * time / decay) * (time >= _SILENT * sample_rate)
    energy = tails.square().sum(-1, keepdim=True).clamp(min=1e-12)
    rooms = tails * (10 ** (level_db / 10) / energy).sqrt()
    rooms[..., 0] = 1
    return rooms


def convolve(wave: Tensor, kernel: Tensor) -> Tensor:
    """`wave` `[B, C, T]` through causal filters `[B, C, K]`, as long as it was."""
    length = wave.shape[-1]
    size = _quick(length + kernel.shape[-1] - 1)
    out: Tensor = torch.fft.irfft(torch.fft.rfft(wave, size) * torch.fft.rfft(kernel, size), size)
    return out[..., :length]


def colour(wave: Tensor, sample_rate: int, tilt: Tensor, gains: Tensor, centres: Tensor, cut: Tensor) -> Tensor:
    """`wave` `[B, C, T]` through filters of zero phase.

    `tilt` is in dB an octave around 1 kHz, `gains` in dB of bells at `centres` in Hz (`[B, N, 1]`), `cut` in Hz, above
    which a low-pass falls to nothing; infinity for none.
    """
    length = wave.shape[-1]
    size = _quick(length + sample_rate // 20)  # silence after the end, so that nothing rings back into the beginning
    hertz = torch.fft.rfftfreq(size, 1 / sample_rate, device=wave.device, dtype=wave.dtype).clamp(min=50)
    octaves = torch.log2(hertz / 1000)
    bells = gains * torch.exp(-0.5 * ((octaves - torch.log2(centres / 1000)) / _OCTAVES) ** 2)
    decibels = (tilt * octaves + bells.sum(1, keepdim=True)).clamp(-24, 24)
    fall = ((hertz / cut - 1) / _EDGE).clamp(0, 1)
    response = 10 ** (decibels / 20) * (0.5 + 0.5 * torch.cos(math.pi * fall))
    out: Tensor = torch.fft.irfft(torch.fft.rfft(wave, size) * response, size)
    return out[..., :length]


def _quick(size: int) -> int:
    """The next size of 2^a or 3·2^a, at which FFTs are quick."""
    power = 1 << (size - 1).bit_length()
    return 3 * power // 4 if 3 * power // 4 >= size else power
