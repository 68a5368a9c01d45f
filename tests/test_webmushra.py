"""Configurations for webMUSHRA: its page types and options, sounds where they are named, markup escaped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from listening_test import FAIR, small_test

from nacre.errors import InputError
from nacre.evaluation.listening.plan import Kind
from nacre.evaluation.listening.webmushra import export


def exported(place: Path, kind: Kind) -> tuple[dict[str, Any], Path]:
    yaml = pytest.importorskip("yaml")
    folder, _ = small_test(place, kind)
    file = export(folder, place / "web")
    assert file == place / "web" / "configs" / "test.yaml"
    return yaml.safe_load(file.read_text("utf-8")), place / "web"


def test_a_mushra_config_has_what_its_manual_asks_for(tmp_path: Path) -> None:
    config, root = exported(tmp_path, "mushra")
    assert {"testname", "testId", "bufferSize", "stopOnErrors", "remoteService", "pages"} <= set(config)
    assert config["testname"] == "Which &lt;b&gt;codec&lt;/b&gt;?"
    consent, volume, practice, trials, finish = config["pages"]
    assert [consent["type"], volume["type"], practice["type"], finish["type"]] == [
        "consent",
        "volume",
        "mushra",
        "finish",
    ]
    assert trials[0] == "random" and len(trials) == 3
    for page in trials[1:]:
        assert (page["type"], page["createAnchor35"], page["createAnchor70"]) == ("mushra", False, False)
        assert set(page["stimuli"]) == {"anchor35", "anchor70", "bad", FAIR}  # it adds the hidden reference itself
        for place in (page["reference"], *page["stimuli"].values()):
            assert (root / place).read_bytes()[:4] == b"RIFF"


def test_abx_and_acr_take_their_pages(tmp_path: Path) -> None:
    config, root = exported(tmp_path / "abx", "abx")
    page = config["pages"][3][1]
    assert (page["type"], len(page["stimuli"])) == ("paired_comparison", 1)
    assert (root / page["reference"]).is_file()
    config, _ = exported(tmp_path / "acr", "acr")
    page = config["pages"][3][1]
    assert page["type"] == "likert_single_stimulus"
    assert [each["value"] for each in page["response"]] == [1, 2, 3, 4, 5]


def test_ab_has_no_page_there(tmp_path: Path) -> None:
    folder, _ = small_test(tmp_path, "ab", count=1)
    with pytest.raises(InputError, match="no page that compares two codecs without a reference"):
        export(folder, tmp_path / "web")


def test_nothing_is_overwritten_unasked(tmp_path: Path) -> None:
    folder, _ = small_test(tmp_path, count=1)
    export(folder, tmp_path / "web")
    with pytest.raises(InputError, match="exists"):
        export(folder, tmp_path / "web")
    export(folder, tmp_path / "web", overwrite=True)
