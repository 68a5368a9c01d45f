"""Recipes are found by name, listed without torch, and a name that is none is answered with the nearest."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from nacre.cli.display import aligned, recipe_rows
from nacre.errors import InputError, MissingError
from nacre.training import library


def test_a_name_a_path_and_neither(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert library.locate("nac-2023") == library.folder() / "nac-2023.toml"
    assert library.locate("own/recipe.toml") == Path("own/recipe.toml")
    with pytest.raises(InputError, match="no recipe is called 'dac-44'; did you mean 'dac-44k'"):
        library.locate("dac-44")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dac-44").write_text("")
    assert library.locate("dac-44") == Path("dac-44")  # a file of that name is meant


def test_every_paper_has_its_recipe() -> None:
    wanted = "soundstream-24k encodec-24k encodec-48k dac-16k dac-24k dac-44k snac-24k snac-44k hilcodec-speech "
    wanted += "hilcodec-music hificodec-16k-320d hificodec-24k-240d hificodec-24k-320d hac-v1.1 hac-v1.3 hac-150 "
    wanted += "nac-2023 pearl-24k audiodec-48k-sym audiodec-48k-sym-free audiodec-48k-asym audiodec-48k-v0 "
    wanted += "audiodec-48k-v1 audiodec-48k-v2 audiodec-48k-v3 audiodec-48k-denoise audiodec-48k-univ audiodec-48k-c16 "
    wanted += "audiodec-48k-activated audiodec-24k-sym audiodec-24k-v1 encodec-16k-320d encodec-24k-240d "
    wanted += "encodec-24k-32d soundstream-24k-240d"
    assert set(wanted.split()) == set(library.names())


def test_the_list_is_a_table() -> None:
    recipes = library.listed()
    assert [each.name for each in recipes] == library.names()
    lines = aligned(recipe_rows(recipes), right=(1, 2, 3, 4, 5))
    (line,) = [line for line in lines if line.startswith("encodec-24k ")]
    assert " ".join(line.split()) == "encodec-24k 24 kHz 0.75–24 kbps 14.9 M 1 ~110 8 A100 (paper) any sound, causal"
    assert {each.name: each.stages for each in recipes}["audiodec-48k-denoise"] == 3


def test_the_list_needs_no_torch() -> None:
    code = "import sys; sys.modules['torch'] = None\nfrom nacre.training import library; print(len(library.listed()))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(said.stdout) == len(library.names())


def test_without_recipes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(library, "_PLACES", (tmp_path / "none",))
    with pytest.raises(MissingError, match="came without its recipes"):
        library.folder()
