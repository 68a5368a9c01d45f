from __future__ import annotations

import numpy as np
import pytest
from speech import RATE, noisy, speech

from nacre.errors import InputError
from nacre.evaluation.pitch import pitch_error, track, voicing_error


def voice(hertz: float, seconds: float = 1.0, rate: int = RATE) -> np.ndarray:
    """Ten harmonics."""
    turn = 2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate
    return sum(np.sin(k * turn) / k for k in range(1, 11)) * 0.1  # type: ignore[return-value]


@pytest.mark.parametrize("hertz", [70.0, 123.4, 220.0, 391.7])
@pytest.mark.parametrize("rate", [8000, 24000])
def test_the_pitch_of_harmonics_is_found(hertz: float, rate: int) -> None:
    found = track(voice(hertz, rate=rate), rate)[2:-8]
    assert 1200 * np.abs(np.log2(found / hertz)).max() < 6  # cents


@pytest.mark.parametrize("cents", [-200, 30, 100])
def test_a_shift_is_the_error(cents: int) -> None:
    other = voice(150 * 2 ** (cents / 1200))
    assert pitch_error(voice(150), other, RATE) == pytest.approx(abs(cents), abs=8)
    assert pitch_error(speech(), speech(), RATE) == voicing_error(speech(), speech(), RATE) == 0


def test_half_a_voice_is_half_an_error() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, RATE)
    half = np.concatenate([voice(150), noise])
    assert voicing_error(voice(150, 2.0), half, RATE) == pytest.approx(50, abs=4)
    assert voicing_error(half, voice(150, 2.0), RATE) == pytest.approx(50, abs=4)
    with pytest.raises(InputError, match="no frame is voiced in both"):
        pitch_error(voice(150), noise, RATE)


def test_speech_has_a_pitch_that_noise_hides() -> None:
    found = track(speech().astype(float), RATE)
    assert 0.3 < np.mean(found > 0) < 0.95
    assert voicing_error(speech(), noisy(snr=0), RATE) > voicing_error(speech(), noisy(snr=20), RATE)
    with pytest.raises(InputError, match="expected sound at 8000 Hz or more, got 4000 Hz"):
        pitch_error(speech(), speech(), 4000)
