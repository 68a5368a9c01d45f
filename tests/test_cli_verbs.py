"""The command line as people use it: verbs, words to errors, pipes, signals, terminals."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nacre
from nacre import cli, models
from nacre.audio import read, write
from nacre.container import nac

NACRE = [sys.executable, "-m", "nacre"]
LEGACY = Path(__file__).parent / "golden" / "legacy"
Captured = pytest.CaptureFixture[str]


def call(*words: str | Path) -> int:
    """The exit code of `nacre WORDS`, run in this process."""
    return cli.run([str(word) for word in words])


def shell(*words: str | Path, **how: Any) -> subprocess.CompletedProcess[bytes]:
    """`nacre WORDS` in a process of its own."""
    return subprocess.run([*NACRE, *map(str, words)], capture_output=True, timeout=120, **how)


def noise(samples: int, channels: int = 1) -> np.ndarray:
    return np.random.default_rng(samples).normal(0, 0.1, (1, channels, samples)).astype(np.float32)


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    """A second and a bit of noise."""
    write(tmp_path / "talk.wav", noise(24321), 24000)
    return tmp_path / "talk.wav"


@pytest.fixture
def coded(sound: Path, capfd: Captured) -> Path:
    assert call("encode", sound, "--quiet") == 0
    return sound.with_suffix(".nac")


def test_encode_info_decode(sound: Path, capfd: Captured) -> None:
    assert call("encode", sound, "--tag", "title=Morgen", "-b", "1.35k") == 0
    assert call("info", sound.with_suffix(".nac")) == 0
    assert call("decode", sound.with_suffix(".nac"), sound.with_name("back.flac")) == 0
    said = capfd.readouterr()
    lines = said.out.splitlines()
    assert lines[0].startswith("encoded  ") and "1.01 s" in lines[0] and lines[0].endswith(" kbps")
    assert "levels     2 of 9" in lines and "tag title  Morgen" in lines
    assert lines[-1].startswith("decoded  ")
    assert said.err == ""
    assert read(sound.with_name("back.flac")).samples.shape == (1, 1, 24321)


def test_json_is_all_that_is_printed(sound: Path, tmp_path: Path, capfd: Captured) -> None:
    coded = sound.with_suffix(".nac")
    said = []
    for words in (
        ("encode", sound),
        ("decode", coded, tmp_path / "b.wav"),
        ("info", coded),
        ("models",),
        ("convert", LEGACY / "24k-1500.ecdc", tmp_path / "c.nac"),
        ("bench",),
        ("demo", tmp_path / "demo"),
    ):
        assert call(*words, "--json") == 0
        captured = capfd.readouterr()
        said.append(json.loads(captured.out))
        assert captured.err == ""
    encoded, decoded, info, models, moved, speed, shown = said
    assert encoded[0]["bytes"] == decoded[0]["bytes"] == info["bytes"] == coded.stat().st_size
    assert encoded[0]["samples"] == decoded[0]["samples"] == info["samples"] == 24321
    assert models[0]["name"] == info["codec"] == "pearl-24k"
    assert moved["codec"] == "encodec-24k" and speed["encode"] > 0 and shown[0]["file"] == "original.wav"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["fly"], "nacre: no such command 'fly'; see nacre --help"),
        (["--fly"], "nacre: no such option: --fly; see nacre --help"),
        (["encode"], "nacre: missing argument 'PATH...'; see nacre encode --help"),
        (["encode", "none.wav"], "nacre: none.wav does not exist; check the name"),
        (
            ["encode", "none.wav", "x.wav"],
            "nacre: x.wav: encoded sound goes into a .nac, .ecdc, .dac or .lyra file; choose such a name",
        ),
        (["encode", "a.wav", "-b", "fast"], "nacre: a bitrate looks like 1.35k or 6000 (bits a second), got 'fast'"),
        (["encode", "a.wav", "-b", ""], "nacre: a bitrate looks like 1.35k or 6000 (bits a second), got ''"),
        (["decode", "a.nac", "--start", "nan"], "nacre: a time looks like 90, 1:30 or 1:02:03.5, got 'nan'"),
        (["decode", "none.nac", "b.wav"], "nacre: none.nac does not exist; check the name"),
        (
            ["decode", "talk.wav"],
            "nacre: talk.wav would become itself; name another output, or is it another verb you want?",
        ),
        (
            ["encode", "a.wav", "--force", "--skip"],
            "nacre: --force writes files that exist once more, --skip leaves them alone; give one of them",
        ),
        (["encode", "a.wav", "-b", "10"], "nacre: pearl-24k needs at least 0.675 kbps, got 0.01; ask for more"),
        (["encode", "a.wav", "--tag", "x"], "nacre: a tag looks like title=Morning, got 'x'"),
        (
            ["encode", "a.wav", "--tag", "rate=1"],
            "nacre: the tag 'rate' is kept for what was encoded; choose another name",
        ),
        (["info", "none.nac"], "nacre: none.nac does not exist; check the name"),
        (["convert", "none.nac", "a.ecdc"], "nacre: none.nac does not exist; check the name"),
    ],
)
def test_a_mistake_is_one_plain_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Captured, words: list[str], sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert call(*words) == 1
    said = capfd.readouterr()
    assert (said.out, said.err) == ("", sentence + "\n")
    assert os.listdir(tmp_path) == []


def test_help_has_examples_and_every_verb_a_page(capfd: Captured) -> None:
    for words in ([], ["--help"], ["-h"]):
        assert call(*words) == 0
        said = capfd.readouterr().out
        assert "nacre encode talks/ coded/ -j 4" in said and "Exit codes: 0 " in said
        listed = said.partition("Commands:")[2].partition("Examples:")[0]
        assert "..." not in listed and listed.count("\n") == 13  # a line a verb, none cut off
    coding, wings = ("encode", "decode", "info", "models", "convert", "demo"), ("bench", "evaluate", "train", "recipes")
    listening = ("new", "serve", "invite", "export", "results")
    for verb in (*coding, *wings, "listen", *(f"listen {verb}" for verb in listening)):
        assert verb.startswith("listen ") or f"  {verb} " in said
        assert call(*verb.split(), "-h") == 0
        page = capfd.readouterr().out
        assert f"Usage: nacre {verb}" in page
        assert not re.search("<[a-zA-Z]", page)  # typer's own word for what an option takes


def test_version(capfd: Captured) -> None:
    assert call("--version") == 0
    assert capfd.readouterr().out == f"nacre {nacre.__version__}\n"


def test_what_exists_is_overwritten_only_by_force(sound: Path, coded: Path, capfd: Captured) -> None:
    coded.write_text("precious")
    assert call("encode", sound) == 1
    assert "exists; overwrite it with --force" in capfd.readouterr().err
    assert coded.read_text() == "precious"
    assert call("encode", sound, "-f") == 0
    assert call("info", coded) == 0


def test_a_folder_is_gone_on_with(tmp_path: Path, capfd: Captured) -> None:
    source, target = tmp_path / "in", tmp_path / "out"
    for i in range(3):
        source.mkdir(exist_ok=True)
        write(source / f"{i}.wav", noise(800 + i), 8000)
    assert call("encode", source, target, "-q") == 0
    (target / "1.nac").unlink()
    (target / "2.nac").write_text("mine")
    assert call("encode", source, target, "--skip", "-j", "2") == 0
    said = capfd.readouterr()
    assert said.err == "" and len(said.out.splitlines()) == 2
    assert "1.wav" in said.out.splitlines()[0] and said.out.endswith("2 of 3 were there already\n")
    assert (target / "2.nac").read_text() == "mine"
    assert call("encode", source, target, "--skip", "--json") == 0
    assert [each["skipped"] for each in json.loads(capfd.readouterr().out)] == [True] * 3
    assert call("decode", target / "0.nac", tmp_path / "0.wav", "--skip") == 0  # it is not there: as without
    assert read(tmp_path / "0.wav").samples.shape == (1, 1, 800)


def test_times_are_said_as_on_a_clock(coded: Path, tmp_path: Path) -> None:
    assert call("decode", coded, tmp_path / "a.wav", "--start", "0:00:00.25", "--stop", "0:01", "-q") == 0
    assert read(tmp_path / "a.wav").samples.shape == (1, 1, 18000)


def test_a_folder_with_one_bad_file(tmp_path: Path, capfd: Captured) -> None:
    source, middle, target = (tmp_path / name for name in ("in", "coded", "out"))
    (source / "deep").mkdir(parents=True)
    for i in range(3):
        write(source / "deep" / f"{i}.wav", noise(8000 + i), 8000)
    (source / "bad.flac").write_bytes(b"fLaC and nothing")
    assert call("encode", source, middle, "--workers", "3") == 2
    said = capfd.readouterr()
    assert "bad.flac" in said.err and said.err.count("\n") == 1 and said.out.count("encoded") == 3
    (middle / "hello.nac").write_text("hello")
    assert call("decode", middle, target, "--to", "flac", "-j", "2", "--json") == 2
    found = {Path(each["source"]).name: each for each in json.loads(capfd.readouterr().out)}
    assert found["hello.nac"]["exit_code"] == 2 and "NAC" in found["hello.nac"]["error"]
    lengths = {path.name: read(path).samples.shape[2] for path in (target / "deep").iterdir()}
    assert lengths == {"0.flac": 8000, "1.flac": 8001, "2.flac": 8002}
    assert [path for path in tmp_path.rglob("*") if "part" in path.name] == []


def test_a_folder_with_one_file(sound: Path, tmp_path: Path, capfd: Captured) -> None:
    (tmp_path / "in").mkdir()
    sound.rename(tmp_path / "in" / "talk.wav")
    assert call("encode", tmp_path / "in", tmp_path / "new" / "out") == 0
    assert (tmp_path / "new" / "out" / "talk.nac").is_file()


def test_several_files_into_a_folder(sound: Path, tmp_path: Path, capfd: Captured) -> None:
    write(tmp_path / "b.wav", noise(100), 8000)
    assert call("encode", sound, tmp_path / "b.wav", f"{tmp_path}/out/") == 0
    assert sorted(os.listdir(tmp_path / "out")) == ["b.nac", "talk.nac"]


def test_damage_is_told_and_the_rest_is_written(coded: Path, capfd: Captured) -> None:
    data = bytearray(coded.read_bytes())
    data[len(data) // 2] ^= 1
    coded.write_bytes(data)
    assert call("decode", coded, coded.with_name("b.wav")) == 2
    assert "packet 0 at 0.00 s: " in capfd.readouterr().err
    assert read(coded.with_name("b.wav")).samples.shape == (1, 1, 24321)
    assert call("info", coded) == 2
    assert "damage     packet 0 at 0.00 s: " in capfd.readouterr().out


def test_codes_can_be_left_as_they_are(tmp_path: Path) -> None:
    packed, raw = tmp_path / "a.nac", tmp_path / "raw.nac"
    write(tmp_path / "a.wav", 0 * noise(24_000), 24_000)  # codes of silence can be foreseen
    assert call("encode", tmp_path / "a.wav", "-q") == call("encode", tmp_path / "a.wav", raw, "--raw-codes", "-q") == 0
    assert nac.read(raw) == nac.read(packed)
    assert nac.summary(packed).overhead_bytes < 0 < nac.summary(raw).overhead_bytes


def test_threads_change_no_byte(
    sound: Path, coded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Captured
) -> None:
    told, more, as_loaded = [], tmp_path / "more.nac", models.load
    monkeypatch.setattr(models, "load", lambda *a, **k: told.append(k["threads"]) or as_loaded(*a, **k))
    assert call("encode", sound, more, "--threads", "2") == 0
    assert call("decode", more, tmp_path / "back.wav", "--threads", "2") == 0
    assert told == [2, 2]
    assert more.read_bytes() == coded.read_bytes()


def test_stereo_is_mixed_with_a_word(tmp_path: Path, capfd: Captured) -> None:
    write(tmp_path / "a.wav", noise(1000, channels=2), 24000)
    assert call("encode", tmp_path / "a.wav") == 0
    assert capfd.readouterr().err == f"nacre: {tmp_path / 'a.wav'}: stereo mixed into mono\n"


def test_a_part_at_another_rate(coded: Path, tmp_path: Path, capfd: Captured) -> None:
    target = tmp_path / "b.wav"
    assert call("decode", coded, target, "--start", "0.25", "--stop", "0.75", "--rate", "8000", "-b", "3k") == 0
    sound = read(target)
    assert (sound.samples.shape, sound.sample_rate) == ((1, 1, 4000), 8000)


def test_codes_move_between_containers(tmp_path: Path, capfd: Captured) -> None:
    assert call("convert", LEGACY / "length.nac", tmp_path / "a.nac") == 0
    assert call("convert", tmp_path / "a.nac", tmp_path / "b.nac", "--to", "nac0") == 0
    assert call("convert", tmp_path / "b.nac", tmp_path / "again.nac") == 0  # the filler of its last block is not kept
    first, second = (nac.read(tmp_path / name) for name in ("a.nac", "again.nac"))
    assert first == second and first.frames > 0
    assert call("convert", LEGACY / "padded.dac", tmp_path / "c.nac", "--codec", "dac-24k") == 0
    assert nac.read(tmp_path / "c.nac").info.name == "dac-24k"
    assert call("convert", LEGACY / "chunked-stereo.dac", tmp_path / "d.nac") == 1
    said = capfd.readouterr()
    assert "coded in windows" in said.err and said.out.startswith("converted  ")
    assert call("info", LEGACY / "length.nac") == 0
    assert ".nac of 2023" in capfd.readouterr().out


def test_pipes_all_the_way(sound: Path) -> None:
    """WAV, .nac and raw samples go through standard input and output; words go to standard error."""
    coded = shell("encode", "-", "-", input=sound.read_bytes())
    assert coded.returncode == 0 and coded.stdout.startswith(b"NAC\x01") and b"encoded" in coded.stderr
    assert json.loads(shell("info", "-", "--json", input=coded.stdout).stdout)["samples"] == 24321
    wav = shell("decode", "-", "-", "--json", input=coded.stdout)
    assert wav.stdout.startswith(b"RIFF") and json.loads(wav.stderr)[0]["samples"] == 24321
    raw = shell("decode", "-", "--pcm", "s16le", input=coded.stdout)
    assert len(raw.stdout) == 2 * 24321 and wav.stdout.endswith(raw.stdout)
    again = shell("encode", "-", "--pcm", "s16le:24000", input=raw.stdout, check=True)
    assert again.stdout.startswith(b"NAC\x01")


def on_terminal(folder: Path, *words: str) -> tuple[int, str]:
    """Exit code and what a terminal shows on standard error."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*NACRE, *words],
        cwd=folder,
        stdin=theirs,
        stderr=theirs,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
    )
    os.close(theirs)
    shown = b""
    try:
        while data := os.read(ours, 4096):
            shown += data
    except OSError:  # Linux's word for the end of a terminal
        pass
    os.close(ours)
    return process.wait(60), shown.decode()


