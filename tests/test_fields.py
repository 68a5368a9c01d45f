"""fields: foreign headers are checked, number by number, before anything is made from them."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from nacre.codes import CodecInfo, Codes
from nacre.container.fields import MAX_JSON, check_whole, split_header, whole
from nacre.errors import DamagedError, InputError


def test_whole_takes_plain_integers_in_range_only() -> None:
    assert [whole(value, 0, 5, "n") for value in (0, 3, 5)] == [0, 3, 5]
    for value in (-1, 6, 2**70, 10**4000, 3.0, "3", True, None, [3], np.int64(3)):
        with pytest.raises(DamagedError, match=r"^n should be a whole number from 0 to 5, got") as caught:
            whole(value, 0, 5, "n")
        assert len(str(caught.value)) < 100


def header(text: bytes, size: int | None = None) -> bytes:
    return struct.pack("!3sBIB", b"NAC", 0, len(text) if size is None else size, 7) + text


def test_a_header_splits_into_fields_json_and_body() -> None:
    assert split_header(header(b'{"a": [1]}') + b"body", "!3xBIB") == ((0, 10, 7), {"a": [1]}, b"body")
    assert split_header(header(b"null"), "!3xBIB") == ((0, 4, 7), None, b"")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        header(b"")[:8],
        header(b""),
        header(b"nul"),
        header(b"null", 5),
        header(b"null", 2**32 - 1),
        header(b" " * MAX_JSON + b"1"),
        header(b"[" * MAX_JSON),
        header(b'{"a":' * 800),
        header(b"9" * MAX_JSON, MAX_JSON + 1),
        header(b"\xff\xfe\xfd"),
        header(b'"\xc3"'),
    ],
)
def test_a_broken_header_is_damage(data: bytes) -> None:
    with pytest.raises(DamagedError):
        split_header(data, "!3xBIB")


def test_only_whole_files_of_the_right_codec_pass() -> None:
    info = CodecInfo("a", "", 8000, 1, 10, (4,))
    level = np.zeros((1, 4), np.int64)
    assert check_whole(Codes((level,), 40, info, lost=np.zeros(4, bool)), ("b", "a"), ".x") == "a"
    for codes, words in (
        (Codes((level,), 40, info, start=1), "piece"),
        (Codes((level,), 40, info, lost=np.ones(4, bool)), "lost"),
        (Codes((level,), 40, CodecInfo("c", "", 8000, 1, 10, (4,))), "b or a, got c"),
    ):
        with pytest.raises(InputError, match=words):
            check_whole(codes, ("b", "a"), ".x")
