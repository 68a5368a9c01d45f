"""benchmarks/training.py and benchmarks/curves.py run as their first lines say."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
from corpora import write_ramps
from small_run import small_recipe

from nacre.training.run import stages_for

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def module(name: str) -> ModuleType:
    """A script as a module, under a name that is not that of nacre.training."""
    import importlib.util

    spec = importlib.util.spec_from_file_location(f"benchmark_{name}", BENCHMARKS / f"{name}.py")
    assert spec and spec.loader
    found = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = found  # dataclasses look there for the words of their fields
    spec.loader.exec_module(found)
    return found


def test_columns_stand_under_one_another_and_between_their_marks(tmp_path: Path) -> None:
    training = module("training")
    words = training.table([["recipe", "steps/s"], ["a", "1.25"], ["longer-name", "10.00"]])
    assert words.splitlines() == [
        "| recipe      | steps/s |",
        "| ----------- | ------: |",
        "| a           |    1.25 |",
        "| longer-name |   10.00 |",
    ]
    page = tmp_path / "page.md"
    page.write_text(f"# A\n{training.SPEED[0]}\nold\n{training.SPEED[1]}\nrest\n")
    for _ in range(2):
        training.put_into(page, training.SPEED, words)
        assert page.read_text() == f"# A\n{training.SPEED[0]}\n\n{words}\n\n{training.SPEED[1]}\nrest\n"
    with pytest.raises(SystemExit, match="has no lines"):
        training.put_into(page, training.WORK, words)


def test_stages_that_are_alike_are_measured_once() -> None:
    training = module("training")
    found = [(name, stage.stage) for name, stage in training.stages(["audiodec-48k-sym", "audiodec-48k-v1", "dac-16k"])]
    assert found == [("audiodec-48k-sym", 1), ("audiodec-48k-sym", 2), ("audiodec-48k-v1", 2), ("dac-16k", 0)]


def test_the_work_of_a_step_grows_with_its_batch_and_shrinks_with_what_is_held() -> None:
    training = module("training")
    recipe = small_recipe()
    alone = training.work(replace(recipe, discriminators=()))
    assert training.work(replace(recipe, discriminators=(), batch=8)) == pytest.approx(2 * alone)
    held = replace(recipe, discriminators=(), held=("encoder", "quantizer"))
    assert training.work(held) == pytest.approx(alone * 2 / 3)
    judged = training.work(recipe) - alone
    assert training.work(replace(recipe, discriminator_share=0.5)) - alone == pytest.approx(judged * 6 / 9)


def test_a_recipe_says_the_hours_that_are_counted() -> None:
    training = module("training")
    hours = float(training.work_line("nac-2023")[-1].removeprefix("~"))
    assert stages_for("nac-2023")[0].about.gpu_hours == pytest.approx(hours, rel=0.1)


def test_curves_are_read_from_the_journal(tmp_path: Path) -> None:
    curves = module("curves")
    rows = [{"step": n, "mel": 2.0 / n, "usage": [0.5, 1.0], "discriminator": None} for n in (1, 2)]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert curves.points(tmp_path, "mel") == {"mel": ([1, 2], [2.0, 1.0])}
    assert curves.points(tmp_path, "usage") == {"usage/1": ([1, 2], [0.5, 0.5]), "usage/2": ([1, 2], [1.0, 1.0])}
    assert curves.points(tmp_path, "discriminator") == {}
    assert curves.smooth([3.0, 3.0, 3.0]) == pytest.approx([3.0, 3.0, 3.0])


@pytest.mark.slow
def test_one_command_measures(tmp_path: Path) -> None:
    sound = write_ramps(tmp_path / "sound", lengths=(1900,) * 8)
    keep = tmp_path / "rows.json"
    words = ["--only", "nac-2023", "--steps", "1", "--data", str(sound), "--clock", "cpu", "--keep", str(keep)]
    for _ in range(2):  # the second time nothing is left to measure
        command = [sys.executable, str(BENCHMARKS / "training.py"), *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        assert "| nac-2023 |     1 |" in done.stdout
    (row,) = json.loads(keep.read_text())
    assert row["alone"] > row["whole"] > 0 and row["megabytes"] > 100 and 0 <= row["waiting"] < 1
