"""How good a coded sound is: plain functions `(reference, estimate, sample_rate) -> float` on float arrays `[T]`.

Both sounds have one rate and one length: `align()` takes delay and level out first. The standards' own code is in the
packages `pesq`, `pystoi` and `visqol-python`, which `pip install 'nacre[eval]'` brings; sounds are resampled to
the rate a standard is made for, and refused where that would have to invent a band.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Literal

import numpy as np

from ..audio import resample
from ..errors import InputError, MissingError
from .distances import log_spectral_distance, mel_distance, si_sdr, stft_distance
from .dnsmos import dnsmos
from .loudness import bandwidth, level_error
from .pairs import Aligned, Samples, Sound, align, check_pair
from .pitch import pitch_error, voicing_error

__all__ = [
    "METRICS",
    "Aligned",
    "Metric",
    "align",
    "bandwidth",
    "dnsmos",
    "estoi",
    "level_error",
    "log_spectral_distance",
    "mel_distance",
    "pesq_nb",
    "pesq_wb",
    "pitch_error",
    "si_sdr",
    "stft_distance",
    "stoi",
    "visqol_audio",
    "visqol_speech",
    "voicing_error",
]

STOI_RATE = 10_000  # Hz that STOI works at


def pesq_wb(reference: Sound, estimate: Sound, sample_rate: int) -> float:
    """Wide-band PESQ (MOS-LQO at 16 kHz), 1.0 to 4.64; higher is better.

    ITU-T P.862.2 (2007); Rix et al., "Perceptual evaluation of speech quality (PESQ)", ICASSP 2001.
    """
    return _pesq("PESQ-WB", "wb", 16_000, *_speech(reference, estimate, sample_rate, 16_000))


def pesq_nb(reference: Sound, estimate: Sound, sample_rate: int) -> float:
    """Narrow-band PESQ (MOS-LQO at 8 kHz), 1.0 to 4.55; higher is better. Not comparable with PESQ-WB.

    ITU-T P.862 (2001) with the mapping of P.862.1 (2003).
    """
    return _pesq("PESQ-NB", "nb", 8_000, *_speech(reference, estimate, sample_rate, 8_000))


def stoi(reference: Sound, estimate: Sound, sample_rate: int) -> float:
    """Short-time objective intelligibility, about 0 to 1; higher is better.

    Correlation of third-octave envelopes over 384 ms, 150 Hz to 4.3 kHz. Taal et al., "An algorithm for intelligibility
    prediction of time-frequency weighted noisy speech", IEEE TASLP 2011.
    """
    return _stoi(reference, estimate, sample_rate, extended=False)


def estoi(reference: Sound, estimate: Sound, sample_rate: int) -> float:
    """Extended STOI, about 0 to 1; higher is better, and harder to reach than STOI.

    Correlation of whole normalised spectrograms, so that modulated noise counts. Jensen and Taal, "An algorithm for
    predicting the intelligibility of speech masked by modulated noise maskers", IEEE TASLP 2016.
    """
    return _stoi(reference, estimate, sample_rate, extended=True)


def visqol_speech(reference: Sound, estimate: Sound, sample_rate: int) -> float:
    """ViSQOL v3 in speech mode at 16 kHz (MOS-LQO), 1 to 5; higher is better; identical sounds get about 4.7.

    Similarity of gammatone spectrograms (NSIM), put on the MOS scale by the lattice network that Google's ViSQOL uses
    by default. The package falls back to a polynomial where that network cannot run, which rates coded speech 0.5 to 2
    higher; here there is no such fallback. Chinen et al., "ViSQOL v3: an open source production ready objective
    speech and audio metric", QoMEX 2020.
    """
    return _visqol("speech", 16_000, *_speech(reference, estimate, sample_rate, 16_000))


def visqol_audio(reference: Sound, estimate: Sound, sample_rate: int) -> float:
    """ViSQOL v3 in audio mode at 48 kHz (MOS-LQO), 1 to about 4.7; higher is better.

    For music and sound of full band; NSIM is put on the MOS scale by a support vector machine. Sound from 24 kHz on is
    taken: what neither side has above its Nyquist frequency counts as alike. Chinen et al., QoMEX 2020.
    """
    return _visqol("audio", 48_000, *_speech(reference, estimate, sample_rate, 48_000, least=24_000))


@dataclass(frozen=True)
class Metric:
    """One row of the table of metrics."""

    name: str  # as people write it
    function: Callable[[Sound, Sound, int], float]
    better: Literal["higher", "lower"]
    unit: str = ""
    matched: bool = True  # whether levels are matched before
    package: str = ""  # what it needs beside numpy

    def present(self) -> bool:
        """Whether what it needs is installed."""
        return not self.package or find_spec(self.package) is not None


METRICS: dict[str, Metric] = {
    "pesq_wb": Metric("PESQ-WB", pesq_wb, "higher", "MOS", package="pesq"),
    "pesq_nb": Metric("PESQ-NB", pesq_nb, "higher", "MOS", package="pesq"),
    "stoi": Metric("STOI", stoi, "higher", package="pystoi"),
    "estoi": Metric("ESTOI", estoi, "higher", package="pystoi"),
    "visqol_speech": Metric("ViSQOL", visqol_speech, "higher", "MOS", package="visqol"),
    "visqol_audio": Metric("ViSQOL audio", visqol_audio, "higher", "MOS", package="visqol"),
    "si_sdr": Metric("SI-SDR", si_sdr, "higher", "dB"),
    "mel_distance": Metric("mel distance", mel_distance, "lower"),
    "stft_distance": Metric("STFT distance", stft_distance, "lower"),
    "pitch_error": Metric("F0 error", pitch_error, "lower", "cent"),
    "voicing_error": Metric("voicing error", voicing_error, "lower", "%"),
    "bandwidth": Metric("bandwidth", bandwidth, "higher", "kHz"),
    "level_error": Metric("level error", level_error, "lower", "dB", matched=False),
    "dnsmos": Metric("DNSMOS", dnsmos, "higher", "MOS", package="speechmos"),
    "log_spectral_distance": Metric("LSD", log_spectral_distance, "lower", "dB"),
}


def _speech(
    reference: Sound, estimate: Sound, sample_rate: int, rate: int, least: int | None = None
) -> tuple[Samples, Samples]:
    """Both at `rate`, neither silent; their own rate has to be `least` or more, by default `rate`."""
    pair = check_pair(reference, estimate, sample_rate, rate if least is None else least)
    for sound, name in zip(pair, ("reference", "estimate"), strict=True):
        if not sound.any():
            raise InputError(f"the {name} is silent, and no model of hearing rates silence; leave this clip out")
    first, second = (resample(sound[None].astype(np.float32), sample_rate, rate)[0] for sound in pair)
    return first.astype(np.float64), second.astype(np.float64)


def _pesq(name: str, mode: str, rate: int, first: Samples, second: Samples) -> float:
    package = _package("pesq")
    try:
        return float(package.pesq(rate, first, second, mode))
    except (package.PesqError, ValueError) as error:
        reason = error.args[0].decode() if error.args and isinstance(error.args[0], bytes) else str(error)
        seconds = len(first) / rate
        raise InputError(f"{name} cannot rate this clip of {seconds:.2f} s ({reason}); leave it out") from error


def _stoi(reference: Sound, estimate: Sound, sample_rate: int, extended: bool) -> float:
    first, second = _speech(reference, estimate, sample_rate, sample_rate, least=STOI_RATE)
    measure = _package("pystoi").stoi
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "Not enough STFT frames", RuntimeWarning)  # it would return 0.00001
        try:
            return float(measure(first, second, sample_rate, extended=extended))
        except RuntimeWarning as error:
            seconds = len(first) / sample_rate
            raise InputError(
                f"STOI needs 0.4 s that are not silent, got a clip of {seconds:.2f} s; leave it out"
            ) from error


def _visqol(mode: str, rate: int, first: Samples, second: Samples) -> float:
    try:
        return float(_visqol_model(mode).measure_from_arrays(first, second, rate).moslqo)
    except (ValueError, RuntimeError, IndexError) as error:
        raise InputError(
            f"ViSQOL cannot rate this clip of {len(first) / rate:.2f} s ({error}); leave it out"
        ) from error


@cache
def _visqol_model(mode: str) -> Any:
    model = _package("visqol.api").VisqolApi()
    if mode == "speech":
        _package("ai_edge_litert")  # what runs the lattice network
    model.create(mode=mode, use_lattice_model=mode == "speech")
    return model


def _package(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise MissingError(
            f"this metric needs the package {name.partition('.')[0]}; pip install 'nacre[eval]'"
        ) from error
