"""What is compared: codecs of ours and others' behind one small contract.

A `System` takes a sound and settings, and gives back for each what it makes of the sound and the bytes that travel.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .. import models
from ..audio import resample
from ..catalogue import CATALOGUE
from ..container import nac
from ..contract import CodecContract
from ..errors import InputError, MissingError, NacreError
from .baselines import BASELINES, Baseline, Coded

Mono = NDArray[np.float32]  # [T]
Sound = NDArray[np.float32]  # [T], or [C, T]
MATCHED = 0.02  # of the bits asked for: nearer need not be
FAR = 0.25  # of the bits asked for: farther does not count as matched
ABSURD = 1 / 3  # of the bits asked for, where nothing is to be matched: farther is another row's business
_TRIALS = 12  # codings of a clip while its setting is looked for


@dataclass(frozen=True)
class Setting:
    """One point of a rate–quality curve."""

    asked: int  # bit/s, as the user said it: what rows of different systems have in common
    levels: int = 0  # of a codec of ours
    target: float = 0.0  # bit/s that a baseline shall really take on this clip; 0: whatever `asked` comes to

    @property
    def key(self) -> str:
        """What tells this setting's results from another's."""
        return f"{self.asked}-{self.levels}-{self.target:.1f}"


class System(Protocol):
    """One codec, whoever made it."""

    label: str  # in tables
    digest: str  # of the weights, or the version of what codes
    baseline: bool
    channels: int  # that it codes together

    def settings(self, bitrates: Sequence[int]) -> tuple[list[Setting], list[str]]:
        """Settings for those of `bitrates` that it has, and a sentence about each that it has not."""

    def code(self, wave: Sound, sample_rate: int, settings: Sequence[Setting]) -> Iterator[Coded | InputError]:
        """What it makes of `wave` at each setting, or why it cannot; `[C, T]` of as many channels as it has, or one."""


class CodecSystem:
    """A codec of ours: what is measured went through the bytes of a `.nac` file."""

    baseline = False

    def __init__(self, label: str, codec: CodecContract) -> None:
        self.label, self.codec, self.digest = label, codec, codec.info.digest or "unknown"
        self.channels = codec.info.channels

    def settings(self, bitrates: Sequence[int]) -> tuple[list[Setting], list[str]]:
        """Bitrates that come to the same levels are one."""
        found: dict[int, Setting] = {}
        left_out = []
        for bitrate in sorted(bitrates):
            try:
                levels = self.codec.info.levels_for(bitrate)
            except InputError as error:
                left_out.append(f"{self.label} at {bitrate / 1000:g} kbps: {error}")
                continue
            found.setdefault(levels, Setting(bitrate, levels))
        return list(found.values()), left_out

    def code(self, wave: Sound, sample_rate: int, settings: Sequence[Setting]) -> Iterator[Coded]:
        """The encoder runs once, for the most levels asked for."""
        info = self.codec.info
        at_rate = resample(np.atleast_2d(wave), sample_rate, info.sample_rate)
        copies = info.channels // len(at_rate)  # mono into every channel
        codes = self.codec.encode(np.repeat(at_rate[None], copies, axis=1), max(s.levels for s in settings))
        for setting in settings:
            file = BytesIO()
            nac.write(file, codes.head(setting.levels))
            decoded = self.codec.decode(nac.read(BytesIO(file.getvalue())))[0]
            if wave.ndim == 1:
                decoded = decoded.mean(axis=0, keepdims=True, dtype=np.float32)
            back = resample(decoded, info.sample_rate, sample_rate)[:, : wave.shape[-1]]
            padded = np.pad(back, ((0, 0), (0, wave.shape[-1] - back.shape[1])))
            yield Coded(padded.reshape(wave.shape), len(file.getvalue()), file.getvalue())


class BaselineSystem:
    """A codec of others'."""

    baseline, channels = True, 1

    def __init__(self, baseline: Baseline) -> None:
        if not baseline.present():
            raise MissingError(f"{baseline.name} is not installed; {baseline.install}")
        self.own, self.label, self.digest = baseline, baseline.name, baseline.version()

    def settings(self, bitrates: Sequence[int]) -> tuple[list[Setting], list[str]]:
        """All of them; what it has not, each clip will say."""
        return [Setting(bitrate) for bitrate in sorted(bitrates)], []

    def code(self, wave: Mono, sample_rate: int, settings: Sequence[Setting]) -> Iterator[Coded | InputError]:
        """Each by itself, looked for where bits are to be matched."""
        for setting in settings:
            try:
                yield self._code(wave, sample_rate, setting)
            except InputError as error:
                yield error

    def _code(self, wave: Mono, sample_rate: int, setting: Setting) -> Coded:
        if setting.target:
            return match(self.own, wave, sample_rate, setting.target)
        coded = self.own.code(wave, sample_rate, self.own.nearest(setting.asked))
        return check_bits(coded, self.label, setting.asked, len(wave) / sample_rate, ABSURD)


