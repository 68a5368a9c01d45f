from __future__ import annotations

import os
import shutil

import numpy as np
import pytest
from speech import RATE, speech

from nacre.errors import InputError, MissingError
from nacre.evaluation import baselines
from nacre.evaluation.baselines import BASELINES, codec2, mp3, opus, speex, vorbis
from nacre.evaluation.metrics import align, si_sdr

needs_opus = pytest.mark.skipif(not BASELINES["opus"].present(), reason="PyAV is not installed")
needs_codec2 = pytest.mark.skipif(not BASELINES["codec2"].present(), reason="c2enc and c2dec are not installed")
needs_speex = pytest.mark.skipif(
    not (BASELINES["speex"].present() and BASELINES["opus"].present()), reason="speexenc or PyAV is not installed"
)


def envelopes(*sounds: np.ndarray) -> list[np.ndarray]:
    """How loud each sound is in every 20 ms, of sounds at 24 kHz that are equally long."""
    whole = len(sounds[0]) // 480 * 480
    return [np.abs(sound[:whole]).reshape(-1, 480).mean(axis=1) for sound in sounds]


@needs_opus
@pytest.mark.parametrize("bitrate", [8000, 16000])
def test_opus_gives_the_sound_back_at_about_the_bitrate(bitrate: int) -> None:
    clean = speech(3.0)
    coded = opus(clean, RATE, bitrate)
    assert coded.wave.shape == clean.shape
    assert coded.wave.dtype == np.float32
    assert 0.8 < coded.bytes * 8 / 3.0 / bitrate < 1.3
    pair = align(clean, coded.wave, RATE)
    assert abs(pair.delay) <= 2  # the encoder's delay is out
    assert si_sdr(pair.reference, pair.estimate, RATE) > 5


@pytest.mark.parametrize(("name", "floor"), [("mp3", 12), ("aac", 8), ("vorbis", 10)])
def test_music_codecs_give_the_sound_back_at_about_the_bitrate(name: str, floor: float) -> None:
    if not BASELINES[name].present():
        pytest.skip(f"{name} needs PyAV")
    clean = speech(3.0)
    coded = BASELINES[name].code(clean, RATE, 32_000)
    assert (coded.wave.shape, coded.wave.dtype) == (clean.shape, np.float32)
    assert 0.8 < coded.bytes * 8 / 3.0 / 32_000 < 1.3
    pair = align(clean, coded.wave, RATE)
    assert abs(pair.delay) <= 2  # encoder's and decoder's delays are out
    assert si_sdr(pair.reference, pair.estimate, RATE) > floor


@pytest.mark.skipif(not BASELINES["vorbis"].present(), reason="PyAV is not installed, or soundfile has no Vorbis")
def test_vorbis_takes_the_quality_that_comes_nearest() -> None:
    for bitrate in (48_000, 64_000):
        assert vorbis(speech(3.0), RATE, bitrate).bytes * 8 / 3.0 == pytest.approx(bitrate, rel=0.03)


@needs_opus
def test_opus_counts_no_more_packets_than_it_takes() -> None:
    """20 ms packets: of 1 s and 6.5 ms of delay, 51, none larger than the rate allows."""
    loud = np.random.default_rng(0).normal(0, 0.1, 48000).astype(np.float32)
    assert opus(loud, 48000, 64000).bytes == pytest.approx(51 * 160, rel=0.15)


@needs_opus
def test_opus_takes_rates_it_does_not_code_at() -> None:
    sound = speech(1.0)[:22050]
    coded = opus(sound, 22050, 24000)
    pair = align(sound, coded.wave, 22050)
    assert len(coded.wave) == 22050
    assert si_sdr(pair.reference, pair.estimate, 22050) > 3


@needs_opus
def test_opus_refuses_an_absurd_bitrate() -> None:
    with pytest.raises(InputError, match="Opus cannot code 24000 Hz at 9000000 bit/s"):
        opus(speech(0.5), RATE, 9_000_000)


@needs_opus
def test_mp3_has_a_least_bitrate() -> None:
    with pytest.raises(InputError, match="MP3 codes at 8000 bit/s or more, got 4000; ask for more"):
        mp3(speech(0.5), RATE, 4_000)


@needs_codec2
@pytest.mark.parametrize("bitrate", [1200, 3200])
def test_codec2_speaks_at_its_bitrate(bitrate: int) -> None:
    clean = speech(2.0)
    coded = codec2(clean, RATE, bitrate)
    assert coded.wave.shape == clean.shape
    assert coded.bytes * 8 / 2.0 == pytest.approx(bitrate, rel=0.03)
    pair = align(clean, coded.wave, RATE)
    assert 0 < pair.delay < 0.06 * RATE
    assert np.corrcoef(*envelopes(pair.reference, pair.estimate))[0, 1] > 0.8


@needs_speex
def test_speex_speaks_below_its_bitrate() -> None:
    clean = speech(3.0)
    coded = speex(clean, RATE, 12_000)
    assert coded.wave.shape == clean.shape
    assert 0.7 < coded.bytes * 8 / 3.0 / 12_000 < 1.05
    pair = align(clean, coded.wave, RATE)
    assert 0 < pair.delay < 0.02 * RATE  # a frame is 20 ms
    assert np.corrcoef(*envelopes(pair.reference, pair.estimate))[0, 1] > 0.9


def test_codec2_names_its_modes() -> None:
    with pytest.raises(InputError, match="1200, 1400, 1600, 2400, 3200 bit/s, got 1350"):
        codec2(speech(0.5), RATE, 1350)


def test_what_is_absent_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda tool: None)
    assert not BASELINES["codec2"].present()
    with pytest.raises(MissingError, match="c2enc on the path; apt-get install codec2"):
        codec2(speech(0.5), RATE, 1200)
    monkeypatch.setitem(baselines.__dict__, "import_module", _raise)
    assert not BASELINES["opus"].present()
    with pytest.raises(MissingError, match=r"package av; pip install 'nacre\[eval\]'"):
        opus(speech(0.5), RATE, 6000)


def _raise(name: str) -> None:
    raise ImportError(name)


def test_a_tool_that_fails_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda tool: os.path.realpath("/bin/false"))
    with pytest.raises(InputError, match=r"c2enc could not code this sound .1200 - -."):
        codec2(speech(0.5), RATE, 1200)
