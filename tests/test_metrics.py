from __future__ import annotations

import inspect
import re
import sys
from typing import Any

import numpy as np
import pytest
import soxr
from speech import RATE, noisy, speech

from nacre.audio import resample
from nacre.errors import InputError, MissingError
from nacre.evaluation import metrics
from nacre.evaluation.metrics import METRICS, align

pesq = pytest.importorskip("pesq")
pystoi = pytest.importorskip("pystoi")
SLOW = ["visqol_speech", "visqol_audio", "dnsmos"]
FAST = [key for key in METRICS if key not in SLOW]
RATED = [key for key in METRICS if METRICS[key].unit == "MOS" or "stoi" in key]
RATED.remove("dnsmos")  # it hears one of the two
UNMOVED = {"level_error", "bandwidth"}  # by noise 25 and 5 dB below


def at(rate: int, sound: np.ndarray) -> np.ndarray:
    return resample(sound[None], RATE, rate)[0]


def test_identical_sounds_have_the_best_values() -> None:
    clean = speech()
    assert metrics.pesq_wb(clean, clean, RATE) == pytest.approx(4.644, abs=1e-3)
    assert metrics.pesq_nb(clean, clean, RATE) == pytest.approx(4.549, abs=1e-3)
    assert metrics.stoi(clean, clean, RATE) == pytest.approx(1, abs=1e-6)
    assert metrics.estoi(clean, clean, RATE) == pytest.approx(1, abs=1e-6)


def test_figures_are_those_of_the_packages() -> None:
    clean, coded = speech(), noisy()
    assert metrics.pesq_wb(clean, coded, RATE) == pesq.pesq(16000, at(16000, clean), at(16000, coded), "wb")
    assert metrics.pesq_nb(clean, coded, RATE) == pesq.pesq(8000, at(8000, clean), at(8000, coded), "nb")
    pair = clean.astype(float), coded.astype(float)
    assert metrics.stoi(clean, coded, RATE) == pystoi.stoi(*pair, RATE)
    # It adds noise of 1e-16 to what it normalises.
    assert metrics.estoi(clean, coded, RATE) == pytest.approx(pystoi.stoi(*pair, RATE, extended=True), abs=1e-9)


def test_another_resampling_hardly_moves_pesq() -> None:
    clean, coded = speech(), noisy()
    other = [soxr.resample(sound, RATE, 16000, "VHQ") for sound in (clean, coded)]
    assert metrics.pesq_wb(clean, coded, RATE) == pytest.approx(pesq.pesq(16000, *other, "wb"), abs=0.02)


@pytest.mark.parametrize("key", [key for key in FAST if key not in UNMOVED])
def test_more_noise_is_worse(key: str) -> None:
    metric = METRICS[key]
    better, worse = (metric.function(speech(), noisy(snr=snr), RATE) for snr in (25, 5))
    assert (better > worse) == (metric.better == "higher")


@pytest.mark.parametrize("key", [*FAST, *(pytest.param(key, marks=pytest.mark.slow) for key in SLOW)])
def test_a_delayed_attenuated_copy_scores_as_the_original(key: str) -> None:
    """The same stretch of the same coded sound, once as it is and once late and quiet."""
    if not METRICS[key].present():
        pytest.skip(f"{METRICS[key].package} is not installed")
    clean, coded = speech(), noisy()
    late = np.concatenate([np.zeros(731, np.float32), 0.3 * coded])
    pair, plain = align(clean, late, RATE), align(clean, coded, RATE)
    assert (pair.delay, plain.delay) == (731, 0)
    found = METRICS[key].function(pair.reference, pair.estimate, RATE)
    assert found == pytest.approx(METRICS[key].function(plain.reference, plain.estimate, RATE), rel=1e-4)


@pytest.mark.parametrize("key", METRICS)
def test_lengths_that_differ_are_named(key: str) -> None:
    with pytest.raises(InputError, match="reference has 48000 samples and the estimate 47999"):
        METRICS[key].function(speech(), speech()[:-1], RATE)


