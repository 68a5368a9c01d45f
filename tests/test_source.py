"""source: a window onto anything readable; a pipe is asked for no more than is needed."""

from __future__ import annotations

import io
from pathlib import Path
from typing import BinaryIO, cast

import pytest

from nacre.container.source import Source
from nacre.errors import InputError


class Pipe:
    """Cannot seek, and gives at most `most` bytes at a time."""

    def __init__(self, data: bytes, most: int = 1 << 30) -> None:
        self.data, self.most, self.given = data, most, 0

    def read(self, count: int) -> bytes:
        part = self.data[self.given : self.given + min(count, self.most)]
        self.given += len(part)
        return part


def test_short_reads_are_joined() -> None:
    source = Source(cast(BinaryIO, Pipe(bytes(range(100)), most=7)))
    assert not source.seekable
    assert source.fill(20) == 20
    assert source.data[:20] == bytes(range(20))
    source.drop(5)
    assert (source.offset, source.data[0]) == (5, 5)
    assert source.fill(1000) == 95
    assert source.fill(1000) == 95
    assert source.size == 100


def test_a_pipe_is_not_read_ahead() -> None:
    pipe = Pipe(bytes(100))
    Source(cast(BinaryIO, pipe)).fill(20)
    assert pipe.given == 20


def test_a_file_can_be_jumped_in_from_where_it_stood(tmp_path: Path) -> None:
    file = io.BytesIO(bytes(range(200)))
    file.seek(50)
    source = Source(file)
    assert source.fill(1) >= 1
    assert source.data[0] == 50
    assert source.size == 150
    source.jump(100)
    assert source.fill(1000) == 50
    assert (source.data[0], source.offset) == (150, 100)
    source.close()
    assert not file.closed
    (tmp_path / "x").write_bytes(b"abc")
    for readable in (b"abc", tmp_path / "x", str(tmp_path / "x")):
        source = Source(readable)
        assert source.fill(9) == 3
        source.close()
    assert source.file.closed


def test_what_cannot_be_opened_is_a_plain_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no does not exist; check the name"):
        Source(tmp_path / "no")
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        Source(tmp_path)
