"""How fast and how heavy the codecs of a campaign are: each in a process of its own, one thread, after all else."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import audio
from ..errors import InputError, NacreError
from ..onnx_runtime import WEIGHTS
from . import speed
from .campaign import Campaign, Entrant
from .crew import work
from .macs import multiply_adds
from .scores import save
from .systems import CodecSystem, Mono, System, folder_of, open_system

SECONDS = 10.0  # of sound that is timed
FOLDER = "speed"


@dataclass(frozen=True)
class Timing:
    """What one codec takes."""

    label: str
    seconds: float  # of sound that was timed
    both: float  # seconds of sound a second, encoded and decoded
    encode: float | None = None  # of codecs of ours, as all below
    decode: float | None = None
    latency_p50: float | None = None  # seconds to encode and decode one frame
    latency_p95: float | None = None
    latency_p99: float | None = None
    frame: float | None = None  # seconds of sound in it
    delay: float | None = None  # seconds of algorithmic latency
    cold_start: float | None = None  # seconds until the first frame is back
    memory: float | None = None  # bytes at most, of the whole process
    parameters: int | None = None
    encode_work: float | None = None  # multiply-adds a second of sound
    decode_work: float | None = None


@dataclass(frozen=True)
class Trial:
    """One codec to time, in a process of its own."""

    system: str
    label: str
    bitrate: int
    paths: tuple[str, ...]


def time_all(campaign: Campaign) -> dict[str, Timing]:
    """Timings by label; what was timed before on the same sound is not timed again."""
    found: dict[str, Timing] = {}
    good = [clip.path for clip in campaign.clips if clip.name not in campaign.failures]

    def ended(trial: Trial, result: Timing | NacreError) -> None:
        if isinstance(result, Timing):
            found[trial.label] = result
            place = _place(campaign, next(e for e in campaign.entrants if e.label == trial.label))
            save(place, asdict(result) | {"paths": list(trial.paths), "bitrate": trial.bitrate})
        else:
            campaign.notes.append(f"{trial.label} was not timed: {result}")

    for entrant in campaign.entrants if good else ():
        if not entrant.settings or not entrant.results:
            continue
        middle = _middle(entrant)
        trial = Trial(entrant.name, entrant.label, middle, tuple(good[:20]))
        before = _known(_place(campaign, entrant), trial)
        if before:
            found[entrant.label] = before
        else:
            work(time_one, [trial], 1, lambda _: None, ended)
    return found


def time_one(trial: Trial) -> Timing:
    """Time a codec in this process, which should be fresh."""
    begin = time.perf_counter()
    system = open_system(trial.system)
    opened = time.perf_counter() - begin
    wave, rate = _sound(trial.paths)
    if isinstance(system, CodecSystem):
        return _time_codec(system, trial.label, wave, rate, opened)
    settings, _ = system.settings([trial.bitrate])
    took = min(_seconds(system, wave, rate, settings) for _ in range(speed.RUNS))
    seconds = len(wave) / rate
    return Timing(trial.label, seconds, seconds / took, memory=_peak_memory())


def parameters(codec: Any) -> int | None:
    """Numbers that were learnt: of a torch module, or of the weights beside ONNX graphs."""
    if hasattr(codec, "parameters"):
        return sum(int(math.prod(p.shape)) for p in codec.parameters())
    place = Path(getattr(codec, "folder", ""), WEIGHTS)
    with suppress(OSError, ValueError, KeyError), place.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        return sum(int(math.prod(tensor["shape"])) for name, tensor in header.items() if name != "__metadata__")
    return None


def _middle(entrant: Entrant) -> int:
    """A bitrate that the codec has, bit/s: of a baseline the one in the middle of what it took."""
    if not entrant.baseline:
        return entrant.settings[len(entrant.settings) // 2].asked
    every = entrant.results.values()
    taken = sorted(8 * s.bytes / r.seconds for r in every for s in r.scores.values() if not s.refused)
    return round(taken[len(taken) // 2]) if taken else entrant.settings[-1].asked


def _time_codec(system: CodecSystem, label: str, wave: Mono, rate: int, opened: float) -> Timing:
    info = system.codec.info
    at_rate = np.repeat(audio.resample(wave[None], rate, info.sample_rate)[None], info.channels, axis=1)
    taken = speed.measure(lambda: system.codec, at_rate)
    memory = _peak_memory()  # before the counting, which takes some of its own
    counted = multiply_adds(system.codec)
    return Timing(
        label=label,
        seconds=len(wave) / rate,
        both=1 / (1 / taken.encode + 1 / taken.decode),
        encode=taken.encode,
        decode=taken.decode,
        latency_p50=taken.latency_p50,
        latency_p95=taken.latency_p95,
        latency_p99=taken.latency_p99,
        frame=taken.frame,
        delay=taken.delay,
        cold_start=opened + taken.load,
        memory=memory,
        parameters=parameters(system.codec),
        encode_work=counted.encode if counted else None,
        decode_work=counted.decode if counted else None,
    )


def _seconds(system: System, wave: Mono, rate: int, settings: Sequence[Any]) -> float:
    begin = time.perf_counter()
    for coded in system.code(wave, rate, settings):
        if isinstance(coded, InputError):
            raise coded
    return time.perf_counter() - begin


def _sound(paths: Sequence[str]) -> tuple[Mono, int]:
    """Clips one after another, until there is enough."""
    rate, parts, length = 0, [], 0
    for path in paths:
        sound = audio.read(path, rate or None, 1)
        rate = sound.sample_rate
        parts.append(sound.samples[0, 0])
        length += len(parts[-1])
        if length >= SECONDS * rate:
            break
    return np.concatenate(parts)[: round(SECONDS * rate)], rate


def _peak_memory() -> float | None:
    """Bytes that this process held at most; the kernel tells on Linux only, per process rather than per family."""
    try:
        lines = Path("/proc/self/status").read_text("ascii").splitlines()
    except OSError:
        return None
    return next((1024.0 * int(line.split()[1]) for line in lines if line.startswith("VmHWM")), None)


def _place(campaign: Campaign, entrant: Entrant) -> Path:
    return Path(campaign.plan.out, FOLDER, f"{folder_of(entrant.label, entrant.digest)}.json")


def _known(place: Path, trial: Trial) -> Timing | None:
    try:
        data = json.loads(place.read_text("utf-8"))
        if (data.pop("paths"), data.pop("bitrate")) != (list(trial.paths), trial.bitrate):
            return None
        if "encode_work" not in data:  # of an older nacre
            return None
        return Timing(**data)
    except (OSError, ValueError, KeyError, TypeError):
        return None
