"""Augmentation of whole batches on their device: level, polarity, speed, rooms, backgrounds, colour.

Few speakers become more by resampling (pitch and formants move together); real rooms, noise and cheap microphones
come from synthetic impulse responses, a second corpus and filters. What happens to a batch is a pure function of the
seed and the batch's place in training, drawn on the CPU: it resumes exactly and waits for no device. A crop not
chosen for a change keeps its bits. `B` batch, `C` channel, `T` sample.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import InputError
from .crops import Crops
from .filters import colour, convolve, impulse_responses, resample_group, speed_margin

Range = tuple[float, float]
Draws = NDArray[np.float64]


@dataclass(frozen=True)
class Augment:
    """How often (probability a crop) and how much (uniform in a range) each change is made; all off by default."""

    speed: float = 0.0
    speed_range: Range = (0.85, 1.2)  # times as fast, and as high; uniform in its logarithm
    speed_groups: int = 4  # different speeds a batch: each costs two FFTs
    reverb: float = 0.0
    reverb_seconds: Range = (0.1, 0.6)  # until the sound has decayed by 60 dB
    reverb_db: Range = (-20.0, -3.0)  # energy of the room over that of the direct sound
    mix: float = 0.0  # of a background
    mix_snr_db: Range = (0.0, 30.0)  # power of the crop over that of the background
    tilt: float = 0.0
    tilt_db: Range = (-1.5, 1.5)  # an octave, around 1 kHz
    peaks: float = 0.0  # three bells, as of a small loudspeaker
    peak_db: Range = (-6.0, 6.0)
    lowpass: float = 0.0
    lowpass_hz: Range = (4000.0, 12000.0)  # uniform in its logarithm
    gain: float = 0.0
    gain_db: Range = (-12.0, 6.0)
    polarity: float = 0.0

    def __post_init__(self) -> None:
        """Check."""
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, float) and not 0 <= value <= 1:
                raise InputError(f"augmentation {field.name} is a probability from 0 to 1, got {value}")
            if isinstance(value, tuple | list) and not (len(value) == 2 and value[0] <= value[1]):
                raise InputError(f"augmentation {field.name} is a range (lowest, highest), got {value}")
        lowest = min(self.speed_range[0], self.lowpass_hz[0], self.reverb_seconds[0])
        if lowest <= 0 or self.speed_groups < 1:
            raise InputError("augmentation speeds, seconds, frequencies and groups must be above 0")

    @property
    def active(self) -> bool:
        """Is anything done at all?"""
        return max(self.speed, self.reverb, self.mix, self.tilt, self.peaks, self.lowpass, self.gain, self.polarity) > 0


class Augmenter:
    """Changes batches `[B, C, source_length]` into batches `[B, C, length]`; draw crops of `source_length` for it.

    `background` gives what is mixed in: crops of `length` samples, as many a batch, best on the same device.
    """

    def __init__(
        self,
        config: Augment,
        sample_rate: int,
        length: int,
        *,
        seed: int = 0,
        rank: int = 0,
        background: Crops | None = None,
    ) -> None:
        if config.mix and background is None:
            raise InputError("augmentation mix needs a background corpus of noise or music; name one or set mix = 0")
        if background is not None and background.spec.length != length:
            raise InputError(f"expected background crops of {length} samples, got {background.spec.length}")
        self.config, self.sample_rate, self.length, self.background = config, sample_rate, length, background
        self._seed = (seed, rank)
        self._margin = speed_margin(sample_rate) if config.speed else 0
        stretch = max(1.0, config.speed_range[1]) if config.speed else 1.0
        wanted = math.ceil(length * stretch) + 2 * self._margin
        self.source_length = length if not config.speed else -(-wanted // 64) * 64  # samples to draw; kind to FFTs

    @torch.no_grad()
    def __call__(self, wave: Tensor, place: int) -> Tensor:
        """The batch `[B, C, length]` from `wave`, drawn when all ranks together had had `place` crops."""
        wave, peak = self._changed(wave, place)
        return wave / peak if self.config.active else wave  # a factor of 1 leaves the bits alone

    @torch.no_grad()
    def beside(self, wave: Tensor, place: int) -> tuple[Tensor, Tensor]:
        """`wave` as it is and as it is heard: where that would be too loud, both are turned down alike."""
        heard, peak = self._changed(wave, place)
        return wave / peak, heard / peak

    def _changed(self, wave: Tensor, place: int) -> tuple[Tensor, Tensor]:
        """The changed batch, and by what to divide it so that nothing in it passes 1."""
        if wave.shape[-1] != self.source_length:
            raise InputError(f"expected crops of {self.source_length} samples, got {wave.shape[-1]}")
        if not self.config.active:
            return wave, wave.new_ones(())
        random = np.random.default_rng([*self._seed, place])
        wave = self._speed(wave, random)
        for change in (self._reverb, lambda wave, random: self._mix(wave, random, place), self._colour, self._level):
            wave = change(wave, random)
        return wave, wave.abs().amax((1, 2), keepdim=True).clamp(min=1)

    def _speed(self, wave: Tensor, random: np.random.Generator) -> Tensor:
        config, margin = self.config, self._margin
        out = wave[..., margin : margin + self.length].clone()
        groups = random.integers(config.speed_groups, size=len(wave))
        speeds = _log_uniform(random, config.speed_range, config.speed_groups)
        chosen = random.random(len(wave)) < config.speed
        for group, speed in enumerate(speeds):
            items = np.flatnonzero(chosen & (groups == group))
            if len(items):
                at = torch.from_numpy(items).to(wave.device)
                out[at] = resample_group(wave[at], float(speed), margin, self.length)
        return out

    def _reverb(self, wave: Tensor, random: np.random.Generator) -> Tensor:
        seconds = random.uniform(*self.config.reverb_seconds, len(wave))
        level = random.uniform(*self.config.reverb_db, len(wave))
        longest, seed = self.config.reverb_seconds[1], int(random.integers(1 << 62))

        def room(part: Tensor, items: NDArray[np.int64]) -> Tensor:
            shape = (*part.shape[:2], math.ceil(longest * self.sample_rate))
            tails = torch.randn(shape, generator=torch.Generator(part.device).manual_seed(seed), device=part.device)
            decay, energy = (_column(draws[items], part) for draws in (seconds * self.sample_rate, level))
            wet = convolve(part, impulse_responses(tails, decay, energy, self.sample_rate))
            return wet * _ratio(part.square().mean((1, 2), True), wet.square().mean((1, 2), True))

        return _change_some(wave, random.random(len(wave)) < self.config.reverb, room)

    def _mix(self, wave: Tensor, random: np.random.Generator, place: int) -> Tensor:
        snr = random.uniform(*self.config.mix_snr_db, len(wave))
        chosen = random.random(len(wave)) < self.config.mix
        if self.background is None or not chosen.any():
            return wave
        other = self.background.batch(place).to(wave.device)

        def mixed(part: Tensor, items: NDArray[np.int64]) -> Tensor:
            noise = other[torch.from_numpy(items).to(part.device)]
            scale = _ratio(part.square().mean((1, 2), True), noise.square().mean((1, 2), True))
            return part + noise * scale * 10 ** (-_column(snr[items], part) / 20)

        return _change_some(wave, chosen, mixed)

    def _colour(self, wave: Tensor, random: np.random.Generator) -> Tensor:
        config, size = self.config, len(wave)
        tilt, tilted = random.uniform(*config.tilt_db, size), random.random(size) < config.tilt
        gains, belled = random.uniform(*config.peak_db, (size, 3)), random.random(size) < config.peaks
        centres = _log_uniform(random, (100.0, 0.45 * self.sample_rate), (size, 3))
        cut, dull = _log_uniform(random, config.lowpass_hz, size), random.random(size) < config.lowpass
        tilt, gains = np.where(tilted, tilt, 0), np.where(belled[:, None], gains, 0)
        cut = np.where(dull, cut, np.inf)

        def coloured(part: Tensor, items: NDArray[np.int64]) -> Tensor:
            drawn = (_column(draws[items], part) for draws in (tilt, gains, centres, cut))
            return colour(part, self.sample_rate, *drawn)

        return _change_some(wave, tilted | belled | dull, coloured)

    def _level(self, wave: Tensor, random: np.random.Generator) -> Tensor:
        config, size = self.config, len(wave)
        gain = 10 ** (random.uniform(*config.gain_db, size) / 20)
        gain = np.where(random.random(size) < config.gain, gain, 1.0)
        sign = np.where(random.random(size) < config.polarity, -1.0, 1.0)
        return wave * _column(gain * sign, wave)


def _log_uniform(random: np.random.Generator, limits: Range, size: int | tuple[int, int]) -> Draws:
    return np.exp(random.uniform(math.log(limits[0]), math.log(limits[1]), size))


def _column(draws: Draws, like: Tensor) -> Tensor:
    """Draws `[B]` as `[B, 1, 1]`, or `[B, N]` as `[B, N, 1]`, beside `like`."""
    return torch.from_numpy(draws.reshape(len(draws), -1, 1)).to(like.device, like.dtype, non_blocking=True)


def _ratio(wanted: Tensor, got: Tensor) -> Tensor:
    """Factor that brings mean power `got` to `wanted`; 0 for silence."""
    return torch.where(got > 1e-12, wanted / got.clamp(min=1e-12), 0).sqrt()


def _change_some(
    wave: Tensor, chosen: NDArray[np.bool_], change: Callable[[Tensor, NDArray[np.int64]], Tensor]
) -> Tensor:
    """`wave` with the chosen items changed, the others bit for bit as they were."""
    items = np.flatnonzero(chosen)
    if not len(items):
        return wave
    at = torch.from_numpy(items).to(wave.device)
    return wave.index_copy(0, at, change(wave[at], items))
