"""benchmarks/pearl.py runs as its first lines say."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from speech import RATE, speech

from nacre.audio import write
from nacre.evaluation.baselines import BASELINES

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "pearl.py"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, timeout=300)


def test_a_folder_without_clips_is_a_plain_message(tmp_path: Path) -> None:
    done = run("--clips", str(tmp_path / "nowhere"))
    assert done.returncode == 1
    assert done.stderr == f"no sound files in {tmp_path / 'nowhere'}; name a folder of speech with --clips\n"


@pytest.mark.slow
def test_two_clips_make_a_report_that_adds_up(tmp_path: Path) -> None:
    pytest.importorskip("pesq")
    (tmp_path / "clips").mkdir()
    for name, start in (("b.wav", 0.5), ("a.wav", 2.5)):
        write(tmp_path / "clips" / name, speech(2.0, start)[None], RATE)
    done = run("--quick", "--clips", str(tmp_path / "clips"), "--out", str(tmp_path / "out"), "--processes", "1")
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "out" / "pearl.json").read_text())
    ours = [row for row in found["rows"] if row["system"]["levels"]]
    assert [row["system"]["bitrate"] for row in ours] == [1350, 2700, 4050, 6075]
    for row in ours:
        assert list(row["clips"]) == ["a.wav", "b.wav"]
        assert row["kbps"] == pytest.approx(sum(clip["bytes"] for clip in row["clips"].values()) * 8 / 4000)
        mean = sum(clip["figures"]["stoi"] for clip in row["clips"].values()) / 2
        assert row["means"]["stoi"]["mean"] == pytest.approx(mean)
        assert abs(row["kbps"] * 1000 / row["system"]["bitrate"] - 1) < 0.25  # a header weighs on 2 s
    assert len(found["levels"]) == len(found["info"]["codebook_sizes"])
    assert len(found["rows"]) == 4 + sum(len(b.bitrates) for b in BASELINES.values() if b.present())
    page = (tmp_path / "out" / "pearl.md").read_text()
    assert all(f"{row['means']['stoi']['mean']:.3f}" in page and f"{row['kbps']:.2f}" in done.stdout for row in ours)
