"""How fast a codec is: whole files, and frame by frame as on a live line."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..contract import CodecContract, Wave
from ..errors import InputError

WARM_UP = 20  # frames that are not counted: the first calls of a graph allocate


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
    """Load a codec and time it on `wave` `[1, C, T]` at its own rate; at least two seconds of sound."""
    begin = time.perf_counter()
    codec = load()
    info = codec.info
    step = info.hop * info.stride
    codec.decode(codec.encode(wave[:, :, :step]))
    ready = time.perf_counter()
    if wave.shape[2] < 2 * info.sample_rate:
        raise InputError(f"timing needs at least 2 s of sound, got {wave.shape[2] / info.sample_rate:.2f} s")
    seconds = wave.shape[2] / info.sample_rate
    codes = codec.encode(wave)
    encoded = time.perf_counter()
    codec.decode(codes)
    decoded = time.perf_counter()
    frames = np.percentile(_frame_times(codec, wave, step), (50, 95, 99))
    return Speed(
        load=ready - begin,
        encode=seconds / (encoded - ready),
        decode=seconds / (decoded - encoded),
        latency_p50=float(frames[0]),
        latency_p95=float(frames[1]),
        latency_p99=float(frames[2]),
        frame=step / info.sample_rate,
        delay=info.latency,
    )


def _frame_times(codec: CodecContract, wave: Wave, step: int) -> list[float]:
    stream, times = codec.stream(), []
    for start in range(0, wave.shape[2] - step + 1, step):
        begin = time.perf_counter()
        stream.decode(stream.encode(wave[:, :, start : start + step]))
        times.append(time.perf_counter() - begin)
    return times[WARM_UP:]
