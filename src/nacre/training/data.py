"""Sound to train on, served as crops from memory or from disk.

    corpus = open_corpus("shards/*.tar", sample_rate=24000, exclude=["HELDOUT.txt"], cache=Path("cache"))
    crops = corpus.crops(CropSpec(length=24000, batch_size=64), device="cuda")
    wave = crops.batch(0)  # float32 [B, C, T] on the device, in [-1, 1]

Which crops come, and in what order, is the same either way: crops.py says. `B` batch, `C` channel, `T` sample.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import IterableDataset

from ..audio import mix_channels
from ..errors import DamagedError, InputError
from .clips import Clip, read_clip
from .crops import Crops, CropSpec, Places
from .decoded import FULL_SCALE, Decoded, DecodeJob, Progress, decode, fits
from .shards import Source, find_clips

_LOG = logging.getLogger(__name__)
_TRIES = 20  # broken clips in a row before a stream gives up


class MemoryCorpus(Crops):
    """Crops gathered from a decoded corpus on the device that holds it."""

    def __init__(self, decoded: Decoded, spec: CropSpec, sample_rate: int, device: torch.device | str = "cpu") -> None:
        super().__init__(decoded.lengths, spec, sample_rate, len(decoded.samples))
        self.warnings = decoded.warnings
        flat = decoded.samples.to(device)
        self.device = flat.device
        missing = spec.length - flat.shape[1]
        # Not padded by none: that would copy a whole corpus that is mapped from disk.
        self._flat = torch.nn.functional.pad(flat, (0, missing)) if missing > 0 else flat
        self._rows = self._flat.unfold(1, spec.length, 1)  # a view: every crop there could be
        self._offsets = decoded.offsets
        self._ramp = torch.arange(spec.length, device=self.device)

    def _cut(self, place: int, clips: Places, starts: Places) -> Tensor:
        begin = np.minimum(self._offsets[clips] + starts, self._rows.shape[1] - 1)
        wave = self._rows[:, self._there(begin)]
        short = np.flatnonzero(self.plan.lengths[clips] < self.spec.length)
        if len(short):
            wave[:, self._there(short)] = self._short(clips[short])
        return wave.transpose(0, 1).float() / FULL_SCALE

    def _short(self, clips: Places) -> Tensor:
        """Whole clips that do not fill a crop, int16 `[C, B, T]`."""
        offsets, lengths = (self._there(one[clips])[:, None] for one in (self._offsets, self.plan.lengths))
        wave = self._flat[:, offsets + self._ramp % lengths]
        return wave if self.spec.loop else wave * (self._ramp < lengths)

    def _there(self, places: Places) -> Tensor:
        return torch.from_numpy(places).to(self.device, non_blocking=True)


class StreamingCorpus(Crops, IterableDataset[Tensor]):
    """Crops read from disk as they are needed, on the CPU; broken clips are logged once and others drawn instead."""

    def __init__(self, clips: Iterable[Clip], spec: CropSpec, sample_rate: int, channels: int) -> None:
        self.clips = tuple(clips)
        lengths = np.array([clip.length(sample_rate) for clip in self.clips], np.int64)
        super().__init__(lengths, spec, sample_rate, channels)
        self.broken: dict[int, str] = {}  # what was wrong with which clip

    def _cut(self, place: int, clips: Places, starts: Places) -> Tensor:
        crops = [self._crop(place + i, *at) for i, at in enumerate(zip(clips, starts, strict=True))]
        return torch.from_numpy(np.stack(crops))

    def _crop(self, place: int, clip: int, start: int) -> NDArray[np.float32]:
        random = np.random.default_rng([self.spec.seed, place, 1])
        for _ in range(_TRIES):
            wave = self._read(int(clip), int(start))
            if wave is not None:
                return wave
            slot = random.integers(self.plan.slots, size=1)
            clip, start = (int(at[0]) for at in self.plan.resolve(slot, random.random(1)))
        raise DamagedError(
            f"{_TRIES} crops in a row could not be read; the last: {next(reversed(self.broken.values()))}"
        )

    def _read(self, clip: int, start: int) -> NDArray[np.float32] | None:
        """A crop `[C, T]`, None where its clip cannot be read so far."""
        length = self.spec.length
        expected = min(length, int(self.plan.lengths[clip]) - start)
        try:
            wave = read_clip(self.clips[clip], self.sample_rate, self.channels, start, length)
            if wave.shape[1] < expected:
                raise DamagedError(f"{self.clips[clip].name} is cut short")
        except DamagedError as error:
            if clip not in self.broken:
                _LOG.warning("%s; other crops are drawn instead", error)
            self.broken[clip] = str(error)
            return None
        if self.spec.loop:
            return wave[:, np.arange(length) % wave.shape[1]]
        return np.pad(wave, ((0, 0), (0, length - wave.shape[1])))


@dataclass(frozen=True)
class Corpus:
    """What there is to train on, and the two ways to serve it."""

    clips: tuple[Clip, ...]
    sample_rate: int  # Hz
    channels: int
    warnings: tuple[str, ...] = ()  # a sentence for each file that could not be used
    cache: Path | None = None

    @property
    def seconds(self) -> float:
        """Sound in all."""
        return sum(clip.frames / clip.sample_rate for clip in self.clips)

    @property
    def size(self) -> int:
        """Bytes when decoded."""
        return 2 * self.channels * sum(clip.length(self.sample_rate) for clip in self.clips)

    def memory(
        self, spec: CropSpec, device: torch.device | str = "cpu", progress: Progress | None = None
    ) -> MemoryCorpus:
        """Decode everything (once, where there is a cache) and serve it from `device`."""
        job = DecodeJob(self.clips, self.sample_rate, self.channels, self.cache)
        decoded = decode(job, progress)
        if not len(decoded.lengths):
            raise DamagedError(f"no clip could be decoded; the first: {decoded.warnings[0]}")
        return MemoryCorpus(decoded, spec, self.sample_rate, device)

    def streaming(self, spec: CropSpec) -> StreamingCorpus:
        """Serve from disk, decoding no more than is needed."""
        return StreamingCorpus(self.clips, spec, self.sample_rate, self.channels)

    def crops(self, spec: CropSpec, device: torch.device | str = "cpu", progress: Progress | None = None) -> Crops:
        """The quickest way that fits: from the device's memory, the CPU's, or disk."""
        for place in dict.fromkeys((str(device), "cpu")):  # without a cache it goes through the CPU's memory
            if fits(place, self.size) and (self.cache is not None or fits("cpu", self.size)):
                return self.memory(spec, place, progress)
        return self.streaming(spec)


def open_corpus(
    source: Source,
    sample_rate: int,
    channels: int = 1,
    *,
    exclude: Iterable[str | os.PathLike[str]] = (),
    cache: Path | None = None,
) -> Corpus:
    """The sound at `source`, to be served at `sample_rate` with `channels` channels.

    `source` and `exclude` as in `find_clips`. `cache` is a folder that makes the next start quick.
    """
    index = find_clips(source, exclude, cache)
    clips, warnings = [], list(index.warnings)
    for clip in index.clips:
        try:
            mix_channels(np.zeros((clip.channels, 0), np.float32), channels)
            clips.append(clip)
        except InputError as error:
            warnings.append(f"{clip.name} cannot be used: {error}")
    if not clips:
        raise InputError(f"none of {len(index.clips)} clips can be used; the first: {warnings[-1]}")
    return Corpus(tuple(clips), sample_rate, channels, tuple(warnings), cache)
