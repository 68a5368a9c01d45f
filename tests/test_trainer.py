"""The loop learns, skips what is no number, keeps to its schedule, and treats all precisions alike."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from small_run import make_sound, small_recipe

from nacre.errors import InputError
from nacre.training.checkpoint import Checkpoints
from nacre.training.journal import Journal
from nacre.training.monitor import IN_A_ROW
from nacre.training.recipe import Recipe
from nacre.training.run import Data, open_material, seed_all
from nacre.training.schedule import Clock
from nacre.training.spectra import Pair
from nacre.training.trainer import Trainer, adversarial, shares


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sound(tmp_path_factory.mktemp("sound"))


def trainer(recipe: Recipe, sound: Path, background: Path | None = None) -> Trainer:
    seed_all(recipe.seed)
    codec, accelerator = recipe.build(), Accelerator()
    material = open_material(recipe, codec, Data(sound, background=background), accelerator)
    return Trainer(recipe, codec, material, accelerator)


def run(each: Trainer, folder: Path) -> list[dict[str, Any]]:
    journal = Journal(folder)
    each.run(journal, Checkpoints(folder))
    journal.close()
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def weights(each: Trainer) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in each.codec.parameters()]


def test_a_tiny_pearl_learns(sound: Path, tmp_path: Path) -> None:
    recipe = small_recipe(
        "steps=60", "adversarial_start=1.0", "lr=3e-3", "log_every=10", "checkpoint_every=30", "warmup=5"
    )
    rows = run(trainer(recipe, sound), tmp_path)
    losses = [row["loss"] for row in rows if "loss" in row]
    assert len(losses) == 6
    assert losses[-1] < 0.8 * losses[0]
    scores = [each.score for each in Checkpoints(tmp_path).all()]
    assert scores[-1] < scores[0] < math.inf
    assert [row["step"] for row in rows if "validation/mel" in row] == [30, 60]


def test_discriminators_begin_when_the_recipe_says(sound: Path, tmp_path: Path) -> None:
    rows = [row for row in run(trainer(small_recipe(), sound), tmp_path) if "loss" in row]
    assert [row["step"] for row in rows if "adversarial" in row] == [
        6,
        7,
        8,
        9,
        10,
        11,
        12,
    ]  # the first at 5 / 12 > 0.4
    assert all({"feature", "discriminator", "discriminator_norm"} <= row.keys() for row in rows[5:])


def test_discriminators_sit_out_as_many_steps_as_the_recipe_says(sound: Path) -> None:
    each, learnt = trainer(small_recipe("adversarial_start=0", f"discriminator_share={2 / 3}"), sound), []
    for _ in range(6):
        each.step()
        learnt.append("discriminator" in each.meter.means())
    assert learnt == [False, True, True, False, True, True]


def test_the_codec_hears_noise_and_is_judged_by_the_sound_without(sound: Path, tmp_path: Path) -> None:
    alone = ("noise.mix=1.0", "noise.mix_snr_db=[0, 0]", "augment.gain=0", "augment.polarity=0")
    recipe = small_recipe("adversarial_on_cpu=false", *alone)
    each = trainer(recipe, sound, make_sound(tmp_path / "noise", files=1))
    heard: list[torch.Tensor] = []
    pairs: list[Pair] = []
    for model in (each.codec, each.average.model):
        model.register_forward_pre_hook(lambda _, given: heard.append(given[0]))
    each.terms.register_forward_pre_hook(lambda _, given: pairs.append(given[0]))
    crops = each.batches.crops
    for place in (0, 4):
        clean, noisy = each.noise.beside(crops.batch(place), place)
        each.step()
        assert torch.equal(pairs[-1].target, clean) and torch.equal(heard[-1], noisy)
        assert (clean != noisy).any(dim=2).all()
    each.validate()
    assert torch.equal(pairs[-1].target, each.validation) and torch.equal(heard[-1], each.noisy)
    assert (each.noisy != each.validation).any(dim=2).all()


def test_metrics_hold_what_one_wants_to_know(sound: Path, tmp_path: Path) -> None:
    row = run(trainer(small_recipe("steps=2"), sound), tmp_path)[1]
    assert {"step", "progress", "seconds", "lr", "mel", "commitment", "gradient_norm", "skipped"} <= row.keys()
    assert {"steps_per_second", "crops_per_second", "wait_share"} <= row.keys()
    assert len(row["perplexity"]) == len(row["usage"]) == 2
    assert (row["progress"], row["skipped"]) == (1.0, 0)
    assert row["lr"] == pytest.approx(6e-4 * 2 / 3 * (0.02 + 0.98 * 0.5))  # second step of three of warm-up, halfway


def test_minutes_end_on_a_finished_schedule(sound: Path, tmp_path: Path) -> None:
    recipe = small_recipe("minutes=0.02", "adversarial_on_cpu=false", "warmup=0", "checkpoint_every=1000")
    each, ticks = trainer(recipe, sound), itertools.count(0, 0.05)
    each.clock = Clock(torch.device("cpu"), lambda: next(ticks))  # as many steps on a slow machine
    rows = [row for row in run(each, tmp_path) if "lr" in row]
    assert each.steps > 2
    assert rows[-1]["progress"] >= 1 > rows[-2]["progress"]
    rates = [row["lr"] for row in rows]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] < 0.5 * rates[0]
    assert Checkpoints(tmp_path).last().step == each.steps  # whatever the interval, the end is kept


def test_a_loss_that_is_no_number_moves_nothing(sound: Path) -> None:
    each = trainer(small_recipe(), sound)
    each.step()
    before, books = weights(each), each.codec.quantizer.levels[0].codebook.entries.clone()
    real = next(each.batches)
    each.batches = iter([torch.full_like(real, math.nan)] * IN_A_ROW)  # type: ignore[assignment]
    each.step()
    assert all(torch.equal(a, b) for a, b in zip(before, weights(each), strict=True))
    assert torch.equal(books, each.codec.quantizer.levels[0].codebook.entries)
    assert each.guard.skipped == 1
    assert all(value.isfinite().all() for value in each.average.model.state_dict().values())
    with pytest.raises(InputError, match="not finite for 25 steps in a row"):
        for _ in range(IN_A_ROW):
            each.step()


def test_the_balancer_shares_out_the_gradient(sound: Path, tmp_path: Path) -> None:
    rows = run(trainer(small_recipe("balancer=true", "steps=8", "adversarial_start=4"), sound), tmp_path)
    first, last = rows[0], [row for row in rows if "lr" in row][-1]
    assert {"share/mel", "share/complex_stft", "share/log_snr"} <= first.keys()
    assert "share/adversarial" in last and "share/adversarial" not in first
    assert Checkpoints(tmp_path).last().has("balancer")


def test_bf16_learns_as_fp32_does(sound: Path) -> None:
    losses = {}
    for precision in ("fp32", "bf16"):
        each = trainer(small_recipe(f"precision={precision}", "adversarial_start=2"), sound)
        for _ in range(4):
            each.step()
        losses[precision] = each.meter.means()["loss"]
        assert all(parameter.dtype is torch.float32 for parameter in each.codec.parameters())
    assert losses["bf16"] == pytest.approx(losses["fp32"], rel=0.05)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # the compiler warns of what it does itself
def test_compiled_parts_learn_the_same(sound: Path) -> None:
    losses = []
    for flag in ("false", "true"):
        each = trainer(small_recipe(f"compile={flag}", "adversarial_on_cpu=false"), sound)
        for _ in range(3):
            each.step()
        losses.append(each.meter.means()["loss"])
        assert not any("_orig_mod" in name for name in each.codec.state_dict())
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_validation_leaves_the_run_as_it_was(sound: Path) -> None:
    each = trainer(small_recipe(), sound)
    each.step()
    state, drawn = torch.get_rng_state(), {k: v.clone() for k, v in each.codec.state_dict().items()}
    score, terms, wave = each.validate()
    assert score == pytest.approx(15 * terms["mel"] + 8 * terms["complex_stft"] + 8 * terms["log_snr"], rel=1e-4)
    assert wave.shape == each.validation.shape == (2, 1, 1600)
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(drawn[name], value) for name, value in each.codec.state_dict().items())
    assert each.codec.training


def test_discriminators_stay_off_a_cpu_unless_asked() -> None:
    recipe, cpu, gpu = small_recipe(), torch.device("cpu"), torch.device("cuda")
    assert adversarial(recipe, cpu)
    timid = replace(recipe, adversarial_on_cpu=False)
    assert adversarial(timid, gpu) and not adversarial(timid, cpu)
    assert not adversarial(replace(recipe, discriminators=()), gpu)
    assert not adversarial(small_recipe("weights.adversarial=0", "weights.feature=0"), gpu)


def test_shares_are_the_weights_above_zero() -> None:
    assert dict(shares(small_recipe("weights.stft=0.0").weights).weights) == {
        "mel": 15.0,
        "complex_stft": 8.0,
        "log_snr": 8.0,
        "adversarial": 1.0,
        "feature": 2.0,
    }
