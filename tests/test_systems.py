from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from speech import RATE, speech

from nacre import load
from nacre.container import nac
from nacre.errors import InputError, MissingError
from nacre.evaluation import systems
from nacre.evaluation.baselines import BASELINES, Baseline, Coded
from nacre.evaluation.metrics import align, si_sdr
from nacre.evaluation.systems import BaselineSystem, CodecSystem, Setting, folder_of, match, open_system, slug


def half(wave: np.ndarray, rate: int, bitrate: int) -> Coded:
    """Takes half of what it is asked for, from 2000 bit/s on."""
    if bitrate < 2000:
        raise InputError("Half codes at 2000 bit/s or more; ask for more")
    return Coded(wave, round(len(wave) / rate * bitrate / 16))


HALF = Baseline("Half", half, lambda: True, (2000,), "")


def test_a_codec_is_measured_through_its_file() -> None:
    codec = load()
    system = CodecSystem("pearl", codec)
    settings, left_out = system.settings([6000, 1500, 100, 9_000_000, 8_000_000])
    assert [(s.asked, s.levels) for s in settings] == [(1500, 2), (6000, 8), (8_000_000, 9)]
    assert len(left_out) == 1 and "pearl at 0.1 kbps: pearl-24k needs at least" in left_out[0]
    wave = speech(1.0)
    for setting, coded in zip(settings[:2], system.code(wave, RATE, settings[:2]), strict=True):
        assert isinstance(coded, Coded)
        codes = nac.read(BytesIO(coded.file))
        assert (len(codes.levels), coded.bytes) == (setting.levels, len(coded.file))
        np.testing.assert_array_equal(coded.wave, codec.decode(codec.encode(wave[None, None], setting.levels))[0, 0])


def test_another_rate_goes_there_and_back() -> None:
    system = CodecSystem("pearl", load())
    wave = speech(1.0)[::2].copy()
    (coded,) = system.code(wave, RATE // 2, [Setting(6000, 8)])
    assert isinstance(coded, Coded) and coded.wave.shape == wave.shape
    pair = align(wave, coded.wave, RATE // 2)
    assert abs(pair.delay) <= 1 and si_sdr(pair.reference, pair.estimate, RATE // 2) > 0  # another sound has -20 dB


@pytest.mark.parametrize("target", [1100, 1234.5, 5000, 64000])
def test_matching_finds_what_really_takes_the_bits(target: float) -> None:
    coded = match(HALF, np.ones(20 * RATE, np.float32), RATE, target)
    assert coded.bytes * 8 / 20 == pytest.approx(target, rel=systems.MATCHED)


def test_a_rate_too_low_to_match_is_refused_in_the_words_of_the_codec() -> None:
    with pytest.raises(InputError, match="Half codes at 2000 bit/s or more"):
        match(HALF, np.ones(20 * RATE, np.float32), RATE, 500)


def test_modes_that_are_few_are_matched_by_the_nearest() -> None:
    exact = Baseline("E", lambda w, r, b: Coded(w, b * len(w) // r // 8), lambda: True, (), "", modes=(1200, 2400))
    wave = np.ones(RATE, np.float32)
    assert match(exact, wave, RATE, 2300).bytes == 300
    with pytest.raises(InputError, match="no nearer to 9000 bit/s than 2400"):
        match(exact, wave, RATE, 9000)


def test_a_baseline_refuses_one_bitrate_and_codes_the_next() -> None:
    system = BaselineSystem(Baseline("Half", half, lambda: True, (), "", modes=(3000, 6000)))
    first, second = system.code(np.ones(RATE, np.float32), RATE, [Setting(6000), Setting(3000, target=3000.0)])
    assert isinstance(first, InputError) and "no nearer to 6000 bit/s than 3000" in str(first)
    assert isinstance(second, InputError) and "than 1504" in str(second)


def test_names_are_codecs_folders_or_baselines(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert open_system("pearl-24k").label == "pearl-24k"
    with pytest.raises(InputError, match=r"no codec 'opsu'; .* a folder, or one of opus"):
        open_system("opsu")
    absent = Baseline("Absent", half, lambda: False, (), "apt-get install absent")
    monkeypatch.setitem(BASELINES, "absent", absent)
    with pytest.raises(MissingError, match="Absent is not installed; apt-get install absent"):
        open_system("absent")


def test_folders_differ_with_the_weights_and_are_plain_names() -> None:
    assert folder_of("a/../b", "1") != folder_of("a/../b", "2")
    assert slug("../ä b|c") == "b-c" and slug("???") == "x"
