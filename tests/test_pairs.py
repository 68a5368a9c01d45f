from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from speech import RATE, noisy, speech

from nacre.errors import InputError
from nacre.evaluation import pairs
from nacre.evaluation.pairs import align, check_pair, find_delay


def shifted(sound: np.ndarray, delay: int) -> np.ndarray:
    """`sound` of its own length, `delay` samples late (or, negative, early)."""
    return np.pad(sound, (max(0, delay), max(0, -delay)))[max(0, -delay) :][: len(sound)]


@settings(max_examples=12)
@given(st.integers(-2000, 2000), st.floats(0.01, 10))
def test_a_delayed_attenuated_copy_becomes_the_original(delay: int, gain: float) -> None:
    clean = speech(1.0)
    pair = align(clean, shifted(clean, delay) * gain, RATE)
    assert pair.delay == delay
    assert pair.gain == pytest.approx(1 / gain, rel=1e-5)
    np.testing.assert_allclose(pair.estimate, pair.reference, atol=1e-6)
    assert len(pair.reference) == len(clean) - abs(delay)


def test_lengths_may_differ_and_the_overlap_is_kept() -> None:
    clean = speech(1.0)
    longer = np.concatenate([np.zeros(300, np.float32), clean, np.zeros(5000, np.float32)])
    pair = align(clean, longer, RATE)
    assert (pair.delay, len(pair.estimate)) == (300, len(clean))
    np.testing.assert_allclose(pair.estimate, clean, atol=1e-6)
    shorter = align(longer, clean, RATE)
    assert (shorter.delay, len(shorter.estimate)) == (-300, len(clean))


def test_blocks_do_not_change_the_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    clean, late = speech(1.0).astype(float), shifted(noisy(1.0), 777).astype(float)
    whole = pairs._correlate(clean, late, 1000)
    monkeypatch.setattr(pairs, "_BLOCK", 1024)
    np.testing.assert_allclose(pairs._correlate(clean, late, 1000), whole, atol=1e-9)
    assert whole.argmax() - 1000 == 777
    assert whole[1000 + 5] == pytest.approx(float(clean[:-5] @ late[5:]))


def test_where_waves_differ_envelopes_tell() -> None:
    """A vocoder: the same loudness over time, noise for a wave."""
    clean = speech(2.0).astype(float)
    envelope = np.convolve(np.abs(clean), np.ones(240) / 240, "same")
    voiced = envelope * np.random.default_rng(1).normal(0, 1, len(clean))
    assert abs(find_delay(clean, shifted(voiced, 500), 6000, RATE) - 500) < 120  # 5 ms


def test_silence_has_no_delay_and_keeps_its_level() -> None:
    silence = np.zeros(4800, np.float32)
    for reference, estimate in ((silence, silence), (silence, speech(0.2)), (speech(0.2), silence)):
        pair = align(reference, estimate, RATE)
        assert (pair.delay, pair.gain) == (0, 1.0)


def test_an_estimate_of_half_the_length_is_refused() -> None:
    with pytest.raises(InputError, match=r"covers 11000 of the reference's 24000 samples"):
        align(speech(1.0), speech(1.0)[:11000], RATE)


def test_lengths_and_rates_are_named_when_they_do_not_fit() -> None:
    with pytest.raises(InputError, match=r"reference has 24000 samples and the estimate 16000; bring both to 24000 Hz"):
        check_pair(speech(1.0), speech(1.0)[:16000], RATE)
    with pytest.raises(InputError, match=r"expected sound at 16000 Hz or more, got 8000 Hz"):
        check_pair(speech(1.0), speech(1.0), 8000, 16000)


@pytest.mark.parametrize(
    ("sound", "words"),
    [
        (np.zeros((1, 9)), r"float64 of shape \[1, 9\]"),
        (np.zeros(9, np.int16), "int16"),
        (np.zeros(0), r"\[0\]"),
        (np.full(9, np.nan), "NaN"),
    ],
)
def test_what_is_no_sound_is_refused(sound: np.ndarray, words: str) -> None:
    with pytest.raises(InputError, match=words):
        check_pair(np.zeros(9), sound, RATE)
