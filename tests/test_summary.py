from __future__ import annotations

import pytest
from small_campaign import METRICS, measured

from nacre.evaluation.campaign import Campaign, Entrant, Plan
from nacre.evaluation.intervals import bootstrap
from nacre.evaluation.paired import compare
from nacre.evaluation.scores import Clip, Results, Score
from nacre.evaluation.summary import scores_of, summarise, worst
from nacre.evaluation.systems import Setting

for package in ("pystoi", "av"):
    pytest.importorskip(package)


def made_up(figures: dict[str, list[float]], clips: int = 4) -> Campaign:
    """Codecs by label with a figure a clip, all at 1000 bit/s."""
    setting = Setting(1000, 1)
    named = [Clip("", f"{i}.wav", str(i)) for i in range(clips)]
    entrants = [
        Entrant(label, label, "", label != "ours", [setting], {
            clip.key: Results(2.0, 8000, {setting.key: Score(250, figures={"si_sdr": value})})
            for clip, value in zip(named, values, strict=True)
        })
        for label, values in figures.items()
    ]  # fmt: skip
    return Campaign(Plan((), (), ""), ("si_sdr",), named, entrants)


def test_rows_are_means_over_clips_and_bits_over_seconds() -> None:
    (row,) = summarise(made_up({"theirs": [1.0, 2.0, 3.0, 6.0]})).rows
    assert row.kbps == 1.0
    assert row.means["si_sdr"] == bootstrap([1.0, 2.0, 3.0, 6.0])
    assert row.clips == 4


def test_tests_pair_clips_and_are_corrected() -> None:
    ours, other, third = [3.0, 4.0, 5.0, 7.0], [1.0, 2.0, 3.0, 4.0], [0.0, 0.0, 0.0, 0.0]
    tests = summarise(made_up({"a": ours, "b": other, "c": third})).tests
    assert [(t.first, t.second) for t in tests] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert tests[0].paired.p == compare(ours, other).p == 2 / 16
    assert [t.paired.p_holm for t in tests] == [3 / 8] * 3
    assert summarise(made_up({"a": [1.0, 2.0], "b": [2.0, 3.0]}, 2)).tests == []


def test_a_bitrate_that_few_clips_come_near_has_no_row() -> None:
    """The clips that a codec takes fewest bits for are not like the others."""
    found = made_up({"a": [1.0, 2.0, 3.0, 4.0], "b": [1.0, 2.0, 3.0, 4.0]})
    for key in ("0", "1", "2"):
        (score,) = found.entrants[1].results[key].scores.values()
        score.refused = "b comes no nearer"
    summary = summarise(found)
    assert [row.label for row in summary.rows] == ["a"] and summary.tests == []
    assert found.notes == ["b at 1 kbps: b comes no nearer (so on 3 of 4 clips)"]
    (score,) = found.entrants[1].results["0"].scores.values()
    score.refused = ""
    assert [row.clips for row in summarise(found).rows] == [4, 2]


def test_infinite_figures_are_left_out_of_tests() -> None:
    inf = float("inf")
    (test,) = summarise(made_up({"a": [inf, 1.0, 2.0, 3.0], "b": [0.0, 0.0, 0.0, 0.0]})).tests
    assert test.paired.difference.count == 3


def test_the_worst_clips_of_ours_come_first() -> None:
    found = made_up({"ours": [5.0, 1.0, 9.0, 3.0], "theirs": [0.0, 9.0, 1.0, 2.0]})
    assert worst(found, "si_sdr") == ["1.wav", "3.wav", "0.wav", "2.wav"]


def test_a_real_campaign_adds_up() -> None:
    found = measured()
    summary = summarise(found)
    for row in summary.rows:
        entrant = next(e for e in found.entrants if e.label == row.label)
        scores = scores_of(found, entrant, row.asked)
        bits = sum(8 * s.bytes for s in scores.values())
        assert row.kbps == pytest.approx(bits / 3.6 / 1000)
        assert set(row.means) == set(METRICS)
    assert {row.label for row in summary.rows} == {"pearl-24k", "Opus"}
    assert len(summary.levels["pearl-24k"]) == 8 and summary.levels["pearl-24k"][0].codes > 250
    assert any("Opus at 1.5 kbps" in note for note in found.notes)
    assert worst(found, "stoi")[-1] == "broken.wav"
