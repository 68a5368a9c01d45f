"""The verbs that train and measure; test_cli_evaluate.py has what `evaluate` prints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nacre import cli
from nacre.audio import read
from nacre.cli.display import speed_rows
from nacre.errors import InputError
from nacre.evaluation.speed import Speed
from nacre.models import SAMPLE

Captured = pytest.CaptureFixture[str]
SPEED = Speed(0.2, 170.4, 90.6, 0.003, 0.004, 0.0051, 1 / 75, 0.026667)


def call(*words: str | Path) -> int:
    """The exit code of `nacre WORDS`, run in this process."""
    return cli.run([str(word) for word in words])


def test_speeds_have_units() -> None:
    rows = dict(speed_rows(SPEED))
    assert rows["encode"] == "170 x real time" and rows["  99 of 100"] == "5.10 ms"
    assert rows["algorithmic latency"] == "26.7 ms"


def test_bench_times_as_many_threads_as_asked(monkeypatch: pytest.MonkeyPatch, capfd: Captured) -> None:
    from nacre.evaluation import speed

    told: list[int] = []
    monkeypatch.setattr(speed, "measure", lambda make, wave: told.append(make().threads) or SPEED)
    assert call("bench", "--threads", "2") == call("bench") == 0
    assert told == [2, 1]


def test_train_makes_a_codec_that_codes(tmp_path: Path, capfd: Captured) -> None:
    from small_run import make_sound, small_recipe

    recipe, sounds = tmp_path / "tiny.toml", make_sound(tmp_path / "sounds")
    recipe.write_text(small_recipe("steps=2", "adversarial_start=1.0").to_toml())
    weights = tmp_path / "weights"
    assert call("train", recipe, "--data", sounds, "--out", tmp_path / "run", "--weights", weights, "-q") == 0
    assert call("encode", sounds / "0.wav", tmp_path / "a.nac", "--model", weights) == 0
    assert call("decode", tmp_path / "a.nac", tmp_path / "a.wav", "--model", weights) == 0
    assert read(tmp_path / "a.wav").samples.shape == read(sounds / "0.wav").samples.shape
    capfd.readouterr()
    assert call("train", recipe) == 1
    assert "name a folder, a list or .tar shards with --data" in capfd.readouterr().err


def test_all_the_minutes_go_to_the_stages_that_run(monkeypatch: pytest.MonkeyPatch) -> None:
    from nacre.training import run

    told: list[float] = []
    monkeypatch.setattr(run, "train", lambda stages, *_, **__: told.extend(stage.minutes for stage in stages))
    assert call("train", "audiodec-48k-sym", "--data", "sounds", "--minutes", "30") == 0
    assert call("train", "audiodec-48k-sym", "--data", "sounds", "--minutes", "30", "--stage", "2") == 0
    assert told == [15, 15, 30]


def test_each_recipe_has_a_folder_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    from nacre.training import run

    told: list[str] = []
    monkeypatch.setattr(run, "train", lambda stages, data, out, **_: told.append(out))
    assert call("train", "audiodec-48k-sym", "--data", "sounds") == 0
    assert call("train", "nac-2023", "--data", "sounds", "--out", "here") == 0
    assert told == ["runs/audiodec-48k-sym", "here"]


def test_train_is_told_every_option(monkeypatch: pytest.MonkeyPatch) -> None:
    from nacre.training import run

    told: list[Any] = []
    monkeypatch.setattr(run, "train", lambda *a, **k: told.append((a, k)))
    sound = ("--data", "s", "--exclude", "x", "--background", "n", "--validation", "v", "--cache", "c")
    words = ("train", "nac-2023", *sound, "--set", "steps=7", "--out", "o")
    assert call(*words, "--from", "w", "--scale", "small", "--weights", "z", "--resume", "-q") == 0
    assert call(*words, "--exclude", "y", "--set", "batch=3") == 0
    (first, rest), (second, plain) = told
    assert first == (
        run.stages_for("nac-2023", ["steps=7"], scale="small"),
        run.Data(["s"], ["x"], "n", "v", Path("c")),
        "o",
    )
    assert rest == {"resume": True, "start": "w", "weights": "z", "show": False}
    assert second[0] == run.stages_for("nac-2023", ["steps=7", "batch=3"]) and second[1].exclude == ["x", "y"]
    assert plain == {"resume": False, "start": None, "weights": None, "show": True}


def test_evaluate_is_told_every_option(monkeypatch: pytest.MonkeyPatch, capfd: Captured) -> None:
    from nacre.evaluation import report
    from nacre.evaluation.campaign import BITRATES, Plan

    told: list[tuple[Plan, bool]] = []

    def make(plan: Plan, watcher: object, timed: bool) -> None:
        told.append((plan, timed))
        raise InputError("enough")

    monkeypatch.setattr(report, "make", make)
    words = ("evaluate", "pearl-24k", "opus", "--data", SAMPLE)
    more = ("--bitrates", "2k", "--out", "o", "--metrics", "stoi,si_sdr", "--bitrate-matched", "--rate", "16000")
    assert call(*words, *more, "--clips", "3", "--workers", "2", "--no-speed") == call(*words) == 1
    assert capfd.readouterr().err == 2 * "nacre: enough\n"
    asked = dict(matched=True, sample_rate=16_000, workers=2, clips=3)
    codecs, data = ("pearl-24k", "opus"), (str(SAMPLE),)
    assert told == [
        (Plan(codecs, data, "o", (2_000,), ("stoi", "si_sdr"), **asked), False),
        (Plan(codecs, data, "report", BITRATES), True),
    ]
