"""Rates: exact lengths, the same bits whatever the blocks, and a clean sine."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from nacre.audio.resampling import Resampler, _fit, check_finite, check_rate, resample, resampled_length
from nacre.errors import InputError

RATES = [8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000, 96000]
NOISE = np.random.default_rng(0).standard_normal((2, 6000)).astype(np.float32)
rates = st.sampled_from(RATES)


def in_pieces(wave: NDArray[np.float32], sizes: list[int], from_rate: int, to_rate: int) -> NDArray[np.float32]:
    resampler, parts, start = Resampler(from_rate, to_rate, len(wave)), [], 0
    for size in sizes:
        parts.append(resampler.push(wave[:, start : start + size]))
        start += size
    parts.append(resampler.push(wave[:, start:], last=True))
    return np.concatenate(parts, axis=1)


@given(rates, rates, st.lists(st.integers(0, 700) | st.sampled_from([1, 320, 4096]), max_size=8), st.integers(0, 6000))
def test_blocks_of_any_size_give_the_same_bits(from_rate: int, to_rate: int, sizes: list[int], frames: int) -> None:
    wave = NOISE[:, :frames]
    whole = resample(wave, from_rate, to_rate)
    np.testing.assert_array_equal(in_pieces(wave, sizes, from_rate, to_rate), whole)
    assert whole.shape == (2, resampled_length(frames, from_rate, to_rate))


def test_many_samples_at_once_equal_a_few() -> None:
    wave = np.random.default_rng(1).standard_normal((1, 50_000)).astype(np.float32)  # beyond one piece of ours
    np.testing.assert_array_equal(in_pieces(wave, [700] * 71, 44100, 24000), resample(wave, 44100, 24000))


@given(st.integers(0, 10**12), st.integers(100, 10**6), st.integers(100, 10**6))
def test_the_length_rule_is_rounding_halves_up(frames: int, from_rate: int, to_rate: int) -> None:
    assert resampled_length(frames, from_rate, to_rate) == math.floor(
        Fraction(frames * to_rate, from_rate) + Fraction(1, 2)
    )


@pytest.mark.parametrize("to_rate", RATES)
@pytest.mark.parametrize("from_rate", [8000, 16000, 22050, 24000, 44100, 48000])
def test_a_sine_of_1_khz_stays_within_minus_100_db(from_rate: int, to_rate: int) -> None:
    wave = np.sin(2 * np.pi * 1000 * np.arange(from_rate) / from_rate).astype(np.float32)
    got = resample(wave[None], from_rate, to_rate)[0].astype(np.float64)
    assert len(got) == to_rate
    error = got - np.sin(2 * np.pi * 1000 * np.arange(to_rate) / to_rate)
    middle = slice(to_rate // 10, -to_rate // 10)  # at the ends the sine is cut off, which no filter can follow
    assert 20 * np.log10(np.abs(error[middle]).max()) < -100


def test_what_the_new_rate_cannot_hold_is_gone() -> None:
    wave = np.sin(2 * np.pi * 7000 * np.arange(48000) / 48000).astype(np.float32)
    assert np.abs(resample(wave[None], 48000, 8000)[0, 800:-800]).max() < 1e-5


def test_the_same_rate_passes_untouched() -> None:
    np.testing.assert_array_equal(resample(NOISE, 24000, 24000), NOISE)


def test_batches_are_items() -> None:
    batch = NOISE.reshape(3, 2, 2000)
    got = resample(batch, 8000, 24000)
    assert got.shape == (3, 2, 6000)
    np.testing.assert_array_equal(got[1], resample(batch[1], 8000, 24000))
    assert resample(batch[:0], 8000, 24000).shape == (0, 2, 6000)


@pytest.mark.parametrize("sample_rate", [0, -1, 99, 1_000_001, 24000.5])
def test_rates_have_limits(sample_rate: int) -> None:
    with pytest.raises(InputError, match="whole sample rate from 100 to 1000000 Hz, got"):
        check_rate(sample_rate)
    with pytest.raises(InputError, match="whole sample rate"):
        Resampler(24000, sample_rate)


def test_a_resampler_is_used_once_and_with_its_channels() -> None:
    resampler = Resampler(8000, 16000, 2)
    with pytest.raises(InputError, match=r"expected a block \[2, samples\], got \[1, 4\]"):
        resampler.push(np.zeros((1, 4), np.float32))
    resampler.push(np.zeros((2, 4), np.float32), last=True)
    with pytest.raises(InputError, match="has ended"):
        resampler.push(np.zeros((2, 4), np.float32))
    with pytest.raises(InputError, match=r"got \[4\]"):
        resample(np.zeros(4, np.float32), 8000, 16000)


def test_an_end_that_soxr_might_miss_is_cut_or_padded() -> None:
    block = np.ones((1, 4), np.float32)
    assert _fit(block, 3).tolist() == [[1, 1, 1]]
    assert _fit(block, 6).tolist() == [[1, 1, 1, 1, 0, 0]]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 2e9])
def test_a_sample_that_is_no_sound_is_refused_with_its_time(bad: float) -> None:
    block = np.zeros((2, 100), np.float32)
    check_finite(block, 0, 8000, "x")
    block[1, 60:] = bad
    with pytest.raises(InputError, match=r"x holds a NaN, infinite .* at 0\.020 s \(sample 160\); repair it first"):
        check_finite(block, 100, 8000, "x")
