from __future__ import annotations

from pathlib import Path

import pytest

from nacre.audio import RawFormat
from nacre.cli.arguments import complete_model, parse_bitrate, parse_pcm, parse_tags, parse_time, spread
from nacre.errors import InputError


@pytest.mark.parametrize(
    ("text", "bits"),
    [("1.35k", 1350), ("1.35kbps", 1350), ("6K", 6000), ("6000", 6000), ("2700bit/s", 2700), ("1.5 kbps", 1500)],
)
def test_bitrates_are_read_as_people_write_them(text: str, bits: float) -> None:
    assert parse_bitrate(text) == pytest.approx(bits)


@pytest.mark.parametrize("text", ["", "k", "fast", "-6k", "0", "nan", "inf", "1e12", "6 k b"])
def test_other_bitrates_are_refused_with_an_example(text: str) -> None:
    with pytest.raises(InputError, match="bits a second"):
        parse_bitrate(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0.0), ("90", 90.0), ("1.5", 1.5), (".5", 0.5), ("1:30", 90.0), ("1:02:03.5", 3723.5), (" 0:75 ", 75.0)],
)
def test_times_are_read_as_people_write_them(text: str, seconds: float) -> None:
    assert parse_time(text) == seconds


@pytest.mark.parametrize("text", ["", ":", ".", "1:", ":30", "-1", "1:-1", "1.5:30", "1:2:3:4", "nan", "1e3", "²"])
def test_other_times_are_refused_with_an_example(text: str) -> None:
    with pytest.raises(InputError, match=r"a time looks like 90, 1:30 or 1:02:03\.5, got"):
        parse_time(text)


def test_tags_may_hold_equal_signs() -> None:
    assert parse_tags(["title=a=b", "note="]) == {"title": "a=b", "note": ""}
    for bad in ("title", "=x"):
        with pytest.raises(InputError, match="title=Morning"):
            parse_tags([bad])


def test_raw_formats() -> None:
    assert parse_pcm("s16le:24000") == RawFormat("s16le", 24000, 1)
    assert parse_pcm("f32le:48000:2") == RawFormat("f32le", 48000, 2)


@pytest.mark.parametrize("text", ["s16le", "s16le:", "s16le:24k", "s16le:24000:1:1", "s16le:-1", "mp3:24000"])
def test_other_raw_formats_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="s16le"):
        parse_pcm(text)


def test_model_names_complete() -> None:
    assert complete_model("pe") == ["pearl-24k"]
    assert complete_model("zz") == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("train --data a.tar b.tar c.tar", "train --data a.tar --data b.tar --data c.tar"),
        ("train r.toml --data=a.tar b.tar -q", "train r.toml --data=a.tar --data b.tar -q"),
        ("train --data a.tar r.toml --set k=1 b.tar", "train --data a.tar r.toml --set k=1 b.tar"),
        ("train --data a.tar pearl-24k b.tar", "train --data a.tar pearl-24k --data b.tar"),
        ("train --data a.tar --data b.tar", "train --data a.tar --data b.tar"),
        ("encode a.tar b.tar", "encode a.tar b.tar"),
        ("train --data", "train --data"),
    ],
)
def test_what_a_shell_makes_of_a_star_follows_the_option(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str, told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.tar", "b.tar", "c.tar", "r.toml"):
        Path(name).touch()
    assert spread(words.split()) == told.split()
