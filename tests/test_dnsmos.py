from __future__ import annotations

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
def test_it_equals_the_package() -> None:
    pytest.importorskip("librosa")
    package = pytest.importorskip("speechmos.dnsmos")
    wave = np.clip(resample(noisy(4.0)[None], RATE, 16000)[0], -1, 1)
    assert dnsmos(wave, wave, 16000) == pytest.approx(package.run(wave, 16000)["ovrl_mos"], abs=1e-4)


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    module._session.cache_clear()
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(MissingError, match="pip install --no-deps speechmos"):
        dnsmos(speech(), speech(), RATE)