def test_progress_on_a_terminal_and_nowhere_else(tmp_path: Path) -> None:
    write(tmp_path / "long.wav", noise(30 * 24000), 24000)
    code, shown = on_terminal(tmp_path, "encode", "long.wav")
    assert code == 0
    assert "\rlong.wav  [" in shown and " left\x1b[K" in shown and shown.endswith("\r\x1b[K")
    assert on_terminal(tmp_path, "encode", "long.wav", "-fq") == (0, "")
    assert shell("encode", "long.wav", "-f", cwd=tmp_path).stderr == b""


def test_nobody_types_sound(tmp_path: Path) -> None:
    code, shown = on_terminal(tmp_path, "encode", "-", "a.nac")
    assert code == 1 and "standard input is a terminal" in shown


def test_completion_for_bash(tmp_path: Path) -> None:
    script = f"{' '.join(NACRE)} --show-completion; true"  # or bash would make way for python
    shown = subprocess.run(["bash", "-c", script], capture_output=True, timeout=60)
    assert b"complete -o default -F _nacre_completion nacre" in shown.stdout
    words = {"_NACRE_COMPLETE": "complete_bash", "COMP_WORDS": "nacre enc", "COMP_CWORD": "1"}
    assert subprocess.run(NACRE, env={**os.environ, **words}, capture_output=True).stdout.split() == [b"encode"]
    words |= {"COMP_WORDS": "nacre encode --model pe", "COMP_CWORD": "3"}
    assert subprocess.run(NACRE, env={**os.environ, **words}, capture_output=True).stdout.split() == [b"pearl-24k"]


def test_main_takes_the_words_of_the_shell() -> None:
    said = shell("--version")
    assert (said.returncode, said.stdout) == (0, f"nacre {nacre.__version__}\n".encode())
    assert shell("fly").returncode == 1


def test_a_file_name_that_is_no_text(tmp_path: Path, sound: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    os.rename(os.fsencode(sound), os.fsencode(folder) + b"/\xff.wav")
    said = shell("encode", "in", "out", "--json", cwd=tmp_path)
    assert said.returncode == 0
    assert json.loads(said.stdout)[0]["source"] == "in/\udcff.wav"


def test_light_verbs_load_nothing_heavy() -> None:
    code = "import sys; from nacre import cli; cli.run(['--version']); print(*sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {"numpy", "onnxruntime", "soundfile", "rich", "nacre.files"}.isdisjoint(said.stdout.split())
