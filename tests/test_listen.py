"""The verbs of `nacre listen`: new, export, results, and how they say no."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from listening_test import RATE, folders

from nacre.audio import read
from nacre.audio.loudness import loudness
from nacre.cli import run
from nacre.cli.listen import parse_entrant
from nacre.evaluation.listening.making import Entrant
from nacre.evaluation.listening.plan import ANSWERS, read_plan
from nacre.evaluation.listening.store import Answer, Store


def built(place: Path, *more: str) -> Path:
    folders(place, 1)
    words = ["listen", "new", str(place / "test"), "--data", str(place / "data"), "--title", "Mine"]
    words += ["--codec", f"first={place / 'bad'}", "--codec", f"second={place / 'fair'}", *more]
    assert run(words) == 0
    return place / "test"


def test_a_test_is_built_exported_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = built(tmp_path)
    assert "1 page of mushra" in capsys.readouterr().out
    plan = read_plan(folder)
    assert (plan.title, plan.codecs) == ("Mine", ["first", "second"])
    store = Store(folder / ANSWERS)
    for name, reference in (("Ada", 100), ("Bo\x1b[2J", 20)):
        said = {"reference": reference, "anchor35": 10, "anchor70": 50, "first": 30, "second": 70}
        store.keep(Answer(store.join(name).id, 0, {key: float(score) for key, score in said.items()}))
    store.close()
    assert run(["listen", "results", str(folder), "--figure", str(tmp_path / "f.svg")]) == 0
    told = capsys.readouterr()
    assert "2 came, 1 count" in told.out and "second" in told.out and "70.00" in told.out
    assert "Bo?[2J is left out: rated the hidden reference below 90 in 100% of trials" in told.err
    assert "inf" not in told.out and " –" in told.out  # one listener: no interval
    assert (tmp_path / "f.svg").read_text("utf-8").startswith("<svg")
    assert run(["listen", "results", str(folder), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["scores"][0]["interval"]["low"] is None  # one listener: no interval
    assert run(["listen", "export", str(folder), str(tmp_path / "web")]) == 0
    assert (tmp_path / "web" / "configs" / "test.yaml").is_file()


def test_a_test_is_as_its_options_say(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders(tmp_path, 2)
    (tmp_path / "consent.txt").write_text("I agree.")
    words = ["listen", "new", str(tmp_path / "test"), "--data", str(tmp_path / "data" / "clip0.wav"), "--kind", "ab"]
    words += ["--codec", f"first={tmp_path / 'bad'}", "--codec", f"second={tmp_path / 'fair'}"]
    words += ["--training", str(tmp_path / "data" / "clip1.wav"), "--loudness", "-30", "--repeats", "3"]
    assert run([*words, "--consent", str(tmp_path / "consent.txt"), "--title", "Mine"]) == 0
    assert "3 pages of ab" in capsys.readouterr().out
    plan = read_plan(tmp_path / "test")
    assert ([item.name for item in plan.items], plan.training.name) == (["clip0"], "clip1")
    assert (plan.title, plan.consent, plan.loudness, plan.repeats) == ("Mine", "I agree.", -30, 3)
    for place in (*plan.items[0].sounds.values(), *plan.training.sounds.values()):
        assert loudness(read(tmp_path / "test" / place).samples[0], RATE) == pytest.approx(-30, abs=0.2)
    assert run([*words[:2], str(tmp_path / "quiet"), *words[3:], "--quiet"]) == 0
    assert capsys.readouterr().out == "" and read_plan(tmp_path / "quiet").title == "Listening test"


def test_a_server_is_told_where(monkeypatch: pytest.MonkeyPatch) -> None:
    serving, told = pytest.importorskip("nacre.evaluation.listening.serving"), []
    monkeypatch.setattr(serving, "serve", lambda folder, host, port, tell: told.append((folder, host, port)))
    assert run(["listen", "serve", "t", "--host", "::", "--port", "9"]) == run(["listen", "serve", "t"]) == 0
    assert told == [(Path("t"), "::", 9), (Path("t"), "0.0.0.0", 8723)]


def test_each_person_has_a_link(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("uvicorn")
    folder = built(tmp_path)
    capsys.readouterr()
    words = ["listen", "invite", str(folder), "Ada", "  P 7 ", "--address", "https://listen.example/"]
    assert run(words) == 0
    first = capsys.readouterr().out
    links = [line.rpartition("https://listen.example/join/") for line in first.splitlines()]
    assert [name.split() for name, _, _ in links] == [["Ada"], ["P", "7"]]
    assert len({token for *_, token in links}) == 2 and all(len(token) >= 32 for *_, token in links)
    assert run([*words[:4], "New", *words[5:]]) == run(words) == 0
    assert capsys.readouterr().out.endswith(first)  # the same name, the same link
    assert run(words[:4]) == 0
    assert ":8723/join/" in capsys.readouterr().out
    assert run(["listen", "invite", str(folder), "a\nb\x1b"]) == 1
    assert "a name has 1 to 80 letters that can be printed, got 'a?b?'" in capsys.readouterr().err


def test_mistakes_are_told_in_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, latin = built(tmp_path, "--kind", "ab"), tmp_path / "consent.txt"
    latin.write_bytes("Einverständnis".encode("latin-1"))
    capsys.readouterr()
    new = ["listen", "new", str(tmp_path / "x"), "--data", str(tmp_path / "data"), "--codec", "a@1k"]
    for words, said in (
        ([*new, "--kind", "mos"], "no kind of test 'mos'"),
        ([*new[:-1], "a=absent"], "expected LABEL=FOLDER"),
        ([*new[:-1], "pearl-24k@fast"], "a bitrate looks like"),
        ([*new, "--consent", str(latin)], "consent.txt is no text in UTF-8; save it so"),
        ([*new, "--consent", "absent.txt"], "absent.txt does not exist"),
        (["listen", "results", str(folder), "--figure", str(latin)], "consent.txt exists; choose another name"),
        (["listen", "results", str(tmp_path)], "is no listening test"),
        (["listen", "serve", str(tmp_path), "--host", "127.0.0.1"], "is no listening test"),
        (["listen", "export", str(folder), str(tmp_path / "web")], "no page that compares"),
    ):
        assert run(words) == 1
        assert said in capsys.readouterr().err


def test_without_a_verb_the_verbs_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["listen"]) == 0
    said = capsys.readouterr()
    assert said.err == "" and all(verb in said.out for verb in ("new", "serve", "invite", "export", "results"))


def test_entrants_are_codecs_with_bitrates_or_folders(tmp_path: Path) -> None:
    assert parse_entrant("pearl-24k@1.5k") == Entrant("pearl-24k 1.5k", codec="pearl-24k", bitrate=1500)
    assert parse_entrant("pearl-24k") == Entrant("pearl-24k", codec="pearl-24k")
    assert parse_entrant(f"ours={tmp_path}") == Entrant("ours", folder=tmp_path)
