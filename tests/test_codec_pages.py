"""Each codec has a page: its presets, a licence, what differs, and Python whose names and arguments there are."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from inspect import isbuiltin, isclass, signature
from pathlib import Path
from typing import Any

import pytest

import nacre.codecs
from nacre.codecs.base import Codec
from nacre.contract import Stream

PAGES = sorted((Path(__file__).parent.parent / "docs" / "codecs").glob("*.md"))


def blocks(page: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL)


def imported(tree: ast.AST) -> dict[str, Any]:
    """What a block imports, by the names that it uses."""
    found: dict[str, Any] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                found[alias.asname or alias.name] = member(node.module, alias.name)
        elif isinstance(node, ast.Import):
            found |= {alias.name: import_module(alias.name) for alias in node.names}
    return found


def member(module: str, name: str) -> Any:
    """What `from module import name` gives."""
    owner = import_module(module)
    return getattr(owner, name) if hasattr(owner, name) else import_module(f"{module}.{name}")


def calls(tree: ast.AST) -> Iterator[ast.Call]:
    yield from (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def binds(function: Any, call: ast.Call) -> None:
    """An error unless the call's arguments fit; torch's own do not say what they take."""
    if not isbuiltin(function) and not any(isinstance(each, ast.Starred) for each in call.args):
        signature(function).bind(*call.args, **{word.arg: word.value for word in call.keywords if word.arg})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_pages_python_names_what_there_is(page: Path) -> None:
    assert blocks(page), "a page has an example"
    names: dict[str, Any] = {}
    for block in blocks(page):
        tree = ast.parse(block)
        names |= imported(tree)
        for call in calls(tree):
            if isinstance(call.func, ast.Name) and call.func.id in names:
                binds(names[call.func.id], call)
            elif isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Name):
                known = names.get(call.func.value.id)
                if known is not None and hasattr(known, "__file__"):  # a function of a module
                    binds(getattr(known, call.func.attr), call)
                elif call.func.value.id in ("codec", "stream"):
                    classes = [each for each in (Stream, *codecs_of(page)) if hasattr(each, call.func.attr)]
                    assert classes, f"nothing on the page has a method {call.func.attr}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_has_every_preset_its_licence_and_what_differs(page: Path) -> None:
    text = page.read_text("utf-8")
    assert re.search("licen[cs]e|MIT|Apache|CC-BY", text)
    assert re.search("## (What differs|Our choice)", text) and re.search("kbps", text)
    if page.stem != "lyra":
        module = import_module(f"nacre.codecs.{page.stem}")
        spelt = {name for name in module.PRESETS if f"`{name}`" in text or shortened(name, text)}
        assert spelt == set(module.PRESETS)


def shortened(name: str, text: str) -> bool:
    """`audiodec-24k-sym`, `-v0`: a list whose first name is whole."""
    stem, _, last = name.rpartition("-")
    return re.search(rf"`{stem}-\w+`(, `-\w+`)*, `-{last}`", text) is not None


def codecs_of(page: Path) -> list[type]:
    """The codecs of the page's file."""
    if page.stem == "lyra":
        return [import_module("nacre.lyra").Lyra]
    module = import_module(f"nacre.codecs.{page.stem}")
    own = [each for each in vars(module).values() if isclass(each) and each.__module__ == module.__name__]
    return [each for each in own if issubclass(each, Codec) or hasattr(each, "decode")]


def test_every_codec_has_a_page() -> None:
    folder = Path(nacre.codecs.__file__).parent
    files = {
        path.stem for path in folder.glob("*.py") if hasattr(import_module(f"nacre.codecs.{path.stem}"), "PRESETS")
    }
    assert files - {"pearl", "encodec_lm"} <= {page.stem for page in PAGES}  # docs/pearl.md, and EnCodec's page
