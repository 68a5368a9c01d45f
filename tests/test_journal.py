"""What a run tells can be read by machines, heard, seen, and goes on after a kill as if there had been none."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from nacre.training.journal import METRICS, TENSORBOARD, Bar, Journal, Meter, clock, headline, kept_lines


def read(run: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (run / METRICS).read_text().splitlines()]


def test_a_meter_is_the_mean_of_what_it_saw() -> None:
    meter = Meter()
    meter.add({"a": torch.tensor(1.0, requires_grad=True), "b": 5.0})
    meter.add({"a": torch.tensor(3.0)})
    assert meter.means() == {"a": 2.0, "b": 5.0}
    assert meter.means() == {}


def test_a_meter_survives_to_the_last_bit() -> None:
    values = [0.1, 1 / 3, 1e-8, 7.7]
    whole, first = Meter(), Meter()
    for value in values:
        whole.add({"x": value, "y": torch.tensor(value)})
    for value in values[:2]:
        first.add({"x": value, "y": torch.tensor(value)})
    second = Meter()
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    for value in values[2:]:
        second.add({"x": value, "y": torch.tensor(value)})
    assert second.means() == whole.means()


def test_a_meter_keeps_what_is_no_number() -> None:
    meter, other = Meter(), Meter()
    meter.add({"x": math.nan})
    other.load_state_dict(json.loads(json.dumps(meter.state_dict(), allow_nan=False)))
    assert math.isnan(other.means()["x"])


def test_rows_are_lines_of_json_and_scalars(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.row({"step": 1, "mel": 0.5, "perplexity": [3.0, 4.0], "bad": math.nan})
    journal.warn(1, "a level – the second – has collapsed")
    journal.close()
    assert read(tmp_path) == [
        {"step": 1, "mel": 0.5, "perplexity": [3.0, 4.0], "bad": None},
        {"step": 1, "warning": "a level – the second – has collapsed"},
    ]
    events = EventAccumulator(str(tmp_path / TENSORBOARD)).Reload()
    assert {"mel", "perplexity/1", "perplexity/2"} <= set(events.Tags()["scalars"])
    assert events.Scalars("perplexity/2")[0].value == 4.0


def test_sounds_can_be_heard_and_seen(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    wave = np.random.default_rng(0).normal(0, 0.1, (2, 1, 4000)).astype(np.float32)
    for step in (10, 20):
        journal.sounds(step, wave, 0.5 * wave, 8000)
    journal.close()
    events = EventAccumulator(str(tmp_path / TENSORBOARD)).Reload()
    assert set(events.Tags()["audio"]) == {"coded/0", "coded/1", "original/0", "original/1"}
    assert [event.step for event in events.Images("spectrogram/1")] == [10, 20]
    assert len(events.Audio("original/0")) == 1
    picture = events.Images("spectrogram/0")[0]
    assert (picture.width, picture.height) == (400, 2 * 128 + 8)


def test_what_came_after_the_checkpoint_is_forgotten(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    for step in (1, 2, 3, 4):
        journal.row({"step": step})
    journal.close()
    with (tmp_path / METRICS).open("a") as file:
        file.write('{"step": 5, "mel": 0.')  # killed in the middle of a line
    assert len(list(kept_lines(tmp_path / METRICS, 9))) == 4
    resumed = Journal(tmp_path, step=2)
    resumed.row({"step": 3, "again": True})
    resumed.close()
    assert read(tmp_path) == [{"step": 1}, {"step": 2}, {"step": 3, "again": True}]


def test_other_processes_say_nothing(tmp_path: Path) -> None:
    journal = Journal(None)
    journal.row({"step": 1, "mel": 0.5})
    journal.warn(1, "x")
    journal.sounds(1, np.zeros((1, 1, 10), np.float32), np.zeros((1, 1, 10), np.float32), 8000)
    journal.bar.advance(0.5)
    journal.close()
    assert list(tmp_path.iterdir()) == []


def test_a_pipe_gets_plain_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    journal = Journal(tmp_path, bar=Bar(show=True))
    journal.row({"step": 7, "mel": 0.5})
    journal.warn(7, "look [here]")
    journal.close()
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "step 7  mel 0.500\nstep 7: look [here]\n"


def test_the_headline_holds_the_figures_that_matter() -> None:
    row = {"step": 50, "mel": 0.51, "log_snr": -0.2, "adversarial": 0.9, "perplexity": [300.0, 400.4], "lr": 1e-3}
    speed = {"steps_per_second": 1.25, "wait_share": 0.04}
    assert headline(row | speed) == (
        "step 50  mel 0.510  log_snr -0.200  adversarial 0.900  perplexity 300–400  1.25 steps/s, waiting 4%"
    )
    assert headline({"step": 3, "validation/mel": 0.5}) == "step 3  validation/mel 0.500"


def test_lengths_of_time_are_told_in_two_units() -> None:
    assert [clock(s) for s in (0.4, 45, 60, 725, 3599.9, 7395)] == [
        "0 s",
        "45 s",
        "1 min 0 s",
        "12 min 5 s",
        "1 h 0 min",
        "2 h 3 min",
    ]


def test_a_line_says_what_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    Bar(show=True).show({"step": 50, "progress": 0.25, "seconds": 100.0, "mel": 1.0})
    assert capsys.readouterr().err.strip() == "step 50  mel 1.000  25%, 5 min 0 s left"


def test_decoding_is_told_by_tenths(capsys: pytest.CaptureFixture[str]) -> None:
    bar = Bar(show=True)
    for done in range(1, 101):
        bar.decoding(done, 100)
    lines = capsys.readouterr().err.split("\n")[:-1]
    assert lines == [f"decoded {tenth} %" for tenth in range(10, 101, 10)]
