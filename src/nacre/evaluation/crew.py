"""Work shared among processes: results as they come, a worker that dies costs only its own job, Ctrl-C ends all."""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import active_children, get_context
from typing import Any, TypeVar

from ..errors import InputError, NacreError

Job = TypeVar("Job")
Result = TypeVar("Result")
Begun = Callable[[Job], None]
Ended = Callable[[Job, Result | NacreError], None]
ONE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")}


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def work(
    function: Callable[[Job], Result], jobs: Sequence[Job], workers: int, begun: Begun[Job], ended: Ended[Job, Result]
) -> None:
    """`function(job)` for every job, `workers` at a time in processes of one thread each.

    Errors of ours are given to `ended` in place of a result; others go up. Jobs in hand when a worker dies are tried
    again alone; one that kills its worker again ends with an error that says so.
    """
    suspects = _round(function, deque(jobs), workers, begun, ended)
    for job in suspects:
        if _round(function, deque([job]), 1, begun, ended):
            died = "the process that measured it died, most likely of too little memory or of a fault in a library"
            ended(job, InputError(f"{died}; try with fewer --workers or leave this clip out"))


def _round(
    function: Callable[[Job], Result], waiting: deque[Job], workers: int, begun: Begun[Job], ended: Ended[Job, Result]
) -> list[Job]:
    """Work until all is done; the jobs in hand whenever a worker died."""
    suspects: list[Job] = []
    while waiting:
        with _pool(min(workers, len(waiting))) as pool:
            hands: dict[Future[Result], Job] = {}
            broken = False
            while hands or (waiting and not broken):
                while waiting and len(hands) < workers and not broken:
                    job = waiting.popleft()
                    begun(job)
                    try:
                        hands[pool.submit(function, job)] = job
                    except BrokenProcessPool:
                        broken = True
                        waiting.appendleft(job)
                done = wait(hands, return_when=FIRST_COMPLETED).done if hands else set()
                for future in done:
                    job = hands.pop(future)
                    try:
                        ended(job, future.result())
                    except BrokenProcessPool:
                        broken = True
                        suspects.append(job)
                    except NacreError as error:
                        ended(job, error)
    return suspects


@contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Processes that end at once when something goes wrong here."""
    before = set(active_children())
    with _environment(ONE_THREAD):
        pool = ProcessPoolExecutor(workers, get_context("spawn"), _settle)
        try:
            yield pool
        except BaseException:
            for process in set(active_children()) - before:
                process.kill()
            raise
        finally:
            pool.shutdown(cancel_futures=True)


def _settle() -> None:
    """Ctrl-C reaches every process of a terminal: the parent decides what becomes of it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Variables that processes started meanwhile inherit."""
    before: dict[str, Any] = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
