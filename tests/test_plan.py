"""The plan of a listening test: what it holds, and what it refuses to read."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from nacre.errors import DamagedError, InputError
from nacre.evaluation.listening.plan import LINKS, PLAN, Condition, Item, Plan, read_links, read_plan, write_plan


def plan() -> Plan:
    item = Item("i", 1.0, {"reference": "sounds/a.wav", "one": "sounds/b.wav"})
    conditions = (Condition("reference", "reference"), Condition("one", "codec", 3.1))
    return Plan("abx", "Title", "Consent", conditions, (item,), item, repeats=3)


def written(folder: Path) -> Path:
    (folder / "sounds").mkdir()
    for name in "ab":
        (folder / "sounds" / f"{name}.wav").write_bytes(b"")
    write_plan(folder, plan())
    return folder


def test_a_plan_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert read_plan(written(tmp_path)) == plan()
    assert len(plan().trials()) == 3
    assert plan().codecs == ["one"]


def test_links_are_secret_and_stay(tmp_path: Path) -> None:
    links = read_links(written(tmp_path))
    assert len(set(links.values())) == 2 and min(map(len, links.values())) >= 32
    assert stat.S_IMODE((tmp_path / LINKS).stat().st_mode) == 0o600
    write_plan(tmp_path, plan(), overwrite=True)
    assert read_links(tmp_path) == links


@pytest.mark.parametrize("place", ["../outside.wav", "/etc/passwd", "sounds/absent.wav", "sounds"])
def test_a_plan_names_sounds_of_its_own_folder_only(tmp_path: Path, place: str) -> None:
    inside = tmp_path / "test"
    inside.mkdir()
    (tmp_path / "outside.wav").write_bytes(b"")
    file = written(inside) / PLAN
    data = json.loads(file.read_text("utf-8"))
    data["items"][0]["sounds"]["one"] = place
    file.write_text(json.dumps(data), "utf-8")
    with pytest.raises(DamagedError, match="not in the folder"):
        read_plan(inside)


@pytest.mark.parametrize(
    "text", ["", "[]", '{"version": 2}', '{"version": 1, "kind": "x"}', '{"version": 1, "kind": "ab"}']
)
def test_other_files_are_no_plan(tmp_path: Path, text: str) -> None:
    (tmp_path / PLAN).write_text(text, "utf-8")
    with pytest.raises(DamagedError):
        read_plan(tmp_path)


def test_an_empty_folder_is_no_test(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nacre listen new"):
        read_plan(tmp_path)
    (tmp_path / LINKS).write_text('{"owner": "short"}', "utf-8")
    with pytest.raises(DamagedError, match="lacks a token"):
        read_links(tmp_path)
