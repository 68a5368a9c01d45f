"""Recipes of several runs, one after another, in one TOML file: what all share, then a `[[stage]]` table for each.

A stage's table holds what differs from the keys before it; `[stage.weights]` and the like change keys of tables. Each
stage is a `Recipe` of its own, begins with the weights that the stage before it left, and may be resumed on its own.
"""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import InputError
from .recipe import Recipe, parsed_file, recipe_of

TABLE = "stage"
Stages = tuple[Recipe, ...]


def read_stages(path: str | Path, overrides: Iterable[str] = ()) -> Stages:
    """The runs that a TOML file describes, most often one; overrides such as `steps=1000` hold for all of them."""
    return parsed_file(path, lambda text: parse_stages(text, overrides))


def parse_stages(text: str, overrides: Iterable[str] = ()) -> Stages:
    """The runs in the text of a TOML file."""
    shared, overrides = tomllib.loads(text), list(overrides)
    if not isinstance(shared.get(TABLE), list):
        return (recipe_of(shared, overrides),)
    tables = shared.pop(TABLE)
    if not tables or not all(isinstance(table, dict) for table in tables):
        raise InputError("stages are written as [[stage]], a table each")
    # what a run of the later stages wrote down keeps their numbers
    numbered = [_joined(shared, {TABLE: number} | table) for number, table in enumerate(tables, 1)]
    stages = tuple(recipe_of(each, overrides) for each in numbered)
    numbers = [stage.stage for stage in stages]
    if numbers[0] < 1 or numbers != sorted(set(numbers)):
        raise InputError(f"stages are numbered upwards from 1, each once, got {', '.join(map(str, numbers))}")
    return stages


def stages_to_toml(stages: Sequence[Recipe]) -> str:
    """What `parse_stages` reads back as the same recipes, every key of each."""
    if len(stages) == 1:
        return stages[0].to_toml()
    return "\n".join(stage.to_toml(TABLE) for stage in stages)


def from_stage(stages: Stages, number: int) -> Stages:
    """The stages from `number` on, counted from 1."""
    numbers = [stage.stage or 1 for stage in stages]
    if number not in (1, *numbers):
        there = ", ".join(map(str, numbers))
        raise InputError(f"{stages[0].name} has the stages {there}, got --stage {number}; name one of these")
    return tuple(stage for stage in stages if (stage.stage or 1) >= number)


def timed(stages: Sequence[Recipe], minutes: float | None) -> Stages:
    """The recipes, to end after so much wall clock together, an equal share each; None leaves them as they are."""
    if minutes is None:
        return tuple(stages)
    return tuple(replace(stage, minutes=float(minutes) / len(stages)) for stage in stages)


def _joined(shared: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """A copy of `shared` with what `own` says instead, tables key by key."""
    joined = copy.deepcopy(shared)
    for key, value in own.items():
        both = isinstance(value, dict) and isinstance(joined.get(key), dict)
        joined[key] = _joined(joined[key], value) if both else copy.deepcopy(value)
    return joined