@pytest.mark.parametrize(
    ("key", "rate", "least"),
    [
        ("pesq_wb", 8000, 16000),
        ("pesq_nb", 4000, 8000),
        ("stoi", 8000, 10000),
        ("estoi", 8000, 10000),
        ("visqol_speech", 8000, 16000),
        ("visqol_audio", 16000, 24000),
        ("dnsmos", 8000, 16000),
        ("pitch_error", 4000, 8000),
    ],
)
def test_a_rate_too_low_is_refused_with_both_rates(key: str, rate: int, least: int) -> None:
    with pytest.raises(InputError, match=f"expected sound at {least} Hz or more, got {rate} Hz"):
        METRICS[key].function(speech(), speech(), rate)


@pytest.mark.parametrize("key", RATED)
def test_silence_is_refused(key: str) -> None:
    for pair, name in (((speech(), np.zeros(48000)), "estimate"), ((np.zeros(48000), speech()), "reference")):
        with pytest.raises(InputError, match=f"the {name} is silent"):
            METRICS[key].function(*pair, RATE)


def test_clips_too_short_are_refused_in_our_words() -> None:
    short = speech(0.2)
    with pytest.raises(InputError, match=r"PESQ-WB cannot rate this clip of 0\.20 s \(Buffer needs"):
        metrics.pesq_wb(short, short, RATE)
    with pytest.raises(InputError, match=r"needs 0\.4 s that are not silent, got a clip of 0\.20 s"):
        metrics.stoi(short, short, RATE)


@pytest.mark.parametrize(
    ("key", "package"),
    [("pesq_wb", "pesq"), ("stoi", "pystoi"), ("visqol_audio", "visqol"), ("visqol_speech", "ai_edge_litert")],
)
def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, key: str, package: str) -> None:
    if package == "ai_edge_litert":
        pytest.importorskip("visqol")
    monkeypatch.setitem(sys.modules, package, None)
    if package == "visqol":
        monkeypatch.setitem(sys.modules, "visqol.api", None)
    metrics._visqol_model.cache_clear()
    with pytest.raises(MissingError, match=rf"needs the package {package}; pip install 'nacre\[eval\]'"):
        METRICS[key].function(speech(), speech(), RATE)


@pytest.mark.parametrize(("mode", "rate"), [("speech", 16000), pytest.param("audio", 48000, marks=pytest.mark.slow)])
def test_visqol_equals_the_package_with_its_lattice_for_speech(mode: str, rate: int) -> None:
    api = pytest.importorskip("visqol.api").VisqolApi()
    if mode == "speech":
        pytest.importorskip("ai_edge_litert")
    api.create(mode=mode, use_lattice_model=mode == "speech")
    clean, coded = at(rate, speech(1.0)), at(rate, noisy(1.0))
    expected = api.measure_from_arrays(clean.astype(float), coded.astype(float), rate).moslqo
    assert METRICS[f"visqol_{mode}"].function(speech(1.0), noisy(1.0), RATE) == expected
    assert 1 < expected < 4.5


@pytest.mark.slow
def test_visqol_has_googles_value_for_identical_sounds() -> None:
    """kConformanceCastanetsIdentity of its src/include/conformance.h: in audio mode of any sound, as each band of a
    copy is like the original's. The other sounds with published values are not ours to carry."""
    pytest.importorskip("visqol")
    assert metrics.visqol_audio(speech(), speech(), RATE) == pytest.approx(4.7321012530423481, abs=1e-6)
    assert metrics.visqol_speech(speech(), speech(), RATE) == pytest.approx(4.69, abs=0.01)


@pytest.mark.parametrize("key", METRICS)
def test_a_docstring_tells_range_direction_and_paper(key: str) -> None:
    metric: Any = METRICS[key]
    words = inspect.getdoc(metric.function) or ""
    assert f"{metric.better} is better" in words
    first = words.partition("\n\n")[0]  # where the range stands
    assert re.search(r"(\d|`-inf`) to (about )?(\d|`inf`)|from 0", first)
    assert any(f"{year}" in words for year in range(1970, 2026))
