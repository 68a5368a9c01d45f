"""The catalogue holds what was published, and names converters and presets that there are."""

from __future__ import annotations

import re
from importlib import import_module, util
from inspect import signature

import pytest

from nacre.catalogue import CATALOGUE, NON_COMMERCIAL, Model

ROWS = list(CATALOGUE.values())
KNOWN = {"24000": 24_000, "24k": 24_000, "16k": 16_000, "32k": 32_000, "44k": 44_100, "48k": 48_000}


@pytest.mark.parametrize("model", ROWS, ids=lambda model: model.name)
def test_a_row_is_whole(model: Model) -> None:
    assert re.fullmatch(r"[a-z0-9-]+", model.name)
    assert model.summary and model.code and model.licence
    assert 0 < model.kbps[0] <= model.kbps[1] or (model.kind == "language model" and model.kbps == (0, 0))
    for part in model.name.split("-"):
        assert KNOWN.get(part, model.sample_rate) == model.sample_rate
    for file in model.files:
        assert file.address.startswith("https://") and file.name
        assert re.fullmatch("[0-9a-f]{0,64}", file.sha256)
    assert bool(model.members) == model.files[0].name.endswith(".zip") if model.files else not model.members


def test_names_are_used_once_and_files_belong_to_one_folder() -> None:
    homes: dict[str, set[str]] = {}
    for model in ROWS:
        for file in model.files:
            homes.setdefault(file.address, set()).add(model.store or model.name)
    assert len(CATALOGUE) == len({model.name for model in ROWS})
    assert {address: stores for address, stores in homes.items() if len(stores) > 1} == {}


def test_weights_that_may_not_be_sold_say_so() -> None:
    limited = {model.name for model in ROWS if model.licence.startswith(NON_COMMERCIAL)}
    assert limited == {m.name for m in ROWS if m.name.startswith("audiodec")} | {"encodec-32k", "encodec-32k-hf"}


@pytest.mark.parametrize("model", [model for model in ROWS if model.converter], ids=lambda model: model.name)
def test_converters_know_the_preset(model: Model) -> None:
    preset = model.preset or model.name
    for converter in filter(None, (model.converter, model.lone)):
        room, name = converter.split(".")
        assert util.find_spec(f"nacre.converters.{room}") is not None
        module = import_module(f"nacre.converters.{room}")
        parameters = list(signature(getattr(module, name)).parameters)
        assert parameters[0] in ("path", "folder")
        assert model.preset is None or parameters[1] == "preset"
        assert getattr(module.PRESETS[preset], "sample_rate", model.sample_rate) == model.sample_rate


def test_the_size_is_that_of_all_files_or_unknown() -> None:
    from nacre.downloads import Remote

    files = (Remote("https://a.org/a", 3), Remote("https://a.org/b", 4))
    assert Model("a", "", 1, (0, 0), files).size == 7
    assert Model("a", "", 1, (0, 0), (*files, Remote("https://a.org/c"))).size is None
    assert Model("a", "", 1, (0, 0)).size is None
