from __future__ import annotations

from math import inf

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from speech import RATE, noisy, speech

from nacre.errors import InputError
from nacre.evaluation import distances
from nacre.evaluation.distances import log_spectral_distance, mel_bank, mel_distance, si_sdr

torch = pytest.importorskip("torch")


def wave_and_orthogonal_noise() -> tuple[np.ndarray, np.ndarray]:
    """Two of the Fourier basis: means 0, powers alike, product 0."""
    turn = 2 * np.pi * np.arange(1000) / 1000
    return np.sin(5 * turn), np.cos(9 * turn)


@given(st.floats(-40, 60), st.floats(0.01, 100), st.floats(-1, 1))
def test_si_sdr_is_the_ratio_of_orthogonal_parts(decibels: float, gain: float, offset: float) -> None:
    wave, noise = wave_and_orthogonal_noise()
    estimate = gain * (wave + noise * 10 ** (-decibels / 20)) + offset
    assert si_sdr(wave, estimate, 8000) == pytest.approx(decibels, abs=1e-6)


def test_si_sdr_at_its_ends() -> None:
    wave, noise = wave_and_orthogonal_noise()
    assert si_sdr(wave, wave, 8000) == inf
    assert si_sdr(wave, 0.5 * wave, 8000) > 250
    assert si_sdr(wave, np.zeros(1000), 8000) == -inf
    assert si_sdr(wave, noise, 8000) < -250
    with pytest.raises(InputError, match="reference is silent"):
        si_sdr(np.full(1000, 0.25), wave, 8000)


@pytest.mark.parametrize("distance", [mel_distance, log_spectral_distance])
def test_distances_are_zero_grow_and_are_nearly_symmetric(distance: object) -> None:
    clean = speech(1.0)
    assert distance(clean, clean, RATE) == 0  # type: ignore[operator]
    far = [distance(clean, noisy(2.0, snr)[:24000], RATE) for snr in (30, 20, 10)]  # type: ignore[operator]
    assert 0 < far[0] < far[1] < far[2]
    back = distance(noisy(2.0, 10)[:24000], clean, RATE)  # type: ignore[operator]
    assert back == pytest.approx(far[2], rel=0.01)  # the mel distance takes its level from the first


def test_a_gain_moves_every_bin_alike() -> None:
    """Noise ten times as loud: 1 in each of seven scales of log10, 20 dB in each bin."""
    noise = np.random.default_rng(0).normal(0, 0.1, 24000)
    assert log_spectral_distance(noise, 10 * noise, RATE) == pytest.approx(20, abs=1e-3)
    # Bands narrower than a bin hold nothing, and what is nothing stays so.
    filled = [np.mean(mel_bank(RATE, n, m).any(axis=0)) for n, m in distances.MEL_SCALES.items()]
    assert mel_distance(noise, 10 * noise, RATE) == pytest.approx(sum(filled), rel=0.02)


def test_mel_distance_equals_torchs_transform() -> None:
    clean, coded = speech(1.0), noisy(2.0)[:24000]
    gain = 10 ** (-24 / 20) / np.sqrt(np.mean(clean.astype(float) ** 2))
    expected = 0.0
    for window, bands in distances.MEL_SCALES.items():
        bank = torch.from_numpy(mel_bank(RATE, window, bands))
        spectra = [
            torch.stft(
                torch.from_numpy(sound * gain),
                window,
                window // 4,
                window=torch.hann_window(window, dtype=torch.float64),
                return_complex=True,
            ).abs()
            for sound in (clean, coded)
        ]
        first, second = (torch.log10((bank.T @ spectrum).clamp_min(1e-5)) for spectrum in spectra)
        expected += float((first - second).abs().mean())
    assert mel_distance(clean, coded, RATE) == pytest.approx(expected, rel=1e-9)


def test_mel_distance_does_not_hear_how_loud_a_recording_is_but_an_error_of_level() -> None:
    clean, coded = speech(1.0).astype(float), noisy(2.0)[:24000].astype(float)
    plain = mel_distance(clean, coded, RATE)
    assert mel_distance(0.03 * clean, 0.03 * coded, RATE) == pytest.approx(plain, rel=1e-9)
    assert mel_distance(clean, 3 * coded, RATE) > plain + 0.5
    assert mel_distance(np.zeros(4800), np.zeros(4800), RATE) == 0


def test_blocks_of_frames_do_not_change_a_distance(monkeypatch: pytest.MonkeyPatch) -> None:
    clean, coded = speech(0.5), noisy(2.0)[:12000]
    whole = [mel_distance(clean, coded, RATE), log_spectral_distance(clean, coded, RATE)]
    monkeypatch.setattr(distances, "_FRAMES_AT_ONCE", 5000)
    assert [mel_distance(clean, coded, RATE), log_spectral_distance(clean, coded, RATE)] == pytest.approx(whole)


def test_mel_bands_are_slaneys() -> None:
    """Slaney's scale: 1 kHz is mel 15, and 6.4 kHz is 27 steps of 6.4 ** (1 / 27) above it; areas are 1 Hz."""
    bank = mel_bank(16000, 4096, 40)
    peaks = bank.argmax(axis=0) * 16000 / 4096
    steps = np.diff(peaks)
    assert steps[:10] == pytest.approx(steps[0], abs=8)
    assert peaks[-1] / peaks[-2] == pytest.approx(6.4 ** ((15 + 27 * np.log(8) / np.log(6.4)) / 41 / 27), rel=0.01)
    assert bank.sum(axis=0) * 16000 / 4096 == pytest.approx(1, abs=0.02)


def test_a_clip_shorter_than_a_window_is_measured() -> None:
    assert mel_distance(np.array([0.5]), np.array([0.25]), RATE) > 0
    assert log_spectral_distance(speech(0.01), noisy()[:240], RATE) > 0


def test_stft_distance_equals_torchs_transform() -> None:
    clean, coded = speech(1.0).astype(float), noisy(2.0)[:24000].astype(float)
    gain = 10 ** (-24 / 20) / np.sqrt(np.mean(clean**2))
    found = []
    for window in distances.STFT_WINDOWS:
        taper = torch.hann_window(window, dtype=torch.float64)
        one, other = (
            torch.stft(torch.from_numpy(s * gain), window, window // 4, window=taper, return_complex=True).abs()
            for s in (clean, coded)
        )
        logs = (one.clamp_min(1e-5).log() - other.clamp_min(1e-5).log()).abs().mean()
        found.append(float((one - other).norm() / one.norm() + logs))
    assert distances.stft_distance(clean, coded, RATE) == pytest.approx(np.mean(found), rel=1e-9)
    assert distances.stft_distance(clean, clean, RATE) == 0
