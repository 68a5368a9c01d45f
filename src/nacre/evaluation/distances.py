"""How far two sounds are apart in time and frequency: closed forms on float arrays `[T]`, numpy only.

Letters in shapes: `T` samples, `F` frames, `N` frequency bins, `M` mel bands.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from math import inf, log10

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .pairs import Samples, Sound, check_pair

MEL_SCALES = {32: 5, 64: 10, 128: 20, 256: 40, 512: 80, 1024: 160, 2048: 320}  # window in samples: bands
MEL_LEVEL = -24.0  # dB RMS that the reference is brought to
MEL_FLOOR = 1e-5  # magnitudes below count as this: -100 dB
STFT_WINDOWS = (512, 1024, 2048)  # samples
LSD_WINDOW = 2048  # samples
LSD_FLOOR = 1e-8  # powers below count as this, so that digital silence does not outweigh all that sounds
_FRAMES_AT_ONCE = 2_000_000  # samples of overlapping frames held in memory


def si_sdr(reference: Sound, estimate: Sound, sample_rate: int) -> float:
    """Scale-invariant signal-to-distortion ratio in dB; higher is better, `-inf` to `inf`.

    `10 log10(|a r|² / |e - a r|²)` with `a = <e, r> / <r, r>`, means taken out first. Le Roux et al., "SDR: half-baked
    or well done?", ICASSP 2019. Speech codecs that do not follow the wave (vocoders) score far below 0.
    """
    first, second = check_pair(reference, estimate, sample_rate)
    first, second = first - first.mean(), second - second.mean()
    power = float(first @ first)
    if power == 0:
        raise InputError("the reference is silent, and SI-SDR says nothing about silence; leave this clip out")
    target = (float(first @ second) / power) * first
    rest = second - target
    wanted, unwanted = float(target @ target), float(rest @ rest)
    if wanted == 0:
        return -inf
    return 10 * log10(wanted / unwanted) if unwanted else inf


def mel_distance(reference: Sound, estimate: Sound, sample_rate: int) -> float:
    """Log-mel distance; lower is better, from 0; a good codec is below 1, another voice is at 4 and more.

    The mean absolute difference of `log10(max(mel magnitude, 1e-5))`, added up over seven Hann windows of 32 … 2048
    samples with 5 … 320 bands from 0 Hz to the Nyquist frequency, hop a quarter of the window: DAC's mel loss, Kumar et
    al., "High-Fidelity Audio Compression with Improved RVQGAN", NeurIPS 2023. Windows are samples, so figures
    compare at one sample rate only. Both sounds are first made louder or quieter by what brings the reference to -24
    dB RMS, a usual level: else the floor would weigh quiet and loud recordings differently.
    """
    first, second = check_pair(reference, estimate, sample_rate)
    rms = float(np.sqrt(np.mean(first**2)))
    gain = 10 ** (MEL_LEVEL / 20) / rms if rms > 0 else 1.0
    pair = first * gain, second * gain
    return sum(_mel_distance(*pair, sample_rate, window, bands) for window, bands in MEL_SCALES.items())


def log_spectral_distance(reference: Sound, estimate: Sound, sample_rate: int) -> float:
    """Log-spectral distance in dB; lower is better, from 0.

    The root of the mean over bins of the squared difference of power spectra in dB, mean over frames: Hann window of
    2048 samples, hop 512, powers below 1e-8 counted as that. Gray and Markel, "Distance measures for speech
    processing", IEEE TASSP 1976, in its form for sampled spectra.
    """
    total, frames = 0.0, 0
    for first, second in _spectra(*check_pair(reference, estimate, sample_rate), LSD_WINDOW):
        far = 10 * (np.log10(np.maximum(first**2, LSD_FLOOR)) - np.log10(np.maximum(second**2, LSD_FLOOR)))
        total += float(np.sqrt((far**2).mean(axis=1)).sum())
        frames += len(far)
    return total / frames


def stft_distance(reference: Sound, estimate: Sound, sample_rate: int) -> float:
    """Multi-resolution STFT distance; lower is better, from 0; identical sounds have 0, good codecs less than 1.

    At Hann windows of 512, 1024 and 2048 samples, hop a quarter: spectral convergence `|R - E| / |R|` (Frobenius) plus
    the mean absolute difference of natural logarithms of magnitudes, floor 1e-5; the mean of the three. Both sounds are
    brought to a usual level first, as for `mel_distance`. Yamamoto et al., "Parallel WaveGAN", ICASSP 2020.
    """
    first, second = check_pair(reference, estimate, sample_rate)
    rms = float(np.sqrt(np.mean(first**2)))
    gain = 10 ** (MEL_LEVEL / 20) / rms if rms > 0 else 1.0
    return float(np.mean([_stft_distance(first * gain, second * gain, window) for window in STFT_WINDOWS]))


def _stft_distance(first: Samples, second: Samples, window: int) -> float:
    apart, power, logs, count = 0.0, 0.0, 0.0, 0
    for one, other in _spectra(first, second, window):
        apart += float(((one - other) ** 2).sum())
        power += float((one**2).sum())
        logs += float(np.abs(np.log(np.maximum(one, MEL_FLOOR)) - np.log(np.maximum(other, MEL_FLOOR))).sum())
        count += one.size
    return float(np.sqrt(apart / power) if power else np.sqrt(apart)) + logs / count


def _mel_distance(first: Samples, second: Samples, sample_rate: int, window: int, bands: int) -> float:
    bank = mel_bank(sample_rate, window, bands)
    total, count = 0.0, 0
    for spectra in _spectra(first, second, window):
        one, other = (np.log10(np.maximum(spectrum @ bank, MEL_FLOOR)) for spectrum in spectra)
        total += float(np.abs(one - other).sum())
        count += one.size
    return total / count


def _spectra(first: Samples, second: Samples, window: int) -> Iterator[tuple[Samples, Samples]]:
    """Magnitudes `[F, N]` of both, in blocks of frames: Hann, hop a quarter, half a window mirrored at both ends."""
    hop, size = window // 4, len(first)
    taper = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    mode = "reflect" if size > 1 else "edge"
    padded = [np.pad(sound, window // 2, mode=mode) for sound in (first, second)]  # type: ignore[call-overload]
    every = [np.lib.stride_tricks.sliding_window_view(sound, window)[::hop] for sound in padded]
    step = max(1, _FRAMES_AT_ONCE // window)
    for start in range(0, len(every[0]), step):
        one, other = (np.abs(np.fft.rfft(frames[start : start + step] * taper)) for frames in every)
        yield one, other


@cache
def mel_bank(sample_rate: int, window: int, bands: int) -> NDArray[np.float64]:
    """Triangles `[N, M]` of equal area, evenly spaced on Slaney's mel scale: linear to 1 kHz, logarithmic above."""
    top = _mel(sample_rate / 2)
    edges = _hertz(np.linspace(0, top, bands + 2))
    low, peak, high = edges[:-2], edges[1:-1], edges[2:]
    bins = np.linspace(0, sample_rate / 2, window // 2 + 1)[:, None]
    triangles = np.maximum(0, np.minimum((bins - low) / (peak - low), (high - bins) / (high - peak)))
    bank: NDArray[np.float64] = triangles * (2 / (high - low))
    return bank


def _mel(hertz: float) -> float:
    return hertz * 3 / 200 if hertz < 1000 else 15 + 27 * log10(hertz / 1000) / log10(6.4)


def _hertz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    above: NDArray[np.float64] = 1000 * 6.4 ** ((mel - 15) / 27)
    return np.where(mel < 15, mel * 200 / 3, above)
