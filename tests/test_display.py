from __future__ import annotations

import io
import json
import sys
from contextlib import redirect_stderr
from typing import Any

import pytest

from nacre.batch import Failure
from nacre.cli import display
from nacre.cli.display import Progress, aligned, folded, print_table, report_outcomes, summary_rows
from nacre.errors import DamagedError, InputError
from nacre.files import Outcome

MADE = Outcome("a.wav", "a.nac", 2.0, 48000, 24000, 1500, 9, 1)


def test_columns_are_aligned_and_empty_ones_left_out() -> None:
    rows = [("a", "1", "", "x"), ("long", "22", "", "")]
    assert aligned(rows, right=(1,)) == ["a      1  x", "long  22"]
    assert aligned([]) == []


def test_a_wide_table_goes_on_below_behind_its_first_columns(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [["codec", "kbps", "PESQ", "STOI", "SDR"], ["pearl", "6", "2.40", ".907", "4.9"]]
    assert folded(rows, 1, 80) == [rows]
    first, second = folded(rows, 1, len("codec  kbps  PESQ"))
    assert first == [["codec", "kbps", "PESQ"], ["pearl", "6", "2.40"]]
    assert second == [["codec", "STOI", "SDR"], ["pearl", ".907", "4.9"]]
    assert [len(table) for table in folded(rows, 1, 3)] == [2] * 4  # a column is never cut
    print_table(rows, keep=1)
    assert capsys.readouterr().out.splitlines() == ["codec  kbps  PESQ  STOI  SDR", "pearl  6     2.40  .907  4.9"]
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("COLUMNS", "17")
    print_table(rows, keep=1)
    assert terminal.getvalue().splitlines() == [
        *("codec  kbps  PESQ", "pearl  6     2.40", "", "codec  STOI  SDR", "pearl  .907  4.9")
    ]
    print_table([], keep=1)


def test_what_was_made_is_told_in_a_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    clipped = Outcome("long name.wav", "b.nac", 12.0, 1, 24000, 12000, 9, 1, mixed_from=2, clipped=3)
    assert report_outcomes("encoded", [MADE, clipped]) == 0
    said = capsys.readouterr()
    assert said.out.splitlines() == [
        "encoded  a.wav          ->  a.nac   2.00 s   1500 bytes  6.00 kbps",
        "encoded  long name.wav  ->  b.nac  12.00 s  12000 bytes  8.00 kbps  3 samples clipped",
    ]
    assert said.err == "nacre: long name.wav: stereo mixed into mono\n"


def test_the_exit_code_is_the_worst_and_every_error_names_its_file(capsys: pytest.CaptureFixture[str]) -> None:
    refused = Failure("b.wav", InputError("b.wav does not exist; check the name"))
    broken = Failure("c.wav", DamagedError("it was cut short"))
    hurt = Outcome("d.nac", "d.wav", 2.0, 1, 1, 1, 1, 1, damage=("packet 3 at 2.99 s: bad",))
    assert report_outcomes("encoded", [MADE, refused]) == 1
    assert report_outcomes("encoded", [refused, broken, MADE]) == 2
    assert report_outcomes("decoded", [hurt, MADE], quiet=True) == 2
    said = capsys.readouterr()
    assert said.err.splitlines() == [
        "nacre: b.wav does not exist; check the name",
        "nacre: b.wav does not exist; check the name",
        "nacre: c.wav: it was cut short",
        "nacre: d.nac: packet 3 at 2.99 s: bad",
    ]
    assert len(said.out.splitlines()) == 2


def test_json_tells_of_all_files_and_nothing_else_is_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    assert report_outcomes("encoded", [MADE, Failure("b.wav", DamagedError("cut"))], as_json=True) == 2
    made, failed = json.loads(capsys.readouterr().out)
    assert made == {
        "source": "a.wav", "target": "a.nac", "seconds": 2.0, "samples": 48000, "sample_rate": 24000, "bytes": 1500,
        "levels": 9, "channels": 1, "mixed_from": 0, "clipped": 0, "damage": [], "bitrate": 6000.0, "error": None,
        "exit_code": 0,
    }  # fmt: skip
    assert failed == {"source": "b.wav", "error": "cut", "exit_code": 2}


@pytest.mark.parametrize("as_json", [False, True])
def test_standard_output_is_left_to_the_sound(capsys: pytest.CaptureFixture[str], as_json: bool) -> None:
    report_outcomes("decoded", [Outcome("-", "-", 1.0, 1, 1, 0, 1, 1)], as_json)
    said = capsys.readouterr()
    assert said.out == "" and "1.0" in said.err


def test_json_stays_out_of_the_sound_when_it_fails(capsys: pytest.CaptureFixture[str]) -> None:
    report_outcomes("decoded", [Failure("a.nac", DamagedError("cut"), "-")], as_json=True)
    said = capsys.readouterr()
    assert said.out == "" and '"error": "cut"' in said.err


SUMMARY: dict[str, Any] = {
    "file": "a.nac", "container": "nac", "codec": "pearl-24k", "digest": "00ff", "sample_rate": 24000, "channels": 2,
    "levels": 4, "codec_levels": 9, "seconds": 3725.5, "samples": 89412000, "bytes": 1000, "bitrate": 1354.0,
    "nominal_bitrate": 2700.0, "packets": 7, "code_bytes": 990, "tags": {"title": "Morgen", "rate": "8000"},
    "damage": [{"sentence": "packet 1"}, {"sentence": "packet 2"}],
}  # fmt: skip


def test_info_says_a_thing_a_line() -> None:
    assert summary_rows(SUMMARY) == [
        ("file", "a.nac"),
        ("container", ".nac, version 1"),
        ("codec", "pearl-24k 00ff"),
        ("sound", "24000 Hz, stereo"),
        ("length", "1:02:05.50 (89412000 samples)"),
        ("levels", "4 of 9"),
        ("size", "1000 bytes in 7 packets"),
        ("bitrate", "1.35 kbps; the codes alone, packed plainly: 2.70 kbps"),
        ("tag title", "Morgen"),
        ("tag rate", "8000"),
        ("damage", "packet 1"),
        ("damage", "packet 2"),
    ]


def test_a_tag_can_neither_add_a_line_nor_steer_the_terminal() -> None:
    rows = summary_rows(SUMMARY | {"tags": {"a\nb": "x\ndamage \x1b[31m Ünï 語 😀"}})
    assert ("tag a\\nb", r"x\ndamage \x1b[31m Ünï 語 😀") in rows
    rows = summary_rows(SUMMARY | {"codec": "a\x1b[2J", "metadata": {"t\x1b[2J": "\x1b]0;owned\x07\nbitrate  1"}})
    assert all(text.isprintable() for row in rows for text in row)


def test_info_on_files_of_earlier_codecs() -> None:
    old = {key: value for key, value in SUMMARY.items() if key not in ("packets", "tags", "damage")}
    old |= {"container": "dac", "digest": "", "channels": 6, "seconds": 65.0, "metadata": {"padding": True}}
    found = dict(summary_rows(old))
    assert found["container"] == ".dac of the Descript Audio Codec" and found["codec"] == "pearl-24k"
    assert (found["sound"], found["size"], found["header padding"]) == ("24000 Hz, 6 channels", "1000 bytes", "True")
    assert found["length"].startswith("1:05.00 ")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(display, "_EVERY", 0.0)
    return Terminal()


def test_progress_is_one_line_that_goes_away(terminal: Terminal) -> None:
    with redirect_stderr(terminal), Progress(1) as progress:
        report = progress.begin("talk\x1b.wav")
        report(30.0, 120.0)
        progress.end("talk\x1b.wav")
    looks = terminal.getvalue().split("\r")
    assert "talk?.wav  [######..................]  25%" in looks[2]
    assert looks[-1] == "\x1b[K" and "\n" not in terminal.getvalue()


def test_progress_says_what_is_known() -> None:
    one = Progress(1)
    one.begin("pipe")(42.0, None)
    assert one.line(1.0) == "pipe  42.00 s"
    many = Progress(4)
    for name in "abcd":
        many.begin(name)(5.0, 10.0 if name == "a" else None)
    many.end("d")
    assert many.line(30.0) == "1 of 4 files  [#########...............]  38%  50 s left"


def test_progress_is_only_for_terminals_that_want_it(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(quiet: bool = False) -> bool:
        with redirect_stderr(terminal), Progress(1, quiet) as progress:
            progress.begin("a")(1.0, 2.0)
        return terminal.getvalue() == ""

    assert not silent()
    terminal.truncate(0)
    assert silent(quiet=True)
    monkeypatch.setenv("TERM", "dumb")
    assert silent()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(terminal, "isatty", lambda: False)
    assert silent()
