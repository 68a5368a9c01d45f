from __future__ import annotations

import io
import re
from pathlib import Path

import pytest

from nacre.errors import InputError
from nacre.opening import open_file


@pytest.mark.parametrize(("buffering", "kind"), [(-1, io.BufferedReader), (0, io.FileIO)])
def test_what_is_there_is_opened(tmp_path: Path, buffering: int, kind: type[io.IOBase]) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    for path in (tmp_path / "a", str(tmp_path / "a")):
        with open_file(path, buffering) as file:
            assert isinstance(file, kind) and file.read() == b"abc"


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("none", "none does not exist; check the name"),
        (".", " cannot be read: Is a directory"),
        ("plain/a", "a cannot be read: Not a directory"),
        ("a\0b", "a\0b cannot be read: embedded null byte"),
    ],
)
def test_what_is_not_is_a_sentence_that_begins_with_its_name(tmp_path: Path, name: str, sentence: str) -> None:
    (tmp_path / "plain").touch()
    with pytest.raises(InputError, match=f"^{re.escape(str(tmp_path))}.*{re.escape(sentence)}$"):
        open_file(tmp_path / name)
