"""benchmarks/speed.py and the originals beside it: turns, ratios, tables that line up, work that is not done twice."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def speed(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    pytest.importorskip("onnxruntime")
    monkeypatch.syspath_prepend(FOLDER)
    return import_module("speed")


@pytest.fixture
def settings(speed: ModuleType) -> Any:
    return speed.Settings(1.0, 3, 4, (0.01, 0.02), (1,), "wall", 4000, 60)


def test_works_take_turns_and_the_fastest_round_counts(
    speed: ModuleType, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, order = [0.0], []
    monkeypatch.setattr(speed.Settings, "now", lambda _: now[0])

    def work(name: str, seconds: list[float]) -> None:
        order.append(name)
        now[0] += seconds.pop(0)

    first, second = [9.0, 3.0, 1.0, 2.0], [9.0, 4.0, 6.0, 5.0]
    assert speed.least([lambda: work("a", first), lambda: work("b", second)], settings) == [1.0, 4.0]
    assert "".join(order) == "ab" + "abbaab"  # once to warm up, then nobody always goes first


def test_tables_line_up_and_figures_stand_to_the_right(speed: ModuleType) -> None:
    lines = speed.aligned(["a", "ratio", "grows"], [["long name", "1.25", "+3"], ["x", "10.50", "–"]]).splitlines()
    assert lines == [
        "| a         | ratio | grows |",
        "| --------- | ----: | ----: |",
        "| long name |  1.25 |    +3 |",
        "| x         | 10.50 |     – |",
    ]


def test_what_is_kept_is_not_measured_again(speed: ModuleType, settings: Any, tmp_path: Path) -> None:
    asked = []

    def rows(name: str, _: Any) -> list[list[str]]:
        asked.append(name)
        if name == "vocos-mel-24k":
            raise ImportError("no vocos")
        return [[name, "1"]]

    table, keep = speed.Table(["a", "b"], ("dac-44k", "snac-24k", "vocos-mel-24k"), rows), tmp_path / "keep.json"

    def found(*only: str, how: Any = settings) -> list[list[str]]:
        return list(speed.measured("whole", table, only, how, keep))

    assert found("dac-44k") == [["dac-44k", "1"]]
    assert found() == [["dac-44k", "1"], ["snac-24k", "1"]]
    assert asked == ["dac-44k", "snac-24k", "vocos-mel-24k"]  # a package that is missing leaves the others in peace
    found("dac-44k", how=replace(settings, clock="cpu"))  # other settings are other figures
    assert asked[3:] == ["dac-44k"] and len(json.loads(keep.read_text())) == 3


def test_a_codec_without_graphs_says_so_in_the_table(
    speed: ModuleType, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise speed.NacreError("no graphs")

    monkeypatch.setattr(speed, "save_as", refuse)
    torch_row, onnx_row = speed.stream_rows("hac-150", settings)
    assert torch_row[:4] == ["hac-150", "torch", "1", "6.67"]
    assert 0 < float(torch_row[4]) <= float(torch_row[5])
    assert onnx_row == ["hac-150", "no graphs yet", *["–"] * 8]
    assert len(onnx_row) == len(torch_row) == len(speed.tables(settings)["stream"].head)


def test_a_side_that_needs_too_much_or_too_long_says_why(
    speed: ModuleType, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def words(program: str) -> dict[str, Any]:
        monkeypatch.setattr(speed.originals, "__file__", str(tmp_path / "alone.py"))
        (tmp_path / "alone.py").write_text(program)
        found: dict[str, Any] = speed.alone("memory", tmp_path, "dac-44k", "theirs", 60, settings)
        return found

    assert words("print('noise'); print('{\"peak\": 5}')") == {"peak": 5}
    assert words("raise MemoryError") == {"why": "> 4000"}
    with pytest.raises(SystemExit, match=r"(?s)ended with 1: .*ValueError: odd"):
        words("raise ValueError('odd')")
    settings = replace(settings, patience=0.5)
    assert words("import time; time.sleep(60)") == {"why": "> 0 s"}


def test_the_sound_comes_and_goes(speed: ModuleType) -> None:
    wave = speed.sound(24_000, 1)
    assert wave.shape == (1, 1, 24_000) and wave.dtype == np.float32
    loud = np.abs(wave).reshape(-1, 150).max(1)
    assert loud.max() > 0.2 > 0.03 > loud.min()


@pytest.mark.slow
def test_one_command_prints_all_four_tables(tmp_path: Path) -> None:
    pytest.importorskip("snac")
    words = ["--quick", "--only", "snac-24k", "--keep", str(tmp_path / "keep.json")]
    done = subprocess.run([sys.executable, str(FOLDER / "speed.py"), *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in done.stdout.splitlines() if line]
    assert [row[0] for row in rows if " " in row[0]] == [
        "whole files",
        "stream, ms a frame",
        "peak memory, MB",
        "cold start, s",
    ]
    encode, decode = (row for row in rows if row[3] in ("encode", "decode"))
    for row in (encode, decode):
        assert row[:3] == ["snac-24k", "snac", "1"]
        assert float(row[6]) == pytest.approx(float(row[4]) / float(row[5]), rel=0.05)
    memory = next(row for row in rows if len(row) == 8 and row[0] == "snac-24k")
    assert 100 < float(memory[2]) < 2000 and abs(float(memory[6])) < 200
    assert float(rows[-1][5]) >= float(rows[-1][2])
