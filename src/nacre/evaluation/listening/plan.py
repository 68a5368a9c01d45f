"""What a listening test is: its sounds, what is compared, what people are told. One JSON file says all of it."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Literal, get_args

from ...atomic import write_whole
from ...errors import DamagedError, InputError

Kind = Literal["mushra", "ab", "abx", "acr"]
KINDS: tuple[Kind, ...] = get_args(Kind)
REFERENCE, ANCHOR35, ANCHOR70 = "reference", "anchor35", "anchor70"
ROLES = (REFERENCE, ANCHOR35, ANCHOR70, "codec")
PLAN, LINKS, ANSWERS, SOUNDS = "test.json", "links.json", "answers.sqlite", "sounds"
VERSION = 1
MOST_STIMULI = 12  # of one MUSHRA trial: BS.1534-3 asks for no more than these, reference and anchors included
_TOKEN = 24  # bytes of chance in a link: nobody guesses 192 bits


@dataclass(frozen=True)
class Condition:
    """One thing that is judged: the hidden reference, an anchor or a codec."""

    name: str  # unique in the test
    role: str  # one of ROLES
    kbps: float = 0.0  # measured over all items; 0 where nothing was coded


@dataclass(frozen=True)
class Item:
    """One original and what each condition makes of it, all of one length, rate and loudness."""

    name: str
    seconds: float
    sounds: dict[str, str]  # by condition: the place of a file below the test's folder


@dataclass(frozen=True)
class Trial:
    """One page: an item, and which conditions of it are judged there."""

    item: Item
    conditions: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """One listening test."""

    kind: Kind
    title: str
    consent: str  # shown before anything is recorded; plain text, empty lines part paragraphs
    conditions: tuple[Condition, ...]
    items: tuple[Item, ...]
    training: Item
    loudness: float = -23.0  # LUFS
    repeats: int = 1  # of each AB and ABX trial

    def condition(self, name: str) -> Condition:
        """The condition of this name."""
        return next(each for each in self.conditions if each.name == name)

    @property
    def codecs(self) -> list[str]:
        """Names of what is under test, without reference and anchors."""
        return [each.name for each in self.conditions if each.role == "codec"]

    def groups(self) -> list[tuple[str, ...]]:
        """Conditions that stand on one page: all (MUSHRA), each pair of codecs, codec and reference, or one."""
        if self.kind == "mushra":
            return [tuple(each.name for each in self.conditions)]
        if self.kind == "ab":
            return list(combinations(self.codecs, 2))
        if self.kind == "abx":
            return [(REFERENCE, codec) for codec in self.codecs]
        return [(each.name,) for each in self.conditions]

    def trials(self) -> list[Trial]:
        """All pages that count, in the order of the plan; answers are kept by the place in this list."""
        repeats = self.repeats if self.kind in ("ab", "abx") else 1
        return [Trial(item, group) for item in self.items for group in self.groups() for _ in range(repeats)]


def write_plan(folder: Path, plan: Plan, overwrite: bool = False) -> None:
    """Write the plan, and new links to it where there are none."""
    _write(folder / PLAN, {"version": VERSION, **asdict(plan)}, overwrite)
    if not (folder / LINKS).exists():
        _write(folder / LINKS, {name: secrets.token_urlsafe(_TOKEN) for name in ("invitation", "owner")}, False)
        (folder / LINKS).chmod(0o600)


def read_plan(folder: Path) -> Plan:
    """The plan of a test folder, checked: sounds are inside the folder and there."""
    data = _read(folder / PLAN)
    try:
        if data["version"] != VERSION or data["kind"] not in KINDS:
            raise ValueError(f"version {data['version']} of kind {data['kind']}")
        fields = {**data, "conditions": tuple(Condition(**each) for each in data["conditions"])}
        fields["items"] = tuple(Item(**each) for each in data["items"])
        fields["training"] = Item(**data["training"])
        del fields["version"]
        plan = Plan(**fields)
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedError(f"{folder / PLAN} is no listening test that can be read: {error!r}") from error
    for place in _places(plan):
        if not _inside(folder, place):
            raise DamagedError(f"{folder / PLAN} names the sound {place!r}, which is not in the folder")
    return plan


def read_links(folder: Path) -> dict[str, str]:
    """The tokens of the test: `invitation` and `owner`."""
    links = _read(folder / LINKS)
    if not all(isinstance(links.get(name), str) and len(links[name]) >= 16 for name in ("invitation", "owner")):
        raise DamagedError(f"{folder / LINKS} lacks a token; delete it and build the test anew")
    return {name: str(links[name]) for name in ("invitation", "owner")}


def _places(plan: Plan) -> Iterator[str]:
    for item in (*plan.items, plan.training):
        yield from item.sounds.values()


def _inside(folder: Path, place: str) -> bool:
    path = (folder / place).resolve()
    return path.is_relative_to(folder.resolve()) and path.is_file()


def _read(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise InputError(
            f"{path.parent} is no listening test: no {path.name} there; make one with nacre listen new"
        ) from error
    except ValueError as error:
        raise DamagedError(f"{path} is no JSON: {error}") from error
    if not isinstance(data, dict):
        raise DamagedError(f"{path} holds no object")
    return data


def _write(path: Path, data: dict[str, Any], overwrite: bool) -> None:
    write_whole(path, f"{json.dumps(data, indent=1, ensure_ascii=False)}\n".encode(), overwrite)
