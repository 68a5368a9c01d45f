"""Metrics that need a model of the user's own: UTMOS, speaker similarity, word errors, or a function in a file.

    utmos=FILE.onnx      a graph that hears 16 kHz samples [1, T] and says one opinion score
    speaker=FILE.onnx    one that says an embedding of the voice; measured is the cosine between both
    wer=FILE.onnx        a CTC recogniser that says [1, F, V]; FILE.json beside it lists its V letters, the blank first
    NAME=FILE.py         any `score(reference, estimate, sample_rate) -> float`; it may set BETTER = "lower" and UNIT

Nothing is downloaded. A file's content is part of what its results are known by.
"""

from __future__ import annotations

import hashlib
import json
import runpy
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from ..audio import resample
from ..errors import InputError, MissingError
from .metrics import METRICS, Metric
from .pairs import Sound, check_pair

RATE = 16_000  # Hz that the models hear
BOUNDARY = " |"  # letters that part words: CTC vocabularies write either


def utmos(model: str, reference: Sound, estimate: Sound, sample_rate: int) -> float:
    """UTMOS, the opinion score that a model predicts of the estimate alone, 1 to 5; higher is better.

    The reference is not heard. Saeki et al., "UTMOS: UTokyo-SaruLab system for VoiceMOS Challenge 2022", Interspeech
    2022.
    """
    return float(np.mean(_hear(model, _at_rate(reference, estimate, sample_rate)[1])))


def speaker_similarity(model: str, reference: Sound, estimate: Sound, sample_rate: int) -> float:
    """Cosine between the embeddings of both voices, -1 to 1; higher is better.

    As in Chen et al., "WavLM: large-scale self-supervised pre-training for full stack speech processing", IEEE JSTSP
    2022, whose model most papers take.
    """
    one, other = (_hear(model, sound).reshape(-1).astype(float) for sound in _at_rate(reference, estimate, sample_rate))
    return float(one @ other / max(np.linalg.norm(one) * np.linalg.norm(other), 1e-12))


def word_errors(model: str, reference: Sound, estimate: Sound, sample_rate: int) -> float:
    """Word error rate of the estimate against what the recogniser heard in the reference, from 0; lower is better.

    Insertions, deletions and substitutions over the words of the reference (Levenshtein 1966), read greedily from CTC:
    Graves et al., "Connectionist temporal classification", ICML 2006. The recogniser's own mistakes are in both.
    """
    letters = _letters(model)
    said, heard = (_read(_hear(model, sound), letters) for sound in _at_rate(reference, estimate, sample_rate))
    if not said:
        raise InputError("the recogniser hears no words in the reference; leave this clip out")
    return edits(said, heard) / len(said)


MODELS: dict[str, tuple[Metric, Callable[[str, Sound, Sound, int], float]]] = {
    "utmos": (Metric("UTMOS", utmos, "higher", "MOS"), utmos),  # type: ignore[arg-type]
    "speaker": (Metric("speaker similarity", speaker_similarity, "higher"), speaker_similarity),  # type: ignore[arg-type]
    "wer": (Metric("WER", word_errors, "lower"), word_errors),  # type: ignore[arg-type]
}


@cache
def find_metric(name: str) -> Metric:
    """A metric of the table, or one of a plug-in, `NAME=FILE`."""
    if name in METRICS:
        return METRICS[name]
    kind, sign, file = name.partition("=")
    place = Path(file.partition("#")[0])
    if not sign:
        raise InputError(f"no metric {name!r}; expected {', '.join(METRICS)}, or a plug-in as utmos=FILE.onnx")
    if not place.is_file():
        raise MissingError(f"{place} is not there; {kind}= expects a file of yours")
    if place.suffix == ".py":
        return _function(kind, place)
    if kind not in MODELS:
        raise InputError(f"no plug-in {kind!r} for a model; expected {', '.join(MODELS)}, or {kind}=FILE.py")
    metric, function = MODELS[kind]
    return replace(metric, function=partial(function, str(place)))


def with_digest(name: str) -> str:
    """`NAME=FILE#digest` for a plug-in, so that another file's results are not taken for this one's."""
    kind, sign, file = name.partition("=")
    if not sign or "#" in file or not Path(file).is_file():
        return name
    place = Path(file).resolve()
    return f"{kind}={place}#{hashlib.sha256(place.read_bytes()).hexdigest()[:8]}"


def edits(said: Sequence[str], heard: Sequence[str]) -> int:
    """The least insertions, deletions and substitutions that make `heard` of `said`."""
    row = list(range(len(heard) + 1))
    for i, word in enumerate(said, 1):
        before, row[0] = row[0], i
        for j, other in enumerate(heard, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (word != other))
    return row[-1]


def _function(name: str, place: Path) -> Metric:
    found = runpy.run_path(str(place))
    if not callable(found.get("score")):
        raise InputError(f"{place} has no function score(reference, estimate, sample_rate); write one")
    better = found.get("BETTER", "higher")
    if better not in ("higher", "lower"):
        raise InputError(f"{place}: BETTER is 'higher' or 'lower', got {better!r}")
    return Metric(name, found["score"], better, str(found.get("UNIT", "")))


def _at_rate(reference: Sound, estimate: Sound, sample_rate: int) -> list[NDArray[np.float32]]:
    pair = check_pair(reference, estimate, sample_rate, RATE)
    return [resample(sound[None].astype(np.float32), sample_rate, RATE)[0] for sound in pair]


@cache
def _session(model: str) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # the same figures for any number of workers
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises classes of its own that share no base
        raise InputError(f"{model} is no graph that ONNX Runtime can load: {error}") from error


def _hear(model: str, wave: NDArray[np.float32]) -> NDArray[np.floating[Any]]:
    session = _session(model)
    try:
        said: NDArray[np.floating[Any]] = session.run(None, {session.get_inputs()[0].name: wave[None]})[0]
    except Exception as error:
        raise InputError(f"{model} does not hear samples [1, {len(wave)}]: {error}") from error
    return said


def _letters(model: str) -> list[str]:
    place = Path(model).with_suffix(".json")
    try:
        letters = json.loads(place.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise MissingError(f"{place} should list the letters of {model}, the blank first: {error}") from error
    return [str(letter) for letter in letters]


def _read(said: NDArray[np.floating[Any]], letters: list[str]) -> list[str]:
    best = said[0].argmax(axis=-1)
    kept = best[np.flatnonzero(np.diff(best, prepend=-1))]
    if len(letters) != said.shape[-1]:
        raise InputError(f"the recogniser has {said.shape[-1]} letters and its list {len(letters)}; they must agree")
    text = "".join(" " if letters[i] in BOUNDARY else letters[i] for i in kept if i)
    return text.split()
