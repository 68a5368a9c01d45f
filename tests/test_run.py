"""train(): a killed run goes on as if there had been no kill, two processes train one codec, weights can be tuned."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from small_run import make_sound, rows, small_recipe
from together import Job, same_everywhere, together

from nacre.errors import InputError
from nacre.training import checkpoint as store
from nacre.training import run as run_module
from nacre.training.checkpoint import Checkpoints
from nacre.training.crops import CropSpec
from nacre.training.data import open_corpus
from nacre.training.run import VALIDATION_SEED, Data, open_material, stages_for, train

SETTINGS = ("log_every=3", "augment.speed=0.5", "discriminator_lr=3e-3")  # rows and checkpoints at other steps
SITTING = """
import os, signal, sys, time, torch
torch.set_num_threads(1)
from small_run import small_recipe
from nacre.training import checkpoint, trainer
from nacre.training.run import train
sound, out, death, *settings = sys.argv[1:]
step = trainer.Trainer.step
trainer.Trainer.step = lambda self: (time.sleep(0.1), step(self))  # slow enough to be killed in between
if death == "in a checkpoint":
    checkpoint.write_own = lambda *arguments: os.kill(os.getpid(), signal.SIGKILL)
train(small_recipe(*settings), sound, out, resume=True)
"""


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sound(tmp_path_factory.mktemp("sound"))


def sitting(sound: Path, out: Path, death: str) -> subprocess.Popen[bytes]:
    """A sitting in a process of its own."""
    paths = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    environment = os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    arguments = [sys.executable, "-c", SITTING, str(sound), str(out), death, *SETTINGS]
    return subprocess.Popen(arguments, env=environment)


def killed_from_outside(process: subprocess.Popen[bytes], sign: Path) -> int:
    """Wait for a file to be there, and a moment longer; then no more waiting."""
    deadline = time.monotonic() + 120
    while not sign.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.13)
    process.kill()
    return process.wait()


def test_a_killed_run_ends_as_if_it_had_not_been(sound: Path, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    train(small_recipe(*SETTINGS), sound, whole)
    first = killed_from_outside(sitting(sound, killed, "none"), killed / "checkpoints" / "step-00000004" / "state.json")
    assert first == -signal.SIGKILL
    assert 4 <= Checkpoints(killed).last().step < 12
    assert sitting(sound, killed, "in a checkpoint").wait(120) == -signal.SIGKILL
    assert list((killed / "checkpoints").glob(".unfinished-*"))
    train(small_recipe(*SETTINGS), sound, killed, resume=True)
    assert rows(killed) == rows(whole)
    assert [row["step"] for row in rows(whole) if "loss" in row] == [3, 6, 9, 12]
    for name in ("generator", "average", "discriminators", "generator_optimizer", "discriminators_optimizer"):
        ours, theirs = (Checkpoints(run).last().tensors(name) for run in (whole, killed))
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[key], theirs[key]) for key in ours), name


@pytest.mark.slow
def test_killed_at_any_moment(sound: Path, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    train(small_recipe(*SETTINGS), sound, whole)
    for seconds in (0.2, 0.45, 0.7, 0.95, 1.2):
        process = sitting(sound, killed, "none")
        began, lines = time.monotonic(), killed / "metrics.jsonl"
        size = lines.stat().st_size if lines.exists() else 0
        while process.poll() is None and (not lines.exists() or lines.stat().st_size == size):
            assert time.monotonic() < began + 120
            time.sleep(0.01)
        time.sleep(seconds)
        process.kill()
        process.wait()
    train(small_recipe(*SETTINGS), sound, killed, resume=True)
    assert rows(killed) == rows(whole)


def test_a_finished_run_has_nothing_left_to_do(sound: Path, tmp_path: Path) -> None:
    recipe = small_recipe("steps=3", "adversarial_on_cpu=false")
    train(recipe, sound, tmp_path)
    before = rows(tmp_path)
    train(recipe, sound, tmp_path, resume=True)
    assert rows(tmp_path) == before
    longer = small_recipe("steps=5", "adversarial_on_cpu=false")
    train(longer, sound, tmp_path, resume=True)
    assert Checkpoints(tmp_path).last().step == 5
    with pytest.raises(InputError, match="holds a run already; resume it"):
        train(recipe, sound, tmp_path)
    with pytest.raises(InputError, match="cannot resume: the run had seed 0"):
        train(small_recipe("steps=9", "seed=4", "adversarial_on_cpu=false"), sound, tmp_path, resume=True)


def test_a_run_is_resumed_with_its_own_codec_and_players(sound: Path, tmp_path: Path) -> None:
    settings = ("steps=3", "adversarial_start=0.0")
    train(small_recipe(*settings), sound, tmp_path)
    for override, sentence in (
        ("codec.dim=16", "cannot be resumed with another 'codec'"),
        ("balancer=true", "cannot be resumed with another 'balancer'"),
        (
            'discriminators=["periods-hifigan"]',
            "holds the discriminators periods-academicodec, the recipe has periods-h",
        ),
        ("adversarial_on_cpu=false", "would be lost"),
    ):
        with pytest.raises(InputError, match=sentence):
            train(small_recipe(*settings, "steps=9", override), sound, tmp_path, resume=True)
    assert Checkpoints(tmp_path).last().step == 3


def test_a_balancer_goes_on_with_the_losses_it_knows(sound: Path, tmp_path: Path) -> None:
    settings = ("adversarial_on_cpu=false", "balancer=true")
    train(small_recipe("steps=2", *settings), sound, tmp_path)
    with pytest.raises(InputError, match="weighs mel, complex_stft, log_snr"):
        train(small_recipe("steps=3", "weights.log_snr=0", *settings), sound, tmp_path, resume=True)


@pytest.mark.parametrize("settings", [('held=["encoder","quantizer"]',), ("weights.feature=0",)])
def test_a_balancer_meets_held_parts_and_losses_that_are_left_out(
    sound: Path, tmp_path: Path, settings: tuple[str, ...]
) -> None:
    train(small_recipe("steps=2", "adversarial_start=0.0", "balancer=true", *settings), sound, tmp_path)
    assert Checkpoints(tmp_path).last().step == 2


def test_a_sitting_may_be_the_first_with_discriminators(sound: Path, tmp_path: Path) -> None:
    train(small_recipe("steps=2", "adversarial_on_cpu=false"), sound, tmp_path)
    assert not Checkpoints(tmp_path).last().has("discriminators")
    train(small_recipe("steps=4", "adversarial_start=0"), sound, tmp_path, resume=True)
    assert Checkpoints(tmp_path).last().has("discriminators")
    assert "adversarial" in [row for row in rows(tmp_path) if "loss" in row][-1]


def test_fine_tuning_goes_on_from_weights(sound: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = ("steps=40", "lr=3e-3", "adversarial_start=36", "checkpoint_every=100", "log_every=4")
    train(small_recipe(*settings), sound, tmp_path / "first", weights=tmp_path / "weights")
    gentle = ("steps=4", "lr=1e-5", "adversarial_start=0", "log_every=4")
    train(small_recipe(*gentle), sound, tmp_path / "tuned", start=tmp_path / "weights", show=True)
    assert "fresh" not in capsys.readouterr().err
    train(small_recipe(*gentle), sound, tmp_path / "scratch")
    tuned, scratch, first = (rows(tmp_path / name) for name in ("tuned", "scratch", "first"))
    assert tuned[0]["mel"] < 0.9 * scratch[0]["mel"]
    assert tuned[0]["mel"] == pytest.approx(first[8]["mel"], rel=0.2)
    before = store.Checkpoint(Checkpoints(tmp_path / "first").last().folder, 40).tensors("discriminators")
    after = Checkpoints(tmp_path / "tuned").last().tensors("discriminators")
    assert all((after[name] - value).abs().max() < 0.01 for name, value in before.items())
    (tmp_path / "weights" / "discriminators.safetensors").unlink()
    train(small_recipe(*gentle), sound, tmp_path / "other", start=tmp_path / "weights", show=True)
    assert "the discriminators start fresh" in capsys.readouterr().err


def test_a_run_that_cannot_begin_leaves_nothing(sound: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no training sound"):
        train(small_recipe(), tmp_path / "nowhere", tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_noise_is_mixed_in_and_clips_can_be_left_out(sound: Path, tmp_path: Path) -> None:
    data = Data(sound, exclude=["2"], background=make_sound(tmp_path / "noise", files=1), validation=sound / "2.wav")
    alone = ("augment.mix=1.0", "augment.gain=0", "augment.polarity=0")  # nothing else changes a crop
    recipe = small_recipe("steps=1", "adversarial_on_cpu=false", *alone)
    train(recipe, data, tmp_path / "run")
    assert rows(tmp_path / "run")[0]["step"] == 1
    with closing(open_material(recipe, recipe.build(), data, Accelerator())) as material:
        assert material.seconds == pytest.approx(4.0)  # two files of the three
        judge = open_corpus(sound / "2.wav", 8000, 1).streaming(CropSpec(1600, 2, VALIDATION_SEED))
        assert torch.equal(material.validation, judge.batch(0))
        plain = material.batches.crops.batch(0)
        assert (next(material.batches) != plain).any(dim=2).all()
    with pytest.raises(InputError, match="needs a background corpus"):
        train(recipe, sound, tmp_path / "other")


def test_which_recipe(sound: Path, tmp_path: Path) -> None:
    run, weights = tmp_path / "run", tmp_path / "weights"
    recipe = small_recipe("steps=2", "adversarial_on_cpu=false")
    train(recipe, sound, run, weights=weights)
    (tmp_path / "own.toml").write_text("seed = 5")
    assert stages_for(tmp_path / "own.toml", start=weights, out=run)[0].seed == 5
    assert stages_for(None, ["steps=3"], start=weights) == (small_recipe("steps=3", "adversarial_on_cpu=false"),)
    assert stages_for(None, out=run) == (recipe,)
    for start, out in ((None, None), (None, tmp_path / "nothing")):
        with pytest.raises(InputError, match="training needs a recipe"):
            stages_for(None, start=start, out=out)


@pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="needs torch with gloo")
def test_two_processes_train_one_codec(sound: Path, tmp_path: Path) -> None:
    settings = ("steps=5", "adversarial_start=2", "checkpoint_every=3", "balancer=true")
    ranks = together(2, Job(sound, tmp_path, settings, weights=tmp_path / "weights"))
    drawn = [json.loads((rank.folder / "drawn.json").read_text()) for rank in ranks]
    assert len(drawn[0]) == 5 and drawn[0][0] != drawn[1][0]
    same_everywhere(ranks, "generator", "average", "discriminators", "balancer")
    lines = rows(tmp_path / "run")
    assert len([row for row in lines if "loss" in row or "norm/mel" in row]) == 5  # only one of them writes
    last = Checkpoints(tmp_path / "run").last()
    assert (last.step, last.state["processes"], last.state["data"]["samples"]) == (5, 2, 5 * 2 * 4)
    own = [last.own(rank) for rank in (0, 1)]
    assert own[0] and own[1] and own[0]["random"]["torch"] != own[1]["random"]["torch"]


def test_a_run_says_what_it_is_and_that_little_sound_is_learnt_by_heart(
    sound: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(small_recipe("steps=1", "adversarial_on_cpu=false"), sound, tmp_path / "run", show=True)
    told = capsys.readouterr().err
    assert "1 steps of" in told and "of sound\n" in told
    assert "learnt by heart" in told
    assert f"done: the run is in {tmp_path / 'run'}; --resume with --weights" in told
    weights = tmp_path / "weights"
    train(small_recipe("steps=1"), sound, tmp_path / "run", resume=True, weights=weights, show=True)
    assert capsys.readouterr().err.endswith(f"done: nacre encode SOUND FILE.nac --model {weights}\n")
    assert (weights / "model.safetensors").is_file()


def test_fresh_discriminators_warm_up_before_they_judge(
    sound: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(small_recipe("steps=1", "adversarial_on_cpu=false"), sound, tmp_path / "first", weights=tmp_path / "weights")
    settings = ("steps=5", "adversarial_start=0", "discriminator_warmup=3", "checkpoint_every=3", "keep_last=9")
    train(small_recipe(*settings), sound, tmp_path / "tuned", start=tmp_path / "weights", show=True)
    told = capsys.readouterr().err
    assert "start fresh" in told and "learn alone for 3 steps" in told
    lines = [row for row in rows(tmp_path / "tuned") if "discriminator" in row]
    assert ["adversarial" in row for row in lines] == [False] * 3 + [True] * 2
    warm, done = (each.tensors("generator") for each in Checkpoints(tmp_path / "tuned").all())
    start = small_recipe().build()
    run_module.load_generator(start, tmp_path / "weights")
    assert all(torch.equal(value, warm[name]) for name, value in start.state_dict().items())
    assert not all(torch.equal(warm[name], value) for name, value in done.items())
