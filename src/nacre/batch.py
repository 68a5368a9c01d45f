"""Many files at once: which input becomes which output, several at a time, and one failure that stops no other."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Protocol, TypeVar

from .errors import InputError, NacreError

SOUND = frozenset(".wav .flac .ogg .oga .opus .mp3 .aiff .aif .au .caf .w64 .rf64".split())
CODED = frozenset([".nac"])
Report = Callable[[float, float | None], None]  # seconds done, seconds in all when known
Result = TypeVar("Result")


@dataclass(frozen=True)
class Job:
    """One file to make from another."""

    source: str
    target: str


@dataclass(frozen=True)
class Failure:
    """A file that could not be made, and why."""

    source: str
    error: NacreError


class Watcher(Protocol):
    """Who wants to know how far things are."""

    def begin(self, name: str) -> Report:
        """A job has begun; call what comes back as it goes on."""

    def end(self, name: str) -> None:
        """A job has ended, well or not."""


class _Stopped(KeyboardInterrupt):
    """Ctrl-C came while this job ran in another thread."""


def pair(source: str, target: str | None, suffix: str, kinds: frozenset[str]) -> list[Job]:
    """Which files become which: one file, standard input, or all files of `kinds` below a folder.

    Outputs get `suffix` where the caller names none.
    """
    if source == "-":
        return [Job("-", target or "-")]
    place = Path(source)
    if place.is_dir():
        return _pair_folder(place, target, suffix, kinds)
    if target is None:
        return [Job(source, str(place.with_suffix(suffix)))]
    if target != "-" and Path(target).is_dir():
        return [Job(source, str(Path(target, place.name).with_suffix(suffix)))]
    return [Job(source, target)]


def _pair_folder(place: Path, target: str | None, suffix: str, kinds: frozenset[str]) -> list[Job]:
    if target is None or target == "-" or Path(target).is_file():
        raise InputError(f"{place} is a folder, so name a folder for the output as well: nacre … {place} OUTPUT_FOLDER")
    found = sorted(path for path in place.rglob("*") if path.suffix.lower() in kinds and path.is_file())
    if not found:
        raise InputError(f"{place} holds no files that end in {' '.join(sorted(kinds))}")
    jobs: dict[str, str] = {}
    for path in found:
        made = str((Path(target) / path.relative_to(place)).with_suffix(suffix))
        if made in jobs:
            raise InputError(f"{jobs[made]} and {path} would both become {made}; rename one of them")
        jobs[made] = str(path)
    return [Job(path, made) for made, path in jobs.items()]


def run(
    make: Callable[[str, str, Report], Result], jobs: list[Job], workers: int, watcher: Watcher
) -> list[Result | Failure]:
    """`make(source, target, report)` for every job, `workers` at a time, in order; Ctrl-C stops them all cleanly."""
    stop = Event()

    def one(job: Job) -> Result | Failure:
        if stop.is_set():
            raise _Stopped
        report = watcher.begin(job.source)

        def checked(done: float, whole: float | None) -> None:
            if stop.is_set():
                raise _Stopped
            report(done, whole)

        try:
            if len(jobs) > 1:
                Path(job.target).parent.mkdir(parents=True, exist_ok=True)
            return make(job.source, job.target, checked)
        except NacreError as error:
            return Failure(job.source, error)
        finally:
            watcher.end(job.source)

    if workers == 1 or len(jobs) == 1:
        return [one(job) for job in jobs]
    with ThreadPoolExecutor(workers) as pool:
        futures = [pool.submit(one, job) for job in jobs]
        try:
            return [future.result() for future in futures]
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise
