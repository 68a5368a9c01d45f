from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from nacre.batch import CODED, SOUND, Failure, Job, Report, Skipped, due, existing, pair, run
from nacre.errors import DamagedError, InputError


class Watch:
    """Remembers what began and what ended."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.ended: list[str] = []

    def begin(self, name: str) -> Report:
        self.begun.append(name)
        return lambda done, whole: None

    def end(self, name: str) -> None:
        self.ended.append(name)


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_one_file_goes_beside_itself_or_where_it_is_told(tmp_path: Path) -> None:
    talk = str(tmp_path / "talk.v2.wav")
    assert pair([talk], ".nac", SOUND) == [Job(talk, str(tmp_path / "talk.v2.nac"))]
    assert pair([talk, "low.nac"], ".nac", SOUND) == [Job(talk, "low.nac")]
    assert pair([talk, str(tmp_path)], ".nac", SOUND) == [Job(talk, str(tmp_path / "talk.v2.nac"))]
    assert pair([talk, "new/"], ".nac", SOUND) == [Job(talk, "new/talk.v2.nac")]
    assert pair([talk, "-"], ".nac", SOUND) == [Job(talk, "-")]


def test_a_folder_keeps_its_shape_and_other_files_stay_out(tmp_path: Path) -> None:
    a = tmp_path / "a"
    touch(a / "x.wav", a / "deep" / "y.FLAC", a / "notes.txt", a / "old.nac", a / "._x.wav", a / ".trash" / "z.wav")
    b = tmp_path / "b"
    assert pair([str(a), str(b)], ".nac", SOUND) == [
        Job(str(a / "deep" / "y.FLAC"), str(b / "deep" / "y.nac")),
        Job(str(a / "x.wav"), str(b / "x.nac")),
    ]
    assert pair([str(a), str(b)], ".wav", CODED) == [Job(str(a / "old.nac"), str(b / "old.wav"))]


def test_several_inputs_need_a_folder(tmp_path: Path) -> None:
    a, b = tmp_path / "a.wav", tmp_path / "deep" / "b.wav"
    touch(a, b)
    made = pair([str(a), str(b), f"{tmp_path}/out/"], ".nac", SOUND)
    assert made == [Job(str(a), str(tmp_path / "out" / "a.nac")), Job(str(b), str(tmp_path / "out" / "b.nac"))]
    with pytest.raises(InputError, match="2 inputs were given, so the output has to be a folder"):
        pair([str(a), str(b), str(tmp_path / "c.wav")], ".nac", SOUND)
    with pytest.raises(InputError, match="goes alone"):
        pair(["-", str(b), str(tmp_path)], ".nac", SOUND)


def test_a_folder_needs_a_folder_and_something_in_it(tmp_path: Path) -> None:
    touch(tmp_path / "in" / "a.txt", tmp_path / "plain")
    for output in ([], ["-"], [str(tmp_path / "plain")]):
        with pytest.raises(InputError, match="is a folder, so the output has to be a folder too"):
            pair([str(tmp_path / "in"), *output], ".nac", SOUND)
    with pytest.raises(InputError, match=r"holds no files that end in .*\.wav"):
        pair([str(tmp_path / "in"), str(tmp_path / "out")], ".nac", SOUND)


def test_two_files_may_not_become_one(tmp_path: Path) -> None:
    touch(tmp_path / "a.wav", tmp_path / "a.mp3")
    with pytest.raises(InputError, match=r"a\.mp3 and .*a\.wav would both become .*a\.nac"):
        pair([str(tmp_path), str(tmp_path / "out")], ".nac", SOUND)


def jobs_in(folder: Path, count: int) -> list[Job]:
    return [Job(f"in{i}", str(folder / "new" / f"out{i}")) for i in range(count)]


@pytest.mark.parametrize("workers", [1, 3])
def test_results_come_in_order_and_a_failure_stops_no_other(tmp_path: Path, workers: int) -> None:
    def make(source: str, target: str, report: Report) -> str:
        if source == "in2":
            raise DamagedError("broken")
        if source == "in3":
            raise PermissionError(13, "Permission denied", target)
        report(1.0, None)
        Path(target).write_text(source)
        return source

    watch = Watch()
    found = run(make, jobs_in(tmp_path, 6), watch, workers)
    assert [each for each in found if not isinstance(each, Failure)] == ["in0", "in1", "in4", "in5"]
    damaged, refused = (each for each in found if isinstance(each, Failure))
    assert (damaged.source, str(damaged.error), damaged.error.exit_code) == ("in2", "broken", 2)
    assert "out3 cannot be used: Permission denied" in str(refused.error) and refused.error.exit_code == 1
    assert sorted(watch.begun) == sorted(watch.ended) == [f"in{i}" for i in range(6)]
    assert (tmp_path / "new" / "out5").read_text() == "in5"


def test_files_that_exist_are_not_touched_unless_told(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.write_text("precious")
    make: Callable[[str, str, Report], int] = lambda source, target, report: Path(target).write_text("new")  # noqa: E731
    (refused,) = run(make, [Job("a", str(target))], Watch())
    assert isinstance(refused, Failure) and "exists; overwrite it with --force" in str(refused.error)
    assert target.read_text() == "precious"
    assert run(make, [Job("a", str(target))], Watch(), existing="overwrite") == [3]
    assert target.read_text() == "new"


@pytest.mark.parametrize("workers", [1, 2])
def test_files_that_exist_are_skipped_when_told(tmp_path: Path, workers: int) -> None:
    there, folder, missing = (tmp_path / name for name in ("there", "folder", "missing"))
    there.write_text("precious")
    folder.mkdir()
    jobs = [Job("a", str(there)), Job("b", str(missing)), Job("c", str(folder))]
    make: Callable[[str, str, Report], int] = lambda source, target, report: Path(target).write_text("new")  # noqa: E731
    watch = Watch()
    assert (due(jobs, "skip"), due(jobs, "refuse"), due([Job("-", "-")], "skip")) == (2, 3, 1)
    skipped, made, refused = run(make, jobs, watch, workers, "skip")
    assert skipped == Skipped("a", str(there)) and made == 3
    assert isinstance(refused, Failure)  # a folder of that name is no file that was finished
    assert sorted(watch.begun) == sorted(watch.ended) == ["b", "c"]
    assert there.read_text() == "precious"


def test_what_becomes_of_a_file_that_exists() -> None:
    assert [existing(False, False), existing(True, False), existing(False, True)] == ["refuse", "overwrite", "skip"]
    with pytest.raises(InputError, match="give one of them"):
        existing(True, True)


def test_nothing_becomes_itself(tmp_path: Path) -> None:
    touch(tmp_path / "a.wav", tmp_path / "in" / "b.wav")
    for paths in ([str(tmp_path / "a.wav")], [str(tmp_path / "in"), str(tmp_path / "in")]):
        with pytest.raises(InputError, match=r"\.wav would become itself; name another output"):
            pair(paths, ".wav", SOUND)
    assert pair(["-"], ".nac", SOUND) == [Job("-", "-")]


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    (refused,) = run(lambda *job: 0, [Job("a", str(tmp_path / "plain" / "b.nac"))], Watch())
    assert isinstance(refused, Failure) and "plain cannot be used" in str(refused.error)


@pytest.mark.parametrize("workers", [1, 2])
def test_nobody_listening_ends_everything(tmp_path: Path, workers: int) -> None:
    def make(source: str, target: str, report: Report) -> None:
        raise InputError("standard output cannot be written: Broken pipe") from BrokenPipeError(32, "Broken pipe")

    with pytest.raises(BrokenPipeError):
        run(make, jobs_in(tmp_path, 2), Watch(), workers)


def test_an_interrupt_stops_those_who_work_and_begins_no_more(tmp_path: Path) -> None:
    started, tidied = threading.Barrier(2), threading.Event()

    def make(source: str, target: str, report: Report) -> None:
        if source == "in0":
            started.wait(10)
            raise KeyboardInterrupt
        started.wait(10)
        try:
            for _ in range(1000):
                report(0.0, None)
                threading.Event().wait(0.01)
        finally:
            tidied.set()

    watch = Watch()
    with pytest.raises(KeyboardInterrupt):
        run(make, jobs_in(tmp_path, 50), watch, workers=2)
    assert tidied.is_set()
    assert len(watch.begun) < 10 and sorted(watch.begun) == sorted(watch.ended)
