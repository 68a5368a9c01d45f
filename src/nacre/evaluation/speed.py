"""How fast a codec is: whole files, and frame by frame as on a live line."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..contract import CodecContract, Wave
from ..errors import InputError

LEAST = 2.0  # seconds of sound; less measures chance
WARM_UP = 20  # frames that are not counted: the first calls of a graph allocate
RUNS = 3  # the best counts: other programs can only slow one down


@dataclass(frozen=True)
class Speed:
    """What one codec did on one sound."""

    load: float  # seconds to open the codec and code the first frame
    encode: float  # seconds of sound a second
    decode: float  # seconds of sound a second
    latency_p50: float  # seconds to encode and decode one frame
    latency_p95: float
    latency_p99: float
    frame: float  # seconds of sound in one frame
    delay: float  # seconds of algorithmic latency, computing not counted


def measure(load: Callable[[], CodecContract], wave: Wave) -> Speed:
    """Load a codec and time it on `wave` `[1, C, T]` at its own rate, at least `LEAST` seconds of it."""
    begin = time.perf_counter()
    codec = load()
    info = codec.info
    step, seconds = info.hop * info.stride, wave.shape[2] / info.sample_rate
    if seconds < LEAST:
        raise InputError(f"timing needs at least {LEAST:g} s of sound, got {seconds:.2f} s; give a longer one")
    codec.decode(codec.encode(wave[:, :, :step]))
    ready = time.perf_counter()
    codes = codec.encode(wave)
    frames = np.percentile(_frame_times(codec, wave, step), (50, 95, 99))
    return Speed(
        load=ready - begin,
        encode=seconds / _best(lambda: codec.encode(wave)),
        decode=seconds / _best(lambda: codec.decode(codes)),
        latency_p50=float(frames[0]),
        latency_p95=float(frames[1]),
        latency_p99=float(frames[2]),
        frame=step / info.sample_rate,
        delay=info.latency,
    )


def _best(work: Callable[[], object]) -> float:
    """Seconds that `work` takes when nothing is in its way."""
    times = []
    for _ in range(RUNS):
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return min(times)


def _frame_times(codec: CodecContract, wave: Wave, step: int) -> list[float]:
    stream, times = codec.stream(), []
    for start in range(0, wave.shape[2] - step + 1, step):
        begin = time.perf_counter()
        stream.decode(stream.encode(wave[:, :, start : start + step]))
        times.append(time.perf_counter() - begin)
    return times[min(WARM_UP, len(times) // 2) :]
