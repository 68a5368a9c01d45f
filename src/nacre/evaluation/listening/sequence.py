"""Who hears what in which order: pages and what stands on them, shuffled for each participant by a number of theirs."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from ...errors import InputError
from .plan import REFERENCE, Plan, Trial

BEST = 100  # of MUSHRA's scale
OPINIONS = 5  # of the scale of ITU-T P.800: bad, poor, fair, good, excellent


@dataclass(frozen=True)
class Page:
    """A trial as one participant gets it."""

    trial: int  # place in `Plan.trials()`, under which the answer is kept; -1 for practice
    item: str
    order: tuple[str, ...]  # conditions behind A, B, C ...
    sounds: tuple[str, ...]  # files in that order, then the open reference or X where the kind has one
    x: int = -1  # which of `order` X is, in an ABX trial


def pages(plan: Plan, seed: int) -> list[Page]:
    """All pages of one participant, in their order; the same seed gives the same."""
    chance = random.Random(seed)
    made = [_page(plan, trial, i, chance) for i, trial in enumerate(plan.trials())]
    chance.shuffle(made)
    return made


def practice(plan: Plan, seed: int) -> Page:
    """The page before those that count."""
    return _page(plan, Trial(plan.training, plan.groups()[0]), -1, random.Random(seed + 1))


def _page(plan: Plan, trial: Trial, place: int, chance: random.Random) -> Page:
    order = list(trial.conditions)
    chance.shuffle(order)
    x = chance.randrange(2) if plan.kind == "abx" else -1
    sounds = [trial.item.sounds[name] for name in order]
    if plan.kind == "mushra":
        sounds.append(trial.item.sounds[REFERENCE])
    elif plan.kind == "abx":
        sounds.append(sounds[x])
    return Page(place, trial.item.name, tuple(order), tuple(sounds), x)


def judged(plan: Plan, page: Page, said: Any) -> dict[str, float]:
    """What an answer says of each condition; an error when it is not of the form the kind of test asks for.

    MUSHRA and ACR: a whole number for each of A, B, C ... AB: 0 or 1, or null for no preference; half a vote each
    then. ABX: 0 or 1; 1 vote for the condition compared with the reference when X was recognised, else 0.
    """
    if plan.kind in ("mushra", "acr"):
        least, most = (0, BEST) if plan.kind == "mushra" else (1, OPINIONS)
        if not isinstance(said, list) or len(said) != len(page.order) or not all(_whole(n, least, most) for n in said):
            raise InputError(f"expected {len(page.order)} whole numbers from {least} to {most}, got {str(said)[:80]}")
        return {name: float(score) for name, score in zip(page.order, said, strict=True)}
    if not _whole(said, 0, 1) and not (said is None and plan.kind == "ab"):
        raise InputError(f"expected 0 for A or 1 for B, got {str(said)[:80]}")
    if plan.kind == "ab":
        return {name: 0.5 if said is None else float(said == i) for i, name in enumerate(page.order)}
    return {next(name for name in page.order if name != REFERENCE): float(said == page.x)}


def _whole(value: Any, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
