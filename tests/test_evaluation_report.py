from __future__ import annotations

import json
from pathlib import Path

import pytest
from small_campaign import METRICS, NAMES, measured

from nacre.evaluation import report
from nacre.evaluation.report import Report, as_markdown, chance, figures, markdown
from nacre.evaluation.summary import summarise
from nacre.evaluation.timing import Timing

for package in ("pystoi", "av"):
    pytest.importorskip(package)


def made() -> Report:
    timing = Timing(
        "pearl-24k", 3.6, 10.0, 20.0, 20.0, 0.001, 0.002, 0.003, 0.0133, 0.0267, 0.5, 1e8, 3_600_000, 1.5e8, 2e8
    )
    return Report(measured(), summarise(measured()), {"pearl-24k": timing, "Opus": Timing("Opus", 3.6, 100.0)})


def test_the_json_holds_every_figure_of_every_clip() -> None:
    found = figures(made())
    json.dumps(found, allow_nan=False)
    clips = {clip["name"]: clip for clip in found["clips"]}
    assert list(clips) == ["a.wav", "b/c.wav", "broken.wav", "d.wav"]
    assert clips["broken.wav"]["failures"] and not clips["broken.wav"]["scores"]
    for name in NAMES:
        scores = [score for score in clips[name]["scores"] if not score["refused"]]
        assert {(s["codec"], s["asked"]) for s in scores} == {(r["label"], r["asked"]) for r in found["rows"]}
        assert all(set(score["figures"]) == set(METRICS) for score in scores)
    for row in found["rows"]:
        values = [
            s["figures"]["stoi"]
            for clip in found["clips"]
            for s in clip["scores"]
            if (s["codec"], s["asked"], s["refused"]) == (row["label"], row["asked"], "")
        ]
        assert row["means"]["stoi"]["mean"] == pytest.approx(sum(values) / 3)
        assert row["means"]["stoi"]["count"] == 3


def test_the_page_of_text_says_what_was_measured_and_what_was_not() -> None:
    text = markdown(made())
    assert text.startswith("# 2 codecs on 3 clips, 4 s of sound\n")
    assert "| codec | kbps | clips | STOI | SI-SDR dB |" in text
    speeds = [line.strip("|").split("|") for line in text.partition("## Speed")[2].partition("##")[0].splitlines()[2:]]
    names, _, *rows = [[cell.strip() for cell in line] for line in speeds if len(line) == 3]
    assert names == ["", "pearl-24k", "Opus"]
    ours = ["20", "20", "10", "0.5", "13.3", "1", "2", "3", "26.7", "100", "3.6", "0.15", "0.2"]
    assert [row[1:] for row in rows] == [[each, "100" if i == 2 else "–"] for i, each in enumerate(ours)]
    assert [rows[i][0] for i in (0, 5, 12)] == [
        "encode, × real time",
        "both ways on a line, ms: median",
        "decode, GMAC/s",
    ]
    assert text.count("- broken.wav: ") == 1
    assert "Opus at 1.5 kbps" in text
    for row in made().summary.rows:
        assert f"{row.means['stoi'].mean:.3f} [" in text


def test_files_are_written_whole(tmp_path: Path) -> None:
    report.write(made(), tmp_path)
    assert json.loads((tmp_path / "report.json").read_text()) == figures(made())
    assert (tmp_path / "report.md").read_text() == markdown(made())
    assert not list(tmp_path.glob(".nacre-*"))


def test_cells_cannot_break_a_table() -> None:
    assert as_markdown([["a", "b"], ["x|y", "<b>\nz"]]).splitlines()[2] == "| x\\|y | \\<b> z |"
    assert (chance(0.0004), chance(0.25)) == ("< 0.001", "0.250")
