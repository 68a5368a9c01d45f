"""benchmarks/peers.py runs as its first lines say."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from speech import RATE, speech

from nacre.audio import write

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "peers.py"


def test_the_table_goes_between_its_marks(tmp_path: Path) -> None:
    pytest.importorskip("pystoi")
    module = runpy.run_path(str(SCRIPT))
    readme = tmp_path / "README.md"
    readme.write_text(f"# A\n{module['BEGIN']}\nold\n{module['END']}\nrest\n")
    for words in ("| a |", "| b |"):
        module["put_into"](readme, words)
        assert readme.read_text() == f"# A\n{module['BEGIN']}\n\n{words}\n\n{module['END']}\nrest\n"
    readme.write_text("# no marks\n")
    with pytest.raises(SystemExit, match="has no lines"):
        module["put_into"](readme, "x")
    assert "pearl-24k" in module["present"]()


@pytest.mark.slow
def test_one_command_makes_the_table(tmp_path: Path) -> None:
    pytest.importorskip("pystoi")
    for i in range(2):
        (tmp_path / "clips").mkdir(exist_ok=True)
        write(tmp_path / "clips" / f"{i}.wav", speech(1.5, i)[None], RATE)
    words = ["--codecs", "pearl-24k", "--data", str(tmp_path / "clips"), "--out", str(tmp_path / "out")]
    words += ["--metrics", "stoi", "--bitrates", "1500", "6000", "--no-speed"]
    done = subprocess.run([sys.executable, str(SCRIPT), *words], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "out" / "report.json").read_text())["rows"]
    for row, name in zip(rows, ("**pearl-24k**", ""), strict=True):
        mean = row["means"]["stoi"]
        reach = (mean["high"] - mean["low"]) / 2
        assert f"| {name} | {row['kbps']:.2f} | {mean['mean']:.3f} ± {reach:.3f} |" in done.stdout
    assert len(rows) == 2 and "1 codec on 2 clips, 3 s of sound; means" in done.stdout
    assert (tmp_path / "out" / "report.html").is_file()
