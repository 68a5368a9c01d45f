"""A corpus decoded once into one flat run of int16, kept on disk between runs and on the device while training.

13 hours of mono at 24 kHz are 2.3 GB. `C` channel, `T` sample.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import DamagedError, InputError
from .clips import Clip, read_clip
from .shards import fingerprint

FULL_SCALE = 32768  # int16 samples are stored as libsndfile reads 16-bit files, so that those stay exact
_BLOCK = 120  # seconds decoded at once: long files do not fill the memory
_VERSION = 1  # of the cache

Progress = Callable[[float, float], None]  # hours decoded, hours in all


@dataclass(frozen=True)
class Decoded:
    """Clips laid end to end; broken ones are left out of `offsets` and `lengths` and named in `warnings`."""

    samples: Tensor  # int16 [C, T]
    offsets: NDArray[np.int64]  # where each clip begins
    lengths: NDArray[np.int64]  # its samples
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class DecodeJob:
    """What to decode and to what: `cache` is a folder to keep it in, None for memory only."""

    clips: Sequence[Clip]
    sample_rate: int  # Hz
    channels: int
    cache: Path | None = None
    threads: int | None = None  # None for one a core; libsndfile and soxr leave Python's lock while they work


def fits(device: torch.device | str, size: int, share: float = 0.5) -> bool:
    """Do `size` bytes fit into `share` of the memory that `device` has free?"""
    device = torch.device(device)
    if device.type == "cuda":
        return size <= share * torch.cuda.mem_get_info(device)[0]
    try:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        with open("/proc/meminfo", encoding="ascii") as file:  # pages that only cache files are free too
            free = next((int(line.split()[1]) << 10 for line in file if line.startswith("MemAvailable")), free)
    except (OSError, ValueError, AttributeError):  # no such figures on this system
        free = 4 << 30
    return size <= share * free


def decode(job: DecodeJob, progress: Progress | None = None) -> Decoded:
    """All clips as int16; from the cache in an instant when they were decoded before."""
    if job.cache is None:
        lengths = _lengths(job)
        return _decode_into(np.zeros((job.channels, int(lengths.sum())), np.int16), lengths, job, progress)
    facts = (job.sample_rate, job.channels, [(clip, _changed(clip)) for clip in job.clips])
    place = job.cache / f"decoded-{fingerprint(_VERSION, facts)}.npy"
    return _load(place) or _decode_file(place, job, progress)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _lengths(job: DecodeJob) -> NDArray[np.int64]:
    return np.array([clip.length(job.sample_rate) for clip in job.clips], np.int64)


def _changed(clip: Clip) -> int:
    try:
        return os.stat(clip.path).st_mtime_ns
    except OSError:
        return 0


def _load(place: Path) -> Decoded | None:
    """What `place` holds, mapped into memory; None where it is not whole."""
    try:
        facts = json.loads(place.with_suffix(".json").read_text("utf-8"))
        # Copy on write: torch refuses to share what it may not write to.
        flat = np.lib.format.open_memmap(place, mode="c")
        offsets, lengths = (np.array(facts[name], np.int64) for name in ("offsets", "lengths"))
    except (OSError, ValueError, KeyError):
        return None
    return Decoded(torch.from_numpy(flat), offsets, lengths, tuple(facts["warnings"]))


def _decode_file(place: Path, job: DecodeJob, progress: Progress | None) -> Decoded:
    place.parent.mkdir(parents=True, exist_ok=True)
    lengths = _lengths(job)
    part = place.with_suffix(f".{os.getpid()}.part")  # two processes may decode the same corpus
    try:
        flat = _mapped(part, (job.channels, int(lengths.sum())))
        done = _decode_into(flat, lengths, job, progress)
        flat.flush()
        os.replace(part, place)
    finally:
        part.unlink(missing_ok=True)
    facts = {"offsets": done.offsets.tolist(), "lengths": done.lengths.tolist(), "warnings": done.warnings}
    part.write_text(json.dumps(facts), "utf-8")
    os.replace(part, place.with_suffix(".json"))  # last: a cache without it is not whole
    return replace(done, samples=torch.from_numpy(flat))


def _mapped(part: Path, shape: tuple[int, int]) -> np.memmap[tuple[int, int], np.dtype[np.int16]]:
    """An array in a file, with its disk space taken: found wanting later it would end the process without a word."""
    try:
        flat = np.lib.format.open_memmap(part, "w+", np.int16, shape)
        _reserve(part)
    except OSError as error:
        raise InputError(f"{part.parent} has no room for the decoded sound: {error.strerror}") from error
    return flat


def _reserve(part: Path) -> None:
    if not hasattr(os, "posix_fallocate"):
        return
    with part.open("r+b") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, part.stat().st_size)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):  # others: this disk makes no promises
                raise


def _decode_into(
    flat: NDArray[np.int16], lengths: NDArray[np.int64], job: DecodeJob, progress: Progress | None
) -> Decoded:
    """Fill `flat` `[C, T]`, clip after clip, in threads."""
    offsets = np.cumsum(lengths) - lengths
    kept = np.zeros(len(lengths), np.int64)
    warnings: dict[int, str] = {}
    hours, done = lengths.sum() / job.sample_rate / 3600, 0.0

    def one(i: int) -> int:
        try:
            for start, block in _blocks(job, i):
                flat[:, offsets[i] + start : offsets[i] + start + block.shape[1]] = block
                kept[i] += block.shape[1]
        except DamagedError as error:
            warnings[i] = str(error)
        return i

    with ThreadPoolExecutor(job.threads or _cores()) as pool:
        for i in _in_order_of_arrival(pool, one, len(lengths)):
            done += lengths[i] / job.sample_rate / 3600
            if kept[i] < lengths[i]:
                reason = warnings.get(i, f"{job.clips[i].name} is cut short")
                seconds = kept[i] / job.sample_rate
                warnings[i] = f"{reason}; {seconds:.2f} of {lengths[i] / job.sample_rate:.2f} s are used"
            if progress:
                progress(done, hours)
    good = kept > 0
    return Decoded(torch.from_numpy(flat), offsets[good], kept[good], tuple(warnings[i] for i in sorted(warnings)))


def _in_order_of_arrival(pool: ThreadPoolExecutor, work: Callable[[int], int], count: int) -> Iterator[int]:
    """Run `work` on 0 to `count`, a few hundred waiting at a time, and give each number back when it is done."""
    todo = iter(range(count))
    running = {pool.submit(work, i) for _, i in zip(range(256), todo, strict=False)}
    try:
        while running:
            finished, running = wait(running, return_when="FIRST_COMPLETED")
            running |= {pool.submit(work, i) for _, i in zip(finished, todo, strict=False)}
            yield from (future.result() for future in finished)
    finally:
        for future in running:  # Ctrl-C need not wait for what has not begun
            future.cancel()


def _blocks(job: DecodeJob, i: int) -> Iterator[tuple[int, NDArray[np.int16]]]:
    """Where each block of a clip begins, and its samples `[C, n]`, until one comes short."""
    clip, size = job.clips[i], _BLOCK * job.sample_rate
    for start in range(0, clip.length(job.sample_rate), size):
        wave = read_clip(clip, job.sample_rate, job.channels, start, size)
        yield start, to_int16(wave)
        if wave.shape[1] < size:
            return


def to_int16(wave: NDArray[np.float32]) -> NDArray[np.int16]:
    """Samples in [-1, 1] as int16, rounded."""
    return np.clip(np.rint(wave * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)
