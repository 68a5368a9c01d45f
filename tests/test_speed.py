from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from nacre.codes import CodecInfo, Level
from nacre.contract import CodecContract, Wave
from nacre.errors import InputError
from nacre.evaluation.speed import WARM_UP, _frame_times, measure

INFO = CodecInfo("slow", "", 1000, 1, 50, (2,), delay=10)


class Slow(CodecContract):
    """Takes a known time a call."""

    def __init__(self, encode: float = 0.002, decode: float = 0.001) -> None:
        self.info, self.seconds = INFO, (encode, decode)
        self.calls = 0

    def new_state(self) -> Any:
        return None

    def encode_frames(self, wave: Wave, state: Any, levels: int) -> tuple[Level, ...]:
        self.calls += 1
        time.sleep(self.seconds[0])
        return (np.zeros((1, wave.shape[2] // INFO.hop), np.int64),)

    def decode_frames(self, levels: tuple[Level, ...], state: Any) -> Wave:
        time.sleep(self.seconds[1])
        return np.zeros((1, 1, levels[0].shape[1] * INFO.hop), np.float32)


def test_figures_are_what_the_clock_says() -> None:
    speed = measure(lambda: Slow(0.02, 0.005), np.zeros((1, 1, 3000), np.float32))
    assert speed.load >= 0.025
    assert 3 / speed.encode >= 0.02 and 3 / speed.decode >= 0.005
    assert speed.decode > speed.encode
    assert 0.025 <= speed.latency_p50 <= speed.latency_p95 <= speed.latency_p99
    assert (speed.frame, speed.delay) == (0.05, pytest.approx(0.06))


def test_first_frames_are_not_counted_but_some_always_are() -> None:
    assert len(_frame_times(Slow(), np.zeros((1, 1, 50 * (WARM_UP + 30)), np.float32), 50)) == 30
    assert len(_frame_times(Slow(), np.zeros((1, 1, 500), np.float32), 50)) == 5


def test_too_little_sound_is_refused_before_any_work() -> None:
    codec = Slow()
    with pytest.raises(InputError, match=r"at least 2 s of sound, got 1\.00 s"):
        measure(lambda: codec, np.zeros((1, 1, 1000), np.float32))
    assert codec.calls == 0
