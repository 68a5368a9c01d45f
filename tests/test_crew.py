from __future__ import annotations

import os
import time
from collections.abc import Callable
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import pytest

from nacre.errors import InputError, NacreError
from nacre.evaluation import crew


def job(n: int) -> tuple[int, str | None]:
    """Squares; 3 is a mistake, 5 kills its process, always."""
    if n == 3:
        raise InputError("three is not liked")
    if n == 5:
        os._exit(9)
    return n * n, os.environ.get("OMP_NUM_THREADS")


def slow(n: int) -> int:
    time.sleep(60)
    return n


def gather(jobs: list[int], workers: int, function: Callable[[int], Any] = job) -> dict[int, Any]:
    found: dict[int, Any] = {}
    crew.work(function, jobs, workers, lambda n: None, lambda n, result: found.setdefault(n, result))
    return found


def test_each_has_its_result_and_a_mistake_stops_no_other() -> None:
    found = gather([1, 2, 3, 4], 2)
    assert {n: r[0] for n, r in found.items() if n != 3} == {1: 1, 2: 4, 4: 16}
    assert found[1][1] == "1"  # one thread in each
    assert isinstance(found[3], InputError) and str(found[3]) == "three is not liked"


def together(place: str) -> bool:
    """Waits until another job is at work at the same time."""
    Path(place, str(os.getpid())).touch()
    end = time.monotonic() + 120
    while time.monotonic() < end:
        if len(list(Path(place).iterdir())) == 2:
            return True
        time.sleep(0.05)
    return False


def test_workers_work_at_the_same_time(tmp_path: Path) -> None:
    found: list[Any] = []
    crew.work(together, [str(tmp_path)] * 2, 2, lambda _: None, lambda _, result: found.append(result))
    assert found == [True, True]


def test_a_job_that_kills_its_process_is_named_and_stops_no_other() -> None:
    found = gather([1, 5, 2], 2)
    assert isinstance(found[5], NacreError) and "the process that measured it died" in str(found[5])
    assert (found[1][0], found[2][0]) == (1, 4)


def test_ctrl_c_ends_the_processes_at_once() -> None:
    before, begin = set(active_children()), time.monotonic()

    def begun(n: int) -> None:
        if n == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        crew.work(slow, [1, 2], 2, begun, lambda n, result: None)
    assert time.monotonic() - begin < 30
    assert set(active_children()) <= before


def test_nothing_to_do_starts_nothing() -> None:
    assert gather([], 4) == {}
    assert crew.cores() >= 1
