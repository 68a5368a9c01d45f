"""Many files at once: which input becomes which output, several at a time, and one failure that stops no other."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Literal, Protocol, TypeVar

from .errors import InputError, NacreError

SOUND = frozenset([".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aiff", ".aif", ".au", ".caf", ".w64", ".rf64"])
CODED = frozenset([".nac", ".ecdc", ".dac", ".lyra"])
Report = Callable[[float, float | None], None]  # seconds done, seconds in all when known
Existing = Literal["refuse", "overwrite", "skip"]  # what becomes of a file that is there already
Result = TypeVar("Result")


@dataclass(frozen=True)
class Job:
    """One file to make from another; `-` stands for standard input and output."""

    source: str
    target: str


@dataclass(frozen=True)
class Failure:
    """A file that could not be made, and why."""

    source: str
    error: NacreError
    target: str = ""


@dataclass(frozen=True)
class Skipped:
    """A file that was there already, and was left alone."""

    source: str
    target: str


class Watcher(Protocol):
    """Who wants to know how far things are."""

    def begin(self, name: str) -> Report:
        """A job has begun; call what comes back as it goes on."""

    def end(self, name: str) -> None:
        """A job has ended, well or not."""


class _Stopped(KeyboardInterrupt):
    """Ctrl-C came while this job ran in another thread."""


def pair(paths: Sequence[str], suffix: str, kinds: frozenset[str]) -> list[Job]:
    """Which files become which, from `INPUT`, `INPUT OUTPUT` or `INPUT INPUT ... FOLDER`.

    An input may be a folder: all files of `kinds` below it. Outputs get `suffix` where the caller names none.
    """
    sources, target = (list(paths[:-1]), paths[-1]) if len(paths) > 1 else (list(paths), None)
    first = sources[0]
    if len(sources) > 1 or Path(first).is_dir():
        jobs = list(_pair_many(sources, target, suffix, kinds))
    elif first == "-":
        jobs = [Job("-", target or "-")]
    elif target is None:
        jobs = [Job(first, str(Path(first).with_suffix(suffix)))]
    elif _is_folder(target):
        jobs = [Job(first, str(Path(target, Path(first).name).with_suffix(suffix)))]
    else:
        jobs = [Job(first, target)]
    _check_clashes(jobs)
    _check_terminal(jobs)
    return jobs


def _pair_many(sources: list[str], target: str | None, suffix: str, kinds: frozenset[str]) -> Iterator[Job]:
    makes_folder = len(sources) == 1 and target is not None and target != "-" and not Path(target).exists()
    if target is None or not (makes_folder or _is_folder(target)):
        what = f"{sources[0]} is a folder" if len(sources) == 1 else f"{len(sources)} inputs were given"
        got = "" if target is None else f", and {target} is none; put a / after the name of a new one"
        raise InputError(f"{what}, so the output has to be a folder too{got}")
    for source in sources:
        place = Path(source)
        if source == "-":
            raise InputError("standard input (-) goes alone; name files and folders in another call")
        found = sorted(below(place, kinds)) if place.is_dir() else [place]
        if not found:
            raise InputError(f"{source} holds no files that end in {' '.join(sorted(kinds))}")
        start = place if place.is_dir() else place.parent
        yield from (Job(str(path), str((target / path.relative_to(start)).with_suffix(suffix))) for path in found)


def below(folder: Path, kinds: Collection[str]) -> Iterator[Path]:
    """Files of `kinds` in `folder`; hidden ones, and those in hidden folders, are other programs' business."""
    return (p for p in folder.rglob("[!.]*") if p.suffix.lower() in kinds and p.is_file() and not _hidden(p, folder))


def _hidden(path: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(folder).parts)


def _is_folder(target: str) -> bool:
    return target.endswith(("/", os.sep)) or Path(target).is_dir()


def _check_clashes(jobs: list[Job]) -> None:
    made: dict[str, str] = {}
    for job in jobs:
        if job.source == job.target != "-":
            raise InputError(f"{job.source} would become itself; name another output, or is it another verb you want?")
        if job.target in made:
            raise InputError(f"{made[job.target]} and {job.source} would both become {job.target}; rename one of them")
        made[job.target] = job.source


def _check_terminal(jobs: list[Job]) -> None:
    """Nobody types a sound file, and nobody reads one."""
    if jobs[0].source == "-" and sys.stdin.isatty():
        raise InputError("standard input is a terminal; send it a file or what another program writes")
    if jobs[0].target == "-" and sys.stdout.isatty():
        raise InputError("standard output is a terminal; send it to a file or another program")


def existing(force: bool, skip: bool) -> Existing:
    """What becomes of a file that is there already, by two options of which one at most makes sense."""
    if force and skip:
        raise InputError("--force writes files that exist once more, --skip leaves them alone; give one of them")
    return "overwrite" if force else "skip" if skip else "refuse"


def due(jobs: Sequence[Job], existing: Existing) -> int:
    """How many of the jobs are to be done."""
    return sum(not _is_done(job, existing) for job in jobs)


def run(
    make: Callable[[str, str, Report], Result],
    jobs: Sequence[Job],
    watcher: Watcher,
    workers: int = 1,
    existing: Existing = "refuse",
) -> list[Result | Failure | Skipped]:
    """`make(source, target, report)` for every job, `workers` at a time, in order; Ctrl-C stops them all cleanly."""
    stop = Event()

    def one(job: Job) -> Result | Failure | Skipped:
        if stop.is_set():
            raise _Stopped
        if _is_done(job, existing):
            return Skipped(job.source, job.target)
        report = watcher.begin(job.source)

        def checked(done: float, whole: float | None) -> None:
            if stop.is_set():
                raise _Stopped
            report(done, whole)

        try:
            _prepare(job, existing)
            return make(job.source, job.target, checked)
        except (NacreError, OSError) as error:
            return Failure(job.source, _explain(error, job), job.target)
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


def _is_done(job: Job, existing: Existing) -> bool:
    """Whether a job may be skipped: a file has its name only when it is whole."""
    return existing == "skip" and job.target != "-" and Path(job.target).is_file()


def _prepare(job: Job, existing: Existing) -> None:
    """Make the folder of a target; refuse one that exists before any work is done for it."""
    if job.target == "-":
        return
    target = Path(job.target)
    if target.exists() and existing != "overwrite":
        raise InputError(f"{target} exists; overwrite it with --force or choose another name")
    target.parent.mkdir(parents=True, exist_ok=True)


def _explain(error: NacreError | OSError, job: Job) -> NacreError:
    """What to tell about `error`; a broken pipe is not told but raised: nobody listens any more."""
    cause = error.__cause__ if isinstance(error, NacreError) else error
    if isinstance(cause, BrokenPipeError):
        raise cause
    if isinstance(error, NacreError):
        return error
    return InputError(f"{error.filename or job.target} cannot be used: {error.strerror or error}")
