"""One file, several runs: what a stage says stands over what all share, and stages survive being written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from small_run import make_sound, small_recipe

from nacre.errors import InputError
from nacre.training.checkpoint import Checkpoints
from nacre.training.recipe import parse_recipe, read_recipe
from nacre.training.run import stages_for, train
from nacre.training.stages import from_stage, parse_stages, read_stages, stages_to_toml, timed

TWO = """
name = "two"
steps = 10
[weights]
mel = 3.0
[[stage]]
steps = 5
[[stage]]
held = ["encoder"]
[stage.weights]
adversarial = 0.5
[stage.codec]
levels = 3
dropout = [1, 3]
"""


def test_a_stage_says_what_differs() -> None:
    first, second = parse_stages(TWO, ["batch=3"])
    assert (first.steps, second.steps) == (5, 10)
    assert (first.stage, second.stage) == (1, 2)
    assert (first.held, second.held) == ((), ("encoder",))
    assert (first.weights.mel, first.weights.adversarial) == (3.0, 1.0)
    assert (second.weights.mel, second.weights.adversarial) == (3.0, 0.5)
    assert (first.codec.levels, second.codec.levels) == (9, 3)
    assert first.batch == second.batch == 3


def test_a_recipe_without_stages_is_one() -> None:
    assert parse_stages("steps = 7") == (parse_recipe("steps = 7"),)
    assert parse_stages("steps = 7")[0].stage == 0


def test_stages_survive_being_written() -> None:
    for stages in (parse_stages(TWO), parse_stages("steps = 7")):
        assert parse_stages(stages_to_toml(stages)) == stages


@pytest.mark.parametrize("text", ["stage = []", "stage = [1, 2]"])
def test_what_is_no_stage(text: str) -> None:
    with pytest.raises(InputError, match="a table each"):
        parse_stages(text)


@pytest.mark.parametrize("numbers", [(1, 1), (2, 1), (0, 1)])
def test_stages_that_would_fall_into_one_folder_are_refused(numbers: tuple[int, int]) -> None:
    text = "steps = 7\n" + "".join(f"[[stage]]\nstage = {number}\n" for number in numbers)
    with pytest.raises(InputError, match=f"upwards from 1, each once, got {numbers[0]}, {numbers[1]}$"):
        parse_stages(text)


def test_a_single_recipe_is_asked_for() -> None:
    with pytest.raises(InputError, match="several stages"):
        parse_recipe(TWO)
    with pytest.raises(InputError, match="cannot be read"):
        read_stages("nowhere.toml")


def test_where_to_begin_and_how_long() -> None:
    stages = parse_stages(TWO)
    assert from_stage(stages, 2) == stages[1:]
    with pytest.raises(InputError, match="two has the stages 1, 2, got --stage 3"):
        from_stage(stages, 3)
    assert [each.minutes for each in timed(stages, 3)] == [1.5, 1.5]
    assert timed(stages, None) == stages


def test_stages_run_one_after_another_and_from_the_middle(tmp_path: Path) -> None:
    sound = make_sound(tmp_path / "sound", files=1)
    recipe = small_recipe("steps=2", "adversarial_on_cpu=false", "checkpoint_every=1").to_toml()
    path = tmp_path / "two.toml"
    path.write_text(recipe + '[[stage]]\n[[stage]]\nheld = ["encoder", "quantizer"]\n')
    stages = read_stages(path)
    with pytest.raises(InputError, match="stage 2 goes on from stage 1, of which nothing is in"):
        train(stages[1:], sound, tmp_path / "run")
    train(stages[:1], sound, tmp_path / "run")
    train(stages[1:], sound, tmp_path / "run")
    first, second = (Checkpoints(tmp_path / "run" / f"stage-{n}").last().tensors("average") for n in (1, 2))
    moved = {name.partition(".")[0] for name in first if not first[name].equal(second[name])}
    assert moved == {"decoder"}
    train(stages, sound, tmp_path / "run", resume=True)  # both are over: nothing is left to do
    assert stages_for(None, out=tmp_path / "run") == stages
    with pytest.raises(InputError, match="holds a run already"):
        train(stages, sound, tmp_path / "run")


def test_stages_keep_their_numbers_when_only_the_later_ones_are_run(tmp_path: Path) -> None:
    three = parse_stages(
        small_recipe("steps=2", "checkpoint_every=1", "adversarial_on_cpu=false").to_toml() + 3 * "[[stage]]\n"
    )
    later = parse_stages(stages_to_toml(three[1:]))
    assert later == three[1:] and [stage.stage for stage in later] == [2, 3]
    assert from_stage(later, 1) == later and from_stage(later, 3) == three[2:]
    with pytest.raises(InputError, match="has the stages 2, 3, got --stage 4"):
        from_stage(later, 4)
    sound, run = make_sound(tmp_path / "sound", files=1), tmp_path / "run"
    train(three[:1], sound, tmp_path / "first")
    train(three[1:], sound, run, start=tmp_path / "first" / "stage-1")
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file() and path.name != "recipe.toml"}
    train(stages_for(None, out=run), sound, run, resume=True)  # there is no stage 1 here, and none is begun
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*") if path in before} == before
    assert sorted(path.name for path in run.glob("stage-*")) == ["stage-2", "stage-3"]


def test_what_made_the_shipped_weights_ends_as_their_recipe_says() -> None:
    folder = Path(__file__).parents[1] / "weights" / "pearl-24k"
    stages = read_stages(folder / "from-nothing.toml")
    first, second, third, last = stages
    said = read_recipe(folder / "recipe.toml")
    assert sum(stage.steps for stage in stages) == 50_753 and last.steps == said.steps
    assert (first.weights.loudness, second.augment.speed, last.complex_stft_power) == (0, 0.25, 0.5)
    assert replace(third, stage=4, steps=16_000, seed=1) == last
    unused = {"adversarial": 0.0, "feature": 0.0}  # on a CPU there is no adversary
    assert replace(last.weights, **unused) == replace(said.weights, **unused)
    same = ("architecture", "codec", "augment", "mel", "crop", "batch", "lr", "schedule", "ema", "complex_stft_power")
    assert [getattr(last, key) for key in same] == [getattr(said, key) for key in same]
