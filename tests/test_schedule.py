"""Where a run stands follows from steps or seconds alone, and every schedule ends where the recipe says."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal

import pytest
import torch

from nacre.training.recipe import Recipe
from nacre.training.schedule import Clock, lr_factor, progress

RECIPE = Recipe(steps=1000, warmup=10, final_lr=0.02)


def test_progress_by_steps_or_by_wall_clock() -> None:
    assert [progress(RECIPE, step, 1e9) for step in (0, 250, 1000)] == [0, 0.25, 1]
    timed = replace(RECIPE, minutes=2.0)
    assert [progress(timed, 10**9, seconds) for seconds in (0, 30, 120)] == [0, 0.25, 1]


@pytest.mark.parametrize(("schedule", "halfway"), [("cosine", 0.51), ("exponential", math.sqrt(0.02)), ("constant", 1)])
def test_shapes(schedule: Literal["cosine", "exponential", "constant"], halfway: float) -> None:
    recipe = replace(RECIPE, schedule=schedule)
    factors = [lr_factor(recipe, 500, done / 100) for done in range(101)]
    assert factors == sorted(factors, reverse=True)
    assert factors[0] == pytest.approx(1)
    assert factors[50] == pytest.approx(halfway)
    assert factors[-1] == pytest.approx(1 if schedule == "constant" else 0.02)
    assert lr_factor(recipe, 500, 1.3) == factors[-1]  # a slow last step may come late


def test_warm_up_rises_in_equal_steps() -> None:
    recipe = replace(RECIPE, schedule="constant")
    assert [lr_factor(recipe, step, 0) for step in (0, 4, 9, 10, 99)] == pytest.approx([0.1, 0.5, 1, 1, 1])
    assert lr_factor(replace(recipe, warmup=0), 0, 0) == 1


def test_exponential_to_nothing_is_still_a_schedule() -> None:
    assert lr_factor(replace(RECIPE, schedule="exponential", final_lr=0.0), 500, 1.0) == pytest.approx(1e-6)


def test_steps_drop_at_their_shares_of_the_run() -> None:
    recipe = replace(RECIPE, schedule="steps", drops=(0.4, 0.8), drop=0.5)
    assert [lr_factor(recipe, 500, done) for done in (0, 0.39, 0.4, 0.79, 0.8, 1)] == [1, 1, 0.5, 0.5, 0.25, 0.25]


def test_the_clock_counts_all_sittings() -> None:
    times = iter([100.0, 103.0, 200.0, 205.0, 206.5])
    clock = Clock(torch.device("cpu"), lambda: next(times))
    assert clock.seconds == 3
    clock.resume(60.0)
    assert clock.seconds == 65
    assert clock.agreed(7) == 66.5  # alone there is nobody to agree with
