"""`nacre evaluate` as people call it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from small_campaign import NAMES, make_clips

from nacre import cli

pytest.importorskip("pystoi")


def test_clips_in_a_report_out_and_the_broken_one_named(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    data, out = make_clips(tmp_path / "clips"), tmp_path / "out"
    words = ["evaluate", "pearl-24k", "--data", str(data), "--bitrates", "1.5k,6k", "--metrics", "stoi", "-o", str(out)]
    assert cli.run([*words, "--no-speed"]) == 2  # damaged input; what could be measured was
    said = capfd.readouterr()
    assert said.err == "nacre: broken.wav: " + str(data / "broken.wav") + " was cut short: its end is missing\n"
    assert said.out.splitlines()[0].split() == ["codec", "kbps", "clips", "STOI"]
    assert said.out.splitlines()[-1] == f"1 codec on {len(NAMES)} clips, 4 s of sound; look at {out / 'report.html'}"
    assert {"report.html", "report.json", "report.md"} <= {path.name for path in out.iterdir()}
    assert cli.run([*words, "--no-speed", "--json"]) == 2
    found = json.loads(capfd.readouterr().out)
    assert [row["asked"] for row in found["rows"]] == [1500, 6000]


@pytest.mark.skipif(not os.path.exists("/proc/self/mem"), reason="a Linux file that opens and cannot be read")
def test_a_clip_that_the_system_does_not_give_counts_as_failed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data = make_clips(tmp_path / "clips", 0.4)
    (data / "broken.wav").unlink()
    words = ["evaluate", "pearl-24k", "--data", str(data), "--bitrates", "6k", "--metrics", "si_sdr", "--no-speed"]
    assert cli.run([*words, "-o", str(tmp_path / "whole")]) == 0
    assert capfd.readouterr().err == ""
    (data / "c.wav").symlink_to("/proc/self/mem")
    assert cli.run([*words, "-o", str(tmp_path / "out")]) == 2
    expected = f"nacre: {data / 'c.wav'} cannot be read: Input/output error; it was left out\n"
    assert capfd.readouterr().err == expected


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nosuch", "--data", "."], "no codec 'nosuch'"),
        (["pearl-24k", "--data", "nowhere"], "nowhere is not there"),
        (["pearl-24k", "--data", ".", "--metrics", "pseq"], "no metric 'pseq'"),
        (["pearl-24k", "--data", ".", "--bitrates", "fast"], "a bitrate looks like 1.35k"),
    ],
)
def test_mistakes_are_told_in_a_sentence(
    words: list[str], said: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(make_clips(tmp_path / "clips", 0.2))
    assert cli.run(["evaluate", *words]) == 1
    assert capfd.readouterr().err.startswith(f"nacre: {said}")


@pytest.mark.slow
def test_ctrl_c_leaves_what_is_finished(tmp_path: Path) -> None:
    data, out = make_clips(tmp_path / "clips"), tmp_path / "out"
    words = ["evaluate", "pearl-24k", "--data", str(data), "-o", str(out), "-j2", "--metrics", "stoi", "--no-speed"]
    words += ["--bitrates", "3k"]
    process = subprocess.Popen([sys.executable, "-m", "nacre", *words], stderr=subprocess.PIPE, start_new_session=True)
    while not list(out.glob("results/*/*.json")):
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does it: to all of the group
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130 and b"stopped; what was finished stays" in said and b"Traceback" not in said
    done = {path: path.stat().st_mtime_ns for path in out.glob("results/*/*.json")}
    assert cli.run(words) == 2
    assert {path: path.stat().st_mtime_ns for path in done} == done
    assert len(list(out.glob("results/*/*.json"))) == len(NAMES)
