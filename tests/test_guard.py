"""Signals, readers who leave and errors, on the command line as a process of its own."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer

from nacre.audio import write
from nacre.cli.guard import STOPPED, Stop, guarded
from nacre.errors import DamagedError

NACRE = [sys.executable, "-m", "nacre"]


def noise(samples: int) -> np.ndarray:
    return np.random.default_rng(samples).normal(0, 0.1, (1, 1, samples)).astype(np.float32)


def raising(error: BaseException) -> Callable[[], None]:
    def command() -> None:
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (DamagedError("it is cut short"), 2, "nacre: it is cut short"),
        (
            typer.BadParameter("Such a  thing\nis unknown."),
            1,
            "nacre: invalid value: Such a thing is unknown; see nacre --help",
        ),
        (KeyboardInterrupt(), STOPPED, "nacre: stopped; what was finished stays, nothing half-written does"),
        (typer.Abort(), STOPPED, "nacre: stopped; what was finished stays, nothing half-written does"),
        (OSError(28, "No space left on device"), 1, "nacre: the output cannot be written: No space left on device"),
        (PermissionError(13, "Permission denied", "a.png"), 1, "nacre: a.png cannot be used: Permission denied"),
    ],
)
def test_errors_become_a_sentence_and_a_code(
    capsys: pytest.CaptureFixture[str], error: BaseException, code: int, sentence: str
) -> None:
    assert guarded(raising(error)) == code
    assert capsys.readouterr().err == sentence + "\n"


def test_results_that_are_numbers_are_codes() -> None:
    assert [guarded(lambda result=result: result) for result in (0, 2, None, "text")] == [0, 2, 0, 0]  # type: ignore[misc]


def test_a_defect_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        guarded(lambda: 1 // 0)
    with pytest.raises(SystemExit):
        guarded(raising(SystemExit(3)))


def test_a_signal_while_a_compiled_module_loads_is_a_signal(capsys: pytest.CaptureFixture[str]) -> None:
    failed = ImportError("initialization failed")  # as onnxruntime says it
    failed.__cause__ = KeyboardInterrupt()
    assert guarded(raising(failed)) == STOPPED
    assert capsys.readouterr().err.startswith("nacre: stopped")
    with pytest.raises(ImportError):
        guarded(raising(ImportError("no module")))


@pytest.mark.parametrize("words", [("decode", "long.nac", "-"), ("encode", "long.wav", "-"), ("info", "long.nac")])
def test_a_reader_who_leaves_is_no_error(tmp_path: Path, words: tuple[str, ...]) -> None:
    write(tmp_path / "long.wav", noise(20 * 24000), 24000)
    if "long.nac" in words:
        subprocess.run([*NACRE, "encode", "long.wav", "-q"], cwd=tmp_path, check=True)
    process = subprocess.Popen([*NACRE, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.read(4)
    process.stdout.close()
    with process.stderr as errors:
        said = errors.read()
    assert process.wait(60) == 0
    assert b"rror" not in said and b"nacre:" not in said


def wait_for(process: subprocess.Popen[bytes], what: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not what():
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.02)


def parts(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.name.startswith(".")]


def start(folder: Path, *words: str, **how: Any) -> subprocess.Popen[bytes]:
    """`nacre WORDS` that signals can reach even where this test runs in the background, or under nohup."""
    return subprocess.Popen([*NACRE, *words], cwd=folder, stderr=subprocess.PIPE, preexec_fn=listen_to_signals, **how)


def listen_to_signals() -> None:
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_leave_no_half_file(tmp_path: Path, number: signal.Signals) -> None:
    words = ("encode", "-", "a.nac", "--pcm", "s16le:24000")
    with start(tmp_path, *words, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stderr is not None
        process.stdin.write(bytes(5 * 48000))
        process.stdin.flush()
        wait_for(process, lambda: bool(parts(tmp_path)))
        process.send_signal(number)
        process.send_signal(number)  # twice, as people do
        assert process.stderr.read() == b"nacre: stopped; what was finished stays, nothing half-written does\n"
        assert process.wait(60) == 130
        process.stdin.close()
    assert os.listdir(tmp_path) == []


def test_a_signal_while_an_mp3_comes_in_ends_it_in_order(tmp_path: Path) -> None:
    write(tmp_path / "a.mp3", noise(20 * 24000), 24000)
    with start(tmp_path, "encode", "-", "a.nac", stdin=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stderr is not None
        process.stdin.write((tmp_path / "a.mp3").read_bytes())
        process.stdin.flush()  # and more may come: a thread waits for it
        wait_for(process, lambda: bool(parts(tmp_path)))
        process.send_signal(signal.SIGTERM)
        assert process.stderr.read() == b"nacre: stopped; what was finished stays, nothing half-written does\n"
        assert process.wait(60) == 130
        process.stdin.close()
    assert os.listdir(tmp_path) == ["a.mp3"]


@pytest.mark.parametrize("verb", ["encode", "decode"])
def test_signals_stop_all_workers(tmp_path: Path, verb: str) -> None:
    (tmp_path / "in").mkdir()
    write(tmp_path / "a.wav", np.zeros((1, 1, 8000 * 300), np.float32), 8000)
    source, done = tmp_path / "a.wav", ".nac"
    if verb == "decode":
        subprocess.run([*NACRE, "encode", "a.wav", "-q"], cwd=tmp_path, check=True)
        source, done = tmp_path / "a.nac", ".wav"
    for i in range(3):
        os.link(source, tmp_path / "in" / f"{i}{source.suffix}")
    with start(tmp_path, verb, "in", "out", "--workers", "2") as process:
        wait_for(process, lambda: len(parts(tmp_path)) == 2)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 130
    assert parts(tmp_path) == []
    finished = list((tmp_path / "out").iterdir())  # before the signal came, on a busy machine
    assert len(finished) < 3
    subprocess.run([*NACRE, verb, "a" + source.suffix, "whole" + done], cwd=tmp_path, check=True)
    assert all(path.read_bytes() == (tmp_path / f"whole{done}").read_bytes() for path in finished)


def test_an_interrupt_while_nacre_loads_shows_no_traceback() -> None:
    code = (
        "import os, signal, sys\n"
        "from nacre.__main__ import main\n"
        "class Slow:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'nacre.cli': os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Slow())\n"
        "main()\n"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, preexec_fn=listen_to_signals)
    assert (said.returncode, said.stdout, said.stderr) == (-signal.SIGINT, b"", b"")  # a shell says 130


@pytest.mark.parametrize("words", [("encode", "long.wav", "a.nac"), ("decode", "short.nac", "a.wav")])
def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path, words: tuple[str, ...]) -> None:
    write(tmp_path / "long.wav", noise(20 * 24000), 24000)
    subprocess.run([*NACRE, "encode", "long.wav", "short.nac", "-qb", "1.35k"], cwd=tmp_path, check=True)
    most = (6000, 6000)  # bytes that a file may have
    said = subprocess.run(
        [*NACRE, *words],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, most),
    )
    assert said.returncode == 1
    assert said.stderr.count(b"\n") == 1 and b"File too large" in said.stderr
    assert sorted(os.listdir(tmp_path)) == ["long.wav", "short.nac"]


def test_repeated_signals_do_not_disturb_the_tidying_up() -> None:
    stop = Stop()
    with pytest.raises(KeyboardInterrupt):
        stop(2, None)
    stop(2, None)
    stop._last -= 2
    with pytest.raises(KeyboardInterrupt):
        stop(2, None)
