"""loudness: known tones, gates, short and silent sounds, and what pyloudnorm says where it is installed."""

from __future__ import annotations

import numpy as np
import pytest

from nacre.audio.loudness import SILENCE, loudness


def tone(seconds: float, rate: int, frequency: float = 997.0, level: float = 1.0) -> np.ndarray:
    return (level * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


@pytest.mark.parametrize("rate", [16_000, 24_000, 44_100, 48_000])
def test_a_full_tone_of_997_hz_is_at_minus_3(rate: int) -> None:
    assert loudness(tone(3, rate)[None], rate) == pytest.approx(-3.01, abs=0.08)  # BS.1770-4, at 48 kHz
    assert loudness(tone(3, rate, level=0.1)[None], rate) == pytest.approx(-23.01, abs=0.08)


def test_two_channels_are_twice_as_loud_and_surround_counts_more() -> None:
    wave = tone(2, 24_000)
    one = loudness(wave[None], 24_000)
    assert loudness(np.stack([wave, wave]), 24_000) == pytest.approx(one + 10 * np.log10(2), abs=1e-4)
    rear = np.stack([0 * wave, 0 * wave, 0 * wave, wave])
    assert loudness(rear, 24_000) == pytest.approx(one + 10 * np.log10(1.41), abs=1e-4)


def test_pauses_do_not_count() -> None:
    wave = np.concatenate([tone(3, 16_000), np.zeros(16_000 * 5, np.float32), tone(3, 16_000, level=0.01)])
    assert loudness(wave[None], 16_000) == pytest.approx(-3.01, abs=0.5)


def test_silence_and_short_sounds() -> None:
    assert loudness(np.zeros((1, 50_000), np.float32), 16_000) == SILENCE
    assert loudness(np.zeros((2, 0), np.float32), 16_000) == SILENCE
    assert loudness(tone(2, 16_000, level=1e-5)[None], 16_000) == SILENCE
    assert -10 < loudness(tone(0.1, 16_000)[None], 16_000) < -3


@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_a_short_sound_is_one_with_silence_behind_it(rate: int) -> None:
    bump = np.ones((1, rate // 20), np.float32)  # the filters ring on when it ends
    followed = np.pad(bump, ((0, 0), (0, rate // 2 - bump.shape[1])))
    assert loudness(bump, rate) == loudness(followed, rate)


def test_length_does_not_matter_to_the_filter() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, (1, 300_000)).astype(np.float32)
    assert loudness(noise, 44_100) == pytest.approx(loudness(np.tile(noise, 2), 44_100), abs=0.02)


@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_pyloudnorm_agrees(rate: int) -> None:
    meter = pytest.importorskip("pyloudnorm").Meter(rate)
    noise = np.random.default_rng(1).normal(0, 0.1, (2, 4 * rate)) * np.linspace(0, 1, 4 * rate)
    assert loudness(noise.astype(np.float32), rate) == pytest.approx(meter.integrated_loudness(noise.T), abs=0.005)
