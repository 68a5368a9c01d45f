from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from speech import RATE, noisy, speech

from nacre.audio import resample
from nacre.errors import InputError, MissingError
from nacre.evaluation import dnsmos as module
from nacre.evaluation.dnsmos import dnsmos


@pytest.mark.slow
def test_noise_is_heard_and_the_reference_is_not() -> None:
    pytest.importorskip("speechmos")
    clean, bad = dnsmos(noisy(), speech(), RATE), dnsmos(speech(), noisy(snr=5), RATE)
    assert 1 < bad < clean - 0.3 < 5
    with pytest.raises(InputError, match="expected sound at 16000 Hz or more, got 8000 Hz"):
        dnsmos(speech(), speech(), 8000)
    with pytest.raises(InputError, match="the estimate is silent"):
        dnsmos(speech(), np.zeros(48000), RATE)


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [2.0, 4.0, 11.5])
def test_it_equals_the_package(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package wants librosa for another of its models, P.808; what that hears here is silence."""
    features = SimpleNamespace(melspectrogram=lambda **_: np.zeros((120, 900), np.float32))
    decibels = lambda power, ref: power  # noqa: E731
    monkeypatch.setitem(sys.modules, "requests", SimpleNamespace(session=None))
    monkeypatch.setitem(sys.modules, "librosa", SimpleNamespace(feature=features, power_to_db=decibels))
    package = pytest.importorskip("speechmos.dnsmos")
    graphs = Path(package.__file__).parent / "dnsmos_models"
    theirs = package.DNSMOS(str(graphs / "sig_bak_ovr.onnx"), str(graphs / "model_v8.onnx"))
    wave = np.clip(resample(np.tile(noisy(3.9), 3)[None], RATE, 16000)[0], -1, 1)[: round(seconds * 16000)]
    assert dnsmos(wave, wave, 16000) == pytest.approx(theirs(wave, 16000, False)["ovrl_mos"], abs=1e-4)
    monkeypatch.delitem(sys.modules, "speechmos.dnsmos")


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    module._session.cache_clear()
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(MissingError, match="pip install --no-deps speechmos"):
        dnsmos(speech(), speech(), RATE)
