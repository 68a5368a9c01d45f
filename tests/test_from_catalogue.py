"""A row of the catalogue says which converter reads a file, and which architecture it is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from small_dac import TINY, save_tiny

from nacre import InputError
from nacre.catalogue import CATALOGUE
from nacre.codecs import dac
from nacre.converters import from_dac
from nacre.converters.from_catalogue import load_original, use_threads


def test_the_row_names_converter_and_preset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(dac.PRESETS, "dac-44k", TINY)
    path, row = save_tiny(tmp_path / "w.pth"), CATALOGUE["dac-44k"]
    codec = load_original(row, path)
    assert codec.info == from_dac.load_dac(path).info
    told: list[tuple[object, ...]] = []
    monkeypatch.setattr(from_dac, "load_dac", lambda *words: told.append(words) or codec)
    load_original(replace(row, preset=""), path)
    load_original(replace(row, preset="dac-24k"), path)
    assert told == [(path, "dac-44k"), (path, "dac-24k")]


def test_a_single_file_may_have_a_converter_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row, told = replace(CATALOGUE["dac-44k"], converter="from_none.load", lone="from_dac.load_dac"), []
    monkeypatch.setattr(from_dac, "load_dac", lambda place: told.append(place))
    (tmp_path / "w.pth").touch()
    load_original(row, tmp_path / "w.pth")
    assert told == [tmp_path / "w.pth"]
    with pytest.raises(ModuleNotFoundError, match="from_none"):
        load_original(row, tmp_path)


def test_threads_are_between_one_and_many() -> None:
    before = torch.get_num_threads()
    use_threads(None)
    assert torch.get_num_threads() == before
    for wrong in (0, -1, 100_000):
        with pytest.raises(InputError, match=f"1 to 256 threads, got {wrong}"):
            use_threads(wrong)
