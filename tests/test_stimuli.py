"""Anchors, delays and loudness of what people hear."""

from __future__ import annotations

import numpy as np
import pytest

from nacre.audio.loudness import loudness
from nacre.errors import InputError
from nacre.evaluation.listening.stimuli import CEILING, in_place, low_pass, matched


@pytest.mark.parametrize("rate", [24_000, 44_100, 48_000])
@pytest.mark.parametrize("corner", [3_500.0, 7_000.0])
def test_an_anchor_has_the_slopes_of_the_standard(rate: int, corner: float) -> None:
    pulse = np.zeros((1, 8192), np.float32)
    pulse[0, 4096] = 1
    answer = low_pass(pulse, rate, corner)[0]
    decibels = 20 * np.log10(np.abs(np.fft.rfft(answer)) + 1e-12)
    hertz = np.fft.rfftfreq(8192, 1 / rate)
    assert np.abs(decibels[hertz <= corner]).max() <= 0.1
    assert decibels[hertz >= corner * 8 / 7].max() <= -25
    assert decibels[hertz >= corner * 9 / 7].max() <= -50
    assert int(np.argmax(answer)) == 4096  # no delay


def test_a_rate_without_room_for_an_anchor_is_refused() -> None:
    with pytest.raises(InputError, match="7000 Hz needs sound sampled above 14700 Hz, got 8000"):
        low_pass(np.zeros((1, 100), np.float32), 8_000, 7_000)


@pytest.mark.parametrize("lag", [-300, 0, 417])
def test_a_delay_is_taken_out(lag: int) -> None:
    wave = np.random.default_rng(0).normal(0, 0.1, (1, 8_000)).astype(np.float32)
    late = np.roll(np.pad(wave, ((0, 0), (0, 900))), lag, axis=1)
    back = in_place(wave, late, 16_000)
    assert back.shape == wave.shape
    inner = slice(500, 7_000)
    np.testing.assert_allclose(back[:, inner], wave[:, inner], atol=1e-6)


def test_all_are_as_loud_as_asked_for() -> None:
    rng = np.random.default_rng(1)
    sounds = {name: rng.normal(0, level, (2, 32_000)).astype(np.float32) for name, level in (("a", 0.3), ("b", 0.01))}
    even = matched(sounds, 16_000, -23)
    assert {name: round(loudness(wave, 16_000), 1) for name, wave in even.items()} == {"a": -23.0, "b": -23.0}
    assert all(wave[0, 0] == wave[1, -1] == 0 for wave in even.values())


def test_what_would_clip_softens_all_alike() -> None:
    rng = np.random.default_rng(2)
    quiet = rng.normal(0, 0.01, (1, 32_000)).astype(np.float32)
    peaky = quiet.copy()
    peaky[0, 5_000] = 1
    even = matched({"peaky": peaky, "quiet": quiet}, 16_000, -14)
    assert np.abs(even["peaky"]).max() == pytest.approx(CEILING, rel=1e-4)
    assert loudness(even["quiet"], 16_000) < -20
    assert loudness(even["peaky"], 16_000) == pytest.approx(loudness(even["quiet"], 16_000), abs=0.1)


def test_silence_is_refused() -> None:
    with pytest.raises(InputError, match="b gives silence"):
        matched({"b": np.zeros((1, 16_000), np.float32)}, 16_000, -23)
