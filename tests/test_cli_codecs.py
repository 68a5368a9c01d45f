"""Codecs of other houses on the command line, from weights in their own layout: there and back, info, bench."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from small_audiodec import CONFIGS as AUDIODEC
from small_hilcodec import CONFIG as HILCODEC
from small_mimi import CONFIG as MIMI
from small_snac import SPEECH
from small_wavtokenizer import CONFIG as WAVTOKENIZER

from nacre import cli, load, models, read, write
from nacre.catalogue import CATALOGUE
from nacre.codecs import audiodec, encodec, hificodec, hilcodec, mimi, nac2023, snac, soundstream, wavtokenizer
from nacre.codecs.base import Codec
from nacre.converters.to_files import save_as

Captured = pytest.CaptureFixture[str]
STEREO = encodec.PRESETS["encodec-48k"]
ACADEMIC = soundstream.PRESETS["soundstream-16k-320d"]
CASES: dict[str, tuple[ModuleType, Callable[..., Codec], Any, str]] = {  # where it is, what it is, its file
    "encodec-48k": (encodec, encodec.EnCodec, replace(STEREO, seanet=replace(STEREO.seanet, dim=8, filters=2)), "w.th"),
    "soundstream-16k-320d": (
        soundstream,
        soundstream.SoundStream,
        replace(ACADEMIC, seanet=replace(ACADEMIC.seanet, dim=8, filters=2), levels=4, dropout=(1, 2, 4)),
        "w.pth",
    ),
    "snac-24k": (snac, snac.SNAC, SPEECH, "folder"),
    "hilcodec-speech": (hilcodec, hilcodec.HILCodec, HILCODEC, "w.pth"),
    "hificodec-16k-320d": (
        hificodec,
        hificodec.HiFiCodec,
        hificodec.HiFiCodecConfig(filters=2, normed=2, codebook_size=32),
        "w.pth",
    ),
    "audiodec-48k-sym": (audiodec, audiodec.AudioDec, AUDIODEC["sym"], "w.pkl"),
    "audiodec-48k-v1": (audiodec, audiodec.AudioDec, AUDIODEC["v1"], "exp"),
    "nac-2023": (nac2023, nac2023.NAC2023, nac2023.NAC2023Config(filters=2, dim=8, block=5), "w.pth"),
    "mimi-24k": (mimi, mimi.Mimi, MIMI, "w.safetensors"),
    "wavtokenizer-75": (wavtokenizer, wavtokenizer.WavTokenizer, WAVTOKENIZER, "w.ckpt"),
}


def call(*words: str) -> int:
    return cli.run(words)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a sound; nothing is cached, nothing can be fetched."""
    monkeypatch.setenv("NACRE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NACRE_MIRROR", "http://127.0.0.1:9")
    monkeypatch.chdir(tmp_path)
    write("talk.wav", np.random.default_rng(0).normal(0, 0.1, (1, 1, 9_601)).astype(np.float32), 24_000)
    torch.manual_seed(0)
    return tmp_path


def made(name: str, monkeypatch: pytest.MonkeyPatch) -> tuple[Codec, str]:
    """A narrow codec that passes for that of the catalogue, and the file that its project would keep it in."""
    module, kind, config, file = CASES[name]
    monkeypatch.setitem(module.PRESETS, name, config)  # type: ignore[attr-defined]
    return kind(config, name).eval(), file


@pytest.mark.parametrize("name", CASES)
def test_sound_to_codes_and_back(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: Captured) -> None:
    codec, file = made(name, monkeypatch)
    save_as(codec, file, CASES[name][0].__name__.rpartition(".")[2])
    model = ("-m", name, "--from", file)
    assert call("encode", "talk.wav", "-q", *model) == 0
    assert call("info", "talk.nac", "--json") == 0
    said = json.loads(capfd.readouterr().out)
    assert said["codec"] == name and said["seconds"] == pytest.approx(0.4, abs=1e-3) and not said["damage"]
    assert call("decode", "talk.nac", "back.wav", "--encoding", "float32", *model) == 0
    assert call("decode", "talk.nac", "none.wav") == 1
    assert f"made by {name}, which is not on this machine; " in capfd.readouterr().err
    again = load(name, file=file)
    assert again.info.digest
    back = read("back.wav", again.info.sample_rate).samples
    wave = read("talk.wav", again.info.sample_rate, again.info.channels).samples
    assert read("back.wav").samples.shape == (1, again.info.channels, 9_601)
    if again.info.sample_rate == 24_000:
        assert np.array_equal(back, again.decode(again.encode(wave)))


@pytest.mark.parametrize("name", ["snac-24k", "encodec-48k"])
def test_bench_measures_what_is_named(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: Captured
) -> None:
    codec, file = made(name, monkeypatch)
    save_as(codec, file, CASES[name][0].__name__.rpartition(".")[2])
    assert call("bench", "-m", name, "--from", file, "--json") == 0
    measured = json.loads(capfd.readouterr().out)
    assert measured["encode"] > 0 and measured["decode"] > 0 and measured["latency_p50"] > 0


def test_a_snac_folder_says_what_it_is(folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: Captured) -> None:
    codec, _ = made("snac-24k", monkeypatch)
    save_as(codec, "folder", "snac")
    assert load("folder").info.name == "snac-24k"
    assert call("convert", "folder", "again", "--to", "snac") == 0
    wave = read("talk.wav", 16_000).samples
    theirs, ours = load("folder").encode(wave).levels, load("again").encode(wave).levels
    assert [level.tolist() for level in ours] == [level.tolist() for level in theirs]
    assert call("convert", "folder", "again", "--to", "snac") == 1
    assert "config.json exists" in capfd.readouterr().err


def test_models_of_one_archive_do_not_mix(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        for name in ("audiodec-48k-sym", "audiodec-48k-v1"):
            for member in CATALOGUE[name].members:
                archive.writestr(member, name + member)
    place = models.store(CATALOGUE["audiodec-48k-v1"])
    place.mkdir(parents=True)
    (place / "exp.zip").write_bytes(held.getvalue())
    alone = models.download(CATALOGUE["audiodec-48k-sym"])
    pair = models.download(CATALOGUE["audiodec-48k-v1"])
    assert alone.is_file() and pair.is_dir()
    found = sorted(path.relative_to(pair).as_posix() for path in pair.rglob("*.pkl"))
    assert found == sorted(CATALOGUE["audiodec-48k-v1"].members)
    assert models.is_here(CATALOGUE["audiodec-48k-sym"]) and not models.is_here(CATALOGUE["audiodec-48k-v2"])


def test_without_torch_a_sentence_says_what_to_install(folder: Path) -> None:
    Path("w.pth").touch()
    code = "import sys; sys.modules['torch'] = None\nfrom nacre import cli\n"
    code += "sys.exit(cli.run(['encode', 'talk.wav', 'talk.dac', '-m', 'dac-44k', '--from', 'w.pth']))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert result.returncode == 1
    assert result.stderr == "nacre: dac-44k needs torch and safetensors; pip install 'nacre[torch]'\n"
