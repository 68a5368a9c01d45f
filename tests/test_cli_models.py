"""The verbs about models on the command line: what there is, what is fetched, what goes to another house."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from http_files import Server, serving
from small_dac import TINY, save_tiny
from test_models import WEIGHTS

from nacre import cli, load, models, read, write
from nacre.catalogue import CATALOGUE, Model
from nacre.cli.display import model_details, model_rows
from nacre.codecs import dac
from nacre.downloads import Patience, Remote

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A folder with a sound and a narrow dac-44k in `made.pth`, and a mirror that has it too."""
    monkeypatch.setitem(dac.PRESETS, "dac-44k", TINY)
    monkeypatch.setattr(models, "PATIENCE", Patience(stall=20, tries=2, pause=0.01))
    monkeypatch.setenv("NACRE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.chdir(tmp_path)
    write("talk.wav", np.random.default_rng(0).normal(0, 0.1, (1, 1, 4_410)).astype(np.float32), 44_100)
    with serving() as server:
        monkeypatch.setenv("NACRE_MIRROR", server.address)
        server.put(WEIGHTS, save_tiny(Path("made.pth")).read_bytes())
        yield server


def call(*words: str) -> int:
    return cli.run(words)


def test_the_list_tells_what_is_here_and_whose_it_is(capfd: Captured) -> None:
    assert call("models") == 0
    head, *lines = capfd.readouterr().out.splitlines()
    assert len(lines) == len(CATALOGUE)
    assert head.split() == ["model", "state", "bitrate", "rate", "licence", "for"]
    assert head.index("licence") == lines[0].index("MIT") and head.index("for") == lines[0].index("speech")
    assert lines[0].split() == ["pearl-24k", "bundled", "0.68–6.08", "kbps", "24", "kHz", "MIT", "speech,", "causal"]
    audiodec = next(line for line in lines if line.startswith("audiodec-48k-v1 "))
    assert "CC-BY-NC 4.0" in audiodec
    assert call("models", "--json") == 0
    rows = json.loads(capfd.readouterr().out)
    assert [row["name"] for row in rows] == list(CATALOGUE)
    assert rows[0]["state"] == "bundled" and rows[0]["licence"] == "MIT"


def test_one_model_is_told_whole(capfd: Captured) -> None:
    assert call("models", "encodec-24k") == 0
    said = capfd.readouterr().out
    for words in ("https://dl.fbaipublicfiles.com/encodec/v0/encodec_24khz-d7cc33bc.th", "d7cc33bc…", "not stated"):
        assert words in said
    assert call("models", "encodec-24") == 1
    assert "no model 'encodec-24' in the catalogue; did you mean encodec-24k?" in capfd.readouterr().err
    assert call("models", "--download") == 1
    assert "say which model to download" in capfd.readouterr().err


def test_sizes_and_hashes_are_shown_where_they_are_known() -> None:
    row = Model("a-1", "b", 8_000, (1.5, 1.5), (Remote("https://a.org/c.bin", 2_000_000, "ab" * 32),), converter="x.y")
    told = dict(model_details(row))
    assert told["size"] == "2.0 MB" and told["SHA-256"] == "ab" * 32 and told["bitrate"] == "1.5 kbps"
    assert model_rows([row]) == [("a-1", "no reader yet", "1.5 kbps", "8 kHz", "MIT", "b")]


def test_a_model_is_brought_here_for_later(here: Server, capfd: Captured) -> None:
    assert call("models", "dac-44k", "--download") == 0
    said = capfd.readouterr()
    assert "dac-44k is downloaded once" in said.err and "licence of its weights: MIT" in said.err
    assert any(line.split() == ["state", "cached"] for line in said.out.splitlines())
    here.files.clear()
    assert call("encode", "talk.wav", "-m", "dac-44k", "-q") == 0
    assert call("decode", "talk.nac", "back.wav", "-q") == 0
    assert read("back.wav").samples.shape == (1, 1, 4_410)


def test_a_file_of_codes_downloads_nothing(here: Server, capfd: Captured) -> None:
    assert call("encode", "talk.wav", "-m", "dac-44k", "--from", "made.pth", "-q") == 0
    assert call("decode", "talk.nac", "back.wav") == 1
    assert "made by dac-44k, which is not on this machine; name it to have it downloaded" in capfd.readouterr().err
    assert here.files[WEIGHTS].asked == [] and not Path("cache").exists()
    assert call("decode", "talk.nac", "back.wav", "--from", "made.pth", "-q") == 0
    assert call("decode", "talk.nac", "again.wav", "-m", "dac-44k", "-q") == 0
    assert np.array_equal(read("back.wav").samples, read("again.wav").samples)


@pytest.mark.parametrize(("words", "out"), [([], "ours"), (["--to", "hf"], "hf"), (["--to", "dac"], "back.pth")])
def test_a_model_goes_to_another_house(here: Server, capfd: Captured, words: list[str], out: str) -> None:
    assert call("convert", "made.pth", out, "--codec", "dac-44k", *words) == 0
    assert capfd.readouterr().out == f"converted  dac-44k  ->  {out}  as {words[-1] if words else 'nacre'}\n"
    file = out if out.endswith(".pth") else None
    again, made = load("dac-44k" if file else out, file=file), load("dac-44k", file="made.pth")
    wave = read("talk.wav").samples
    ours, theirs = again.encode(wave).levels, made.encode(wave).levels
    assert [level.tolist() for level in ours] == [level.tolist() for level in theirs]
    assert call("convert", "made.pth", out, "--codec", "dac-44k", *words) == 1
    assert "exists" in capfd.readouterr().err
    assert call("convert", "made.pth", out, "--codec", "dac-44k", *words, "--force", "--json") == 0
    assert json.loads(capfd.readouterr().out)["model"] == "dac-44k"


def test_weights_that_do_not_say_whose_they_are(here: Server, capfd: Captured) -> None:
    assert call("convert", "made.pth", "out") == 1
    assert "made.pth does not say whose weights it holds; say it:" in capfd.readouterr().err
    assert call("convert", "made.pth", "out", "--codec", "dac-44k", "--to", "snac") == 1
    assert "a dac-44k is written as nacre, onnx, onnx-32, dac, hf, got 'snac'" in capfd.readouterr().err
    assert not Path("out").exists()
