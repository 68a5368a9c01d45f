"""How far a run is, by steps or by wall clock, and what that makes of the learning rate.

Nothing here has a memory but the clock: a learning rate follows from where the run stands, so resuming needs no
state of a scheduler, and a run of `minutes` ends on a finished schedule however fast the machine is.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import torch

from ..quantizers.ddp import processes, share_first
from .recipe import Recipe

AGREE_EVERY = 10  # steps between two looks at the first process's clock, when there are several


class Clock:
    """Seconds of training over all sittings, the same on all processes."""

    def __init__(self, device: torch.device, now: Callable[[], float] = time.monotonic) -> None:
        self._device, self._now = device, now
        self._before, self._began, self._agreed = 0.0, now(), 0.0

    @property
    def seconds(self) -> float:
        """This process's own count."""
        return self._before + self._now() - self._began

    def agreed(self, step: int) -> float:
        """The first process's seconds; every process calls this once a step, and looks at every tenth."""
        if processes() == 1:
            return self.seconds
        if step % AGREE_EVERY == 0:
            self._agreed = float(share_first(torch.tensor([self.seconds], device=self._device)))
        return self._agreed

    def resume(self, seconds: float) -> None:
        """Go on from so many seconds."""
        self._before, self._began = seconds, self._now()
        self._agreed = seconds


def progress(recipe: Recipe, step: int, seconds: float) -> float:
    """How much of the run is done, 0 at the start, 1 or more when it is over."""
    return seconds / (60 * recipe.minutes) if recipe.minutes else step / recipe.steps


def lr_factor(recipe: Recipe, step: int, done: float) -> float:
    """What the learning rates are multiplied by at `step`, a share `done` into the run."""
    done = min(1.0, done)
    warm = min(1.0, (step + 1) / max(1, recipe.warmup))
    if recipe.schedule == "cosine":
        return warm * (recipe.final_lr + (1 - recipe.final_lr) * 0.5 * (1 + math.cos(math.pi * done)))
    if recipe.schedule == "exponential":
        return warm * math.pow(max(recipe.final_lr, 1e-6), done)  # no factor leads down to zero
    if recipe.schedule == "steps":
        return warm * math.pow(recipe.drop, sum(done >= share for share in recipe.drops))
    return warm
