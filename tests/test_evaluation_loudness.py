from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import butter, sosfiltfilt
from speech import RATE, speech

from nacre.errors import InputError
from nacre.evaluation.loudness import bandwidth, level_error

NOISE = np.random.default_rng(0).normal(0, 0.1, 2 * RATE)


@pytest.mark.parametrize("gain", [0.1, 0.5, 2.0, -1.0])
def test_the_error_of_level_is_the_gain(gain: float) -> None:
    assert level_error(speech(), gain * speech(), RATE) == pytest.approx(abs(20 * np.log10(abs(gain))), abs=1e-5)


def test_an_offset_is_no_level() -> None:
    assert level_error(NOISE, NOISE + 0.3, RATE) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("edge", [2000, 4000, 8000])
def test_a_low_pass_is_found(edge: int) -> None:
    low = sosfiltfilt(butter(10, edge, output="sos", fs=RATE), NOISE)
    assert bandwidth(NOISE, low, RATE) == pytest.approx(edge / 1000, abs=0.5)
    assert bandwidth(low, NOISE, RATE) == pytest.approx(edge / 1000, rel=0.51)  # no more than the reference has


def test_all_is_kept_of_a_copy_and_nothing_of_silence() -> None:
    assert bandwidth(NOISE, NOISE, RATE) == 12.0
    assert bandwidth(NOISE, np.zeros(len(NOISE)), RATE) == 0.0
    assert bandwidth(NOISE[:100], NOISE[:100], RATE) == 12.0
    for metric in (bandwidth, level_error):
        with pytest.raises(InputError, match="silen"):
            metric(np.zeros(4000), NOISE[:4000], RATE)
