from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from small_campaign import METRICS, NAMES, Watcher, make_clips, measured
from speech import RATE, speech

from nacre.audio import write
from nacre.errors import InputError, MissingError
from nacre.evaluation import campaign
from nacre.evaluation.campaign import Plan, choose_metrics, find_clips, run, size
from nacre.evaluation.scores import Results

for package in ("pystoi", "av"):
    pytest.importorskip(package)


def scores(found: campaign.Campaign) -> dict[str, dict[str, Results]]:
    return {entrant.label: entrant.results for entrant in found.entrants}


def test_every_clip_has_every_figure_and_the_broken_one_is_named() -> None:
    found = measured()
    assert [clip.name for clip in found.clips] == ["a.wav", "b/c.wav", "broken.wav", "d.wav"]
    for entrant in found.entrants:
        assert len(entrant.results) == len(NAMES)
        for results in entrant.results.values():
            good = [score for score in results.scores.values() if not score.refused]
            assert good and all(set(score.figures) == set(METRICS) for score in good)
    assert set(found.failures) == {"broken.wav"}
    assert set(found.failures["broken.wav"]) == {"pearl-24k", "Opus"}


def test_what_is_done_is_not_done_again(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = measured().plan
    watcher = Watcher()
    again = run(plan, watcher)
    assert scores(again) == scores(measured())
    assert watcher.begun == ["pearl-24k: broken.wav", "Opus: broken.wav"]  # only what failed is tried again
    assert sorted(watcher.ended) == sorted(
        f"{label}: {clip.name}" for label in ("pearl-24k", "Opus") for clip in again.clips
    )


def test_a_new_metric_is_added_to_what_is_known() -> None:
    """And what was known is as it was."""
    before = measured()
    after = run(replace(before.plan, codecs=("opus",), metrics=(*METRICS, "mel_distance")), Watcher())
    for key, results in after.entrants[0].results.items():
        for setting, score in results.scores.items():
            old = before.entrants[1].results[key].scores[setting]
            assert {name: figure for name, figure in score.figures.items() if name in METRICS} == old.figures
            assert score.refused or score.figures["mel_distance"] > 0


def test_one_worker_gives_the_same_figures(tmp_path: Path) -> None:
    before = measured()
    alone = run(replace(before.plan, out=str(tmp_path), workers=1, sounds=False), Watcher())
    assert scores(alone) == scores(before)
    assert not (tmp_path / "sounds").exists()


def test_all_cores_are_used_unless_another_number_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[int] = []
    monkeypatch.setattr(campaign, "work", lambda function, jobs, workers, begun, ended: used.append(workers))
    monkeypatch.setattr(campaign, "cores", lambda: 7)
    for workers in (0, 3):
        run(replace(measured().plan, out=str(tmp_path), workers=workers), Watcher())
    assert used == [7, 3]


def test_matched_bits_are_those_of_our_codec(tmp_path: Path) -> None:
    plan = replace(measured().plan, out=str(tmp_path), bitrates=(8000,), matched=True, clips=1)
    ours, theirs = run(plan, Watcher()).entrants
    (mine,), (its,) = (next(iter(e.results.values())).scores.values() for e in (ours, theirs))
    assert its.bytes == pytest.approx(mine.bytes, rel=0.1)
    with pytest.raises(InputError, match="needs a codec that is no baseline"):
        run(replace(plan, codecs=("opus",)), Watcher())


SCRIPT = """
import sys
sys.path[:0] = {paths!r}
from small_campaign import Watcher
from nacre.evaluation.campaign import Plan, run
if __name__ == "__main__":
    run(Plan(("pearl-24k",), ({data!r},), {out!r}, (1500,), ("si_sdr",), workers=1), Watcher())
"""


@pytest.mark.slow
def test_a_killed_run_goes_on_where_it_was(tmp_path: Path) -> None:
    for i in range(12):
        (tmp_path / "clips").mkdir(exist_ok=True)
        write(tmp_path / "clips" / f"{i:02}.wav", speech(1.0, i * 0.2)[None], RATE)
    out = tmp_path / "out"
    script = tmp_path / "script.py"
    here = str(Path(__file__).parent)
    script.write_text(SCRIPT.format(paths=[here], data=str(tmp_path / "clips"), out=str(out)))
    process = subprocess.Popen([sys.executable, str(script)])
    while len(list(out.glob("results/*/*.json"))) < 3:
        assert process.poll() is None
        time.sleep(0.02)
    process.kill()
    process.wait()
    done = {path: path.stat().st_mtime_ns for path in out.glob("results/*/*.json")}
    assert 3 <= len(done) < 12
    (out / "results" / ".nacre-0.part").write_text("half")
    watcher = Watcher()
    found = run(Plan(("pearl-24k",), (str(tmp_path / "clips"),), str(out), (1500,), ("si_sdr",)), watcher)
    assert len(watcher.begun) <= 12 - len(done)
    assert len(found.entrants[0].results) == 12 and not found.failures
    assert {path: path.stat().st_mtime_ns for path in done} == done
    assert not list(out.rglob("*.part"))


def test_results_are_whole_files_that_json_reads() -> None:
    files = list(Path(measured().plan.out, "results").rglob("*.json"))
    assert len(files) >= 6
    for file in files:
        assert json.loads(file.read_text())["clip"] in NAMES


def test_clips_are_known_by_name_and_content(tmp_path: Path) -> None:
    data = make_clips(tmp_path / "clips", 0.1)
    plan = Plan((), (str(data),), "")
    before = {clip.name: clip.key for clip in find_clips(plan)[0]}
    write(data / "a.wav", speech(0.2)[None], RATE, overwrite=True)
    after = {clip.name: clip.key for clip in find_clips(plan)[0]}
    assert [name for name in before if before[name] != after[name]] == ["a.wav"]
    assert [clip.name for clip in find_clips(replace(plan, clips=2))[0]] == ["a.wav", "broken.wav"]
    assert size(replace(plan, codecs=("x", "y"))) == 8
    with pytest.raises(InputError, match="nowhere is not there"):
        find_clips(replace(plan, data=("nowhere",)))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no sound files in"):
        find_clips(replace(plan, data=(str(tmp_path / "empty"),)))


def test_clips_of_two_folders_are_told_apart_and_one_named_twice_is_one(tmp_path: Path) -> None:
    for name in ("ann", "bob"):
        make_clips(tmp_path / name, 0.1)
    (tmp_path / "ann" / ".trash").mkdir()
    (tmp_path / "ann" / "a.wav").rename(tmp_path / "ann" / ".trash" / "a.wav")
    data = (str(tmp_path / "ann"), str(tmp_path / "bob"), str(tmp_path / "bob" / "d.wav"))
    clips, _ = find_clips(Plan((), data, ""))
    whole = sorted(path.relative_to(tmp_path / "bob").as_posix() for path in (tmp_path / "bob").rglob("*.wav"))
    assert "a.wav" in whole
    ours = [f"ann/{name}" for name in whole if name != "a.wav"]
    assert [clip.name for clip in clips] == [*ours, *(f"bob/{name}" for name in whole)]
    assert len({clip.key for clip in clips}) == len(clips)


@pytest.mark.skipif(not os.path.exists("/proc/self/mem"), reason="a Linux file that opens and cannot be read")
def test_a_clip_that_cannot_be_read_is_told_and_stops_no_other(tmp_path: Path) -> None:
    data = make_clips(tmp_path / "clips", 0.1)
    whole = [clip.name for clip in find_clips(Plan((), (str(data),), ""))[0]]
    (data / "c.wav").symlink_to("/proc/self/mem")
    clips, unread = find_clips(Plan((), (str(data),), ""))
    assert [clip.name for clip in clips] == whole
    assert unread == [f"{data / 'c.wav'} cannot be read: Input/output error; it was left out"]


def test_metrics_that_are_absent_are_left_out_or_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    metric = replace(campaign.METRICS["stoi"], package="no_such_package")
    monkeypatch.setitem(campaign.METRICS, "stoi", metric)
    chosen, notes = choose_metrics(())
    assert "stoi" not in chosen and "si_sdr" in chosen and "visqol_audio" not in chosen
    assert notes == ["not measured, for want of no_such_package: STOI; pip install 'nacre[eval]'"]
    with pytest.raises(MissingError, match="STOI needs the package no_such_package"):
        from nacre.evaluation import plugins

        plugins.find_metric.cache_clear()
        choose_metrics(("stoi",))
    plugins.find_metric.cache_clear()


def test_the_same_codec_twice_is_refused(tmp_path: Path) -> None:
    from nacre.models import BUNDLED

    plan = replace(
        measured().plan, codecs=("pearl-24k", str(BUNDLED / "pearl-24k"), str(BUNDLED / "." / "pearl-24k") + "/")
    )
    with pytest.raises(InputError, match="is the same codec as one named before"):
        run(plan, Watcher())
