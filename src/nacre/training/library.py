"""The recipes that come with nacre, by name. Needs no torch: a list is told without building anything."""

from __future__ import annotations

import difflib
import tomllib
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError, MissingError

_PLACES = (  # in an installed package, and in a working copy
    Path(__file__).parents[1] / "bundled" / "recipes",
    Path(__file__).parents[3] / "recipes",
)


@dataclass(frozen=True)
class Listed:
    """What the list of recipes says of one."""

    name: str
    summary: str
    sample_rate: int  # Hz
    kbps: tuple[float, float]  # with one level, and with all
    parameters: int
    stages: int
    hardware: str
    gpu_hours: float  # estimated for one A100


def folder() -> Path:
    """Where the recipes lie."""
    for place in _PLACES:
        if place.is_dir():
            return place
    raise MissingError("this installation of nacre came without its recipes; install it again, or name a TOML file")


def names() -> list[str]:
    """Of all recipes."""
    return sorted(path.stem for path in folder().glob("*.toml"))


def locate(recipe: str | Path) -> Path:
    """The TOML file of a recipe, given its path or its name."""
    path = Path(recipe)
    if path.suffix == ".toml" or path.exists() or len(path.parts) != 1:
        return path
    if path.name in names():
        return folder() / f"{path.name}.toml"
    close = difflib.get_close_matches(path.name, names(), 1, cutoff=0.0)
    raise InputError(f"no recipe is called {path.name!r}; did you mean {close[0]!r}? `nacre recipes` lists them all")


def listed() -> list[Listed]:
    """All recipes, by name."""
    return [_listed(folder() / f"{name}.toml") for name in names()]


def _listed(path: Path) -> Listed:
    recipe = tomllib.loads(path.read_text("utf-8"))
    about = recipe["about"]
    return Listed(
        name=path.stem,
        summary=about["summary"],
        sample_rate=recipe["codec"]["sample_rate"],
        kbps=(about["kbps"][0], about["kbps"][1]),
        parameters=about["parameters"],
        stages=len(recipe.get("stage", [{}])),
        hardware=about["hardware"],
        gpu_hours=about["gpu_hours"],
    )
