from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_campaign import measured
from speech import RATE, speech

from nacre.audio import read, write
from nacre.container import nac
from nacre.errors import InputError
from nacre.evaluation import scores
from nacre.evaluation.campaign import job_of
from nacre.evaluation.metrics import METRICS, align
from nacre.evaluation.scores import Clip, Job, Score, known, plain
from nacre.evaluation.systems import Setting

for package in ("pystoi", "av"):
    pytest.importorskip(package)


def job(tmp_path: Path, **others: object) -> Job:
    write(tmp_path / "x.wav", speech(1.0)[None], RATE, overwrite=True)
    clip = Clip(str(tmp_path / "x.wav"), "x.wav", "x-1")
    return replace(
        Job(clip, "pearl-24k", "pearl-24k", "d", (Setting(1500, 2),), ("si_sdr", "stoi"), str(tmp_path / "out")),
        **others,
    )


def test_figures_are_those_of_the_file_that_is_kept() -> None:
    found = measured()
    ours, clip = found.entrants[0], found.clips[0]
    one = job_of(found, ours, clip)
    for setting in one.settings:
        score = ours.results[clip.key].scores[setting.key]
        file = one.place("coded", setting, ".nac")
        assert file.stat().st_size == score.bytes
        assert len(nac.read(file).levels) == setting.levels
        heard = read(one.place("sounds", setting, ".flac")).samples[0, 0]
        original = read(one.original).samples[0, 0]
        assert len(heard) == len(original)
        pair = align(original, heard, RATE)
        assert (pair.delay, pair.gain) == (0, pytest.approx(1, abs=2e-3))
        assert METRICS["si_sdr"].function(pair.reference, pair.estimate, RATE) == pytest.approx(
            score.figures["si_sdr"], abs=0.05
        )


def test_a_metric_that_refuses_a_clip_says_why(tmp_path: Path) -> None:
    write(tmp_path / "x.wav", speech(1.0)[None, ::4].copy(), RATE // 4)
    results = scores.measure(job(tmp_path, sample_rate=6000, sounds=False))
    (score,) = results.scores.values()
    assert "expected sound at 10000 Hz or more, got 6000 Hz" in score.silent["stoi"]
    assert results.sample_rate == 6000 and "si_sdr" in score.figures


def test_a_persons_own_metric_may_give_no_number(tmp_path: Path) -> None:
    (tmp_path / "fussy.py").write_text("def score(reference, estimate, sample_rate):\n    return float('nan')\n")
    name = f"fussy={tmp_path / 'fussy.py'}"
    (score,) = scores.measure(job(tmp_path, metrics=(name, "si_sdr"), sounds=False)).scores.values()
    assert score.silent == {name: "fussy gave no number"}
    assert [*score.figures] == ["si_sdr"]


def test_a_persons_own_metric_may_fail_on_a_clip_and_is_tried_again(tmp_path: Path) -> None:
    lines = ["from pathlib import Path", "def score(reference, estimate, sample_rate):"]
    lines += [f"    return float(Path({str(tmp_path / 'weight')!r}).read_text())"]
    (tmp_path / "fussy.py").write_text("\n".join(lines))
    name = f"fussy={tmp_path / 'fussy.py'}"
    one = job(tmp_path, metrics=(name, "si_sdr"), sounds=False)
    (score,) = scores.measure(one).scores.values()
    assert score.failed[name].startswith("fussy failed: FileNotFoundError: ") and not score.silent
    assert [*score.figures] == ["si_sdr"]
    (tmp_path / "weight").write_text("1.5")
    (score,) = scores.measure(one).scores.values()
    assert score.figures[name] == 1.5 and not score.failed


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b'{"version": 0}', b"\xff"])
def test_a_damaged_file_of_results_counts_as_none(tmp_path: Path, content: bytes) -> None:
    one = job(tmp_path)
    one.file.parent.mkdir(parents=True)
    one.file.write_bytes(content)
    assert known(one).scores == {}


def test_silence_and_nothing_are_refused(tmp_path: Path) -> None:
    one = job(tmp_path)
    write(one.clip.path, np.zeros((1, 2400), np.float32), RATE, overwrite=True)
    with pytest.raises(InputError, match="the clip is silent, so there is nothing to compare"):
        scores.measure(one)


def test_an_hour_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scores, "LONGEST", 0.5)
    with pytest.raises(InputError, match=r"longer than 0\.5 s"):
        scores.measure(job(tmp_path))


def test_infinities_survive_json(tmp_path: Path) -> None:
    data = {"a": [float("inf"), -float("inf"), 1.5], "b": {"c": float("nan"), "d": "x", "e": True}}
    assert plain(data) == {"a": ["inf", "-inf", 1.5], "b": {"c": "nan", "d": "x", "e": True}}
    scores.save(tmp_path / "new" / "x.json", data)
    assert json.loads((tmp_path / "new" / "x.json").read_text())["a"][0] == "inf"
    assert scores._score({"figures": {"si_sdr": "inf"}}) == Score(figures={"si_sdr": float("inf")})