def match(baseline: Baseline, wave: Mono, sample_rate: int, target: float) -> Coded:
    """The coding of `wave` whose measured bits a second are nearest to `target`: bisection over what can be asked for.

    Of modes that are few, the nearest one. An error when nothing is within a quarter of the target.
    """
    seconds = len(wave) / sample_rate

    def far(coded: Coded) -> float:
        return abs(8 * coded.bytes / seconds / target - 1)

    if baseline.modes:
        best = baseline.code(wave, sample_rate, baseline.nearest(target))
    else:
        best = _bisect(lambda bitrate: baseline.code(wave, sample_rate, bitrate), target, seconds, far)
    return check_bits(best, baseline.name, target, seconds, FAR)


def check_bits(coded: Coded, name: str, target: float, seconds: float, most: float) -> Coded:
    """`coded`, or an error when its bits a second are farther than the share `most` from those asked for."""
    got = 8 * coded.bytes / seconds
    if abs(got / target - 1) > most:
        raise InputError(f"{name} comes no nearer to {target:.0f} bit/s than {got:.0f}; ask for another rate")
    return coded


def _bisect(code: Callable[[int], Coded], target: float, seconds: float, far: Callable[[Coded], float]) -> Coded:
    low, high = target / 3, target * 2
    best: Coded | None = None
    trouble: NacreError | None = None
    for _ in range(_TRIALS):
        middle = (low + high) / 2
        try:
            coded = code(round(middle))
        except InputError as error:  # too little to ask for
            trouble, low = error, middle
            continue
        best = coded if best is None or far(coded) < far(best) else best
        if far(best) <= MATCHED or high - low < 10:
            break
        low, high = (middle, high) if 8 * coded.bytes / seconds < target else (low, middle)
    if best is None:
        raise trouble or InputError(f"no setting comes to {target:.0f} bit/s; ask for another rate")
    return best


def open_system(name: str) -> System:
    """A baseline of `BASELINES`, or whatever `nacre.load` takes: a name in the catalogue, a folder, a file."""
    if name in BASELINES:
        return BaselineSystem(BASELINES[name])
    if name not in CATALOGUE and not Path(name).exists():
        known = ", ".join(BASELINES)
        raise InputError(f"no codec {name!r}; expected a name of `nacre models`, a folder, or one of {known}")
    codec = models.load(name, threads=1)
    label = codec.info.name if name in CATALOGUE else Path(name).resolve().name
    return CodecSystem(label, codec)


def folder_of(label: str, digest: str) -> str:
    """A folder name for what belongs to one system."""
    return f"{slug(label)}-{hashlib.sha256(f'{label}/{digest}'.encode()).hexdigest()[:8]}"


def slug(text: str) -> str:
    """`text` as part of a file name."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", text).strip("-.")[:60].lower() or "x"
