"""One clip through one codec: coded, decoded, laid over the original, measured; and the file that remembers it.

Figures that are in the file are not measured again: a score is known by codec, digest, setting, rate and metric.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from .. import audio
from ..atomic import write_whole
from ..errors import InputError, NacreError
from .baselines import Coded
from .metrics import METRICS, Aligned, align
from .plugins import find_metric
from .systems import Mono, Setting, System, folder_of, open_system

VERSION = 1  # of the files of results; others are measured anew
LONGEST = 600.0  # seconds of a clip that are measured
RESULTS, CODED, SOUNDS, ORIGINAL = "results", "coded", "sounds", "original"  # folders


@dataclass(frozen=True)
class Clip:
    """One sound to compare on."""

    path: str
    name: str  # below the folder of data
    key: str  # of its name and content, for files about it


@dataclass(frozen=True)
class Job:
    """One clip through one system, in a process of its own."""

    clip: Clip
    system: str  # as the user named it
    label: str
    digest: str
    settings: tuple[Setting, ...]
    metrics: tuple[str, ...]
    out: str
    sample_rate: int | None = None  # to measure at; None: the clip's own
    sounds: bool = True  # keep what was decoded

    @property
    def folder(self) -> str:
        """Where files about this system are."""
        return folder_of(self.label, self.digest)

    @property
    def file(self) -> Path:
        """Where the results are."""
        return Path(self.out, RESULTS, self.folder, f"{self._stem}.json")

    @property
    def original(self) -> Path:
        """Where the clip is as it was compared with."""
        return Path(self.out, SOUNDS, ORIGINAL, f"{self._stem}.flac")

    @property
    def _stem(self) -> str:
        return f"{self.clip.key}@{self.sample_rate}" if self.sample_rate else self.clip.key

    def place(self, kind: str, setting: Setting, suffix: str) -> Path:
        """Where a coded or decoded clip is."""
        return Path(self.out, kind, self.folder, f"{self._stem}-{setting.key}{suffix}")


@dataclass
class Score:
    """One clip at one setting."""

    bytes: int = 0
    delay: float = 0.0  # seconds by which it came late, taken out
    gain: float = 0.0  # dB by which it was made louder
    refused: str = ""  # why there is nothing
    figures: dict[str, float] = field(default_factory=dict)
    silent: dict[str, str] = field(default_factory=dict)  # metric: why it has no figure
    failed: dict[str, str] = field(default_factory=dict)  # a person's metric: why it gave none this time


@dataclass
class Results:
    """What is known of one clip through one system."""

    seconds: float = 0.0
    sample_rate: int = 0
    scores: dict[str, Score] = field(default_factory=dict)  # by `Setting.key`

    def lacks(self, setting: Setting, metrics: Sequence[str]) -> list[str] | None:
        """Metrics still to be measured at a setting; None when not even the bits are known."""
        score = self.scores.get(setting.key)
        if score is None:
            return None
        known = score.figures.keys() | score.silent.keys()
        return [] if score.refused else [metric for metric in metrics if metric not in known]


def measure(job: Job) -> Results:
    """Measure what is not known yet, and remember it."""
    results = known(job)
    todo = [setting for setting in job.settings if results.lacks(setting, job.metrics) != []]
    if not todo:
        return results
    wave, rate = read_clip(job)
    results.seconds, results.sample_rate = len(wave) / rate, rate
    for setting, coded in zip(todo, _system(job.system).code(wave, rate, todo), strict=True):
        if isinstance(coded, InputError):
            results.scores[setting.key] = Score(refused=str(coded))
            continue
        pair = align(wave, coded.wave, rate)
        lacking = results.lacks(setting, job.metrics)
        score = results.scores.get(setting.key, Score())
        score.bytes, score.delay, score.gain = coded.bytes, pair.delay / rate, _decibels(pair.gain)
        _figures(score, pair, rate, job.metrics if lacking is None else lacking)
        results.scores[setting.key] = score
        _keep(job, setting, coded, pair, rate, len(wave))
    if job.sounds:
        _write_sound(job.original, wave, rate)
    save(job.file, asdict(results) | {"version": VERSION, "clip": job.clip.name, "codec": job.label})
    return results


def read_clip(job: Job) -> tuple[Mono, int]:
    """The clip as one channel, at the rate to measure at."""
    sound = audio.read(job.clip.path, job.sample_rate, 1)
    wave = sound.samples[0, 0]
    if not len(wave) or not np.any(wave):
        raise InputError(f"the clip is {'silent' if len(wave) else 'empty'}, so there is nothing to compare")
    if len(wave) > LONGEST * sound.sample_rate:
        raise InputError(f"the clip is longer than {LONGEST:g} s; cut it, or memory and time will not do")
    return wave, sound.sample_rate


def known(job: Job) -> Results:
    """What was measured before; nothing where the file is absent, damaged or of another version."""
    try:
        data = json.loads(job.file.read_text("utf-8"))
        if data["version"] != VERSION:
            return Results()
        scores = {key: _score(value) for key, value in data["scores"].items()}
        return Results(float(data["seconds"]), int(data["sample_rate"]), scores)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Results()


def save(path: Path, data: Mapping[str, Any]) -> None:
    """JSON that is there whole or not at all, infinities as words."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(plain(data), indent=1, ensure_ascii=False, allow_nan=False)
    write_whole(path, f"{text}\n".encode(), overwrite=True)


def plain(value: Any) -> Any:
    """`value` with floats that JSON has no word for as text: "inf", "-inf", "nan"."""
    if isinstance(value, Mapping):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _score(data: dict[str, Any]) -> Score:
    score = Score(**data)
    score.figures = {name: float(figure) for name, figure in score.figures.items()}
    return score


@lru_cache(maxsize=1)
def _system(name: str) -> System:
    """The codec of this process: jobs come codec by codec, so one is held."""
    return open_system(name)


def _figures(score: Score, pair: Aligned, rate: int, metrics: Sequence[str]) -> None:
    for name in metrics:
        metric = find_metric(name)
        estimate = pair.estimate if metric.matched else pair.estimate / pair.gain
        try:
            figure = float(metric.function(pair.reference, estimate, rate))
        except InputError as error:
            score.silent[name] = str(error)
            continue
        except NacreError:
            raise
        except Exception as error:
            if name in METRICS:
                raise
            # what a person brought may fail in any way, and one clip shall not end all others
            score.failed[name] = f"{metric.name} failed: {type(error).__name__}: {error}"
            continue
        score.failed.pop(name, None)
        if math.isnan(figure):
            score.silent[name] = f"{metric.name} gave no number"
        else:
            score.figures[name] = figure


def _keep(job: Job, setting: Setting, coded: Coded, pair: Aligned, rate: int, length: int) -> None:
    """The file that was measured, and what it sounds like beside the original."""
    if coded.file:
        place = job.place(CODED, setting, ".nac")
        place.parent.mkdir(parents=True, exist_ok=True)
        write_whole(place, coded.file, overwrite=True)
    if job.sounds:
        begin = max(0, -pair.delay)
        sound = np.pad(pair.estimate, (begin, max(0, length - begin - len(pair.estimate)))).astype(np.float32)
        _write_sound(job.place(SOUNDS, setting, ".flac"), sound, rate)


def _write_sound(path: Path, wave: Mono, rate: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    audio.write(path, wave[None], rate, overwrite=True)


def _decibels(gain: float) -> float:
    return 20 * math.log10(gain) if gain > 0 else 0.0
