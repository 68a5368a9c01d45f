"""varint: the shortest form and no other, and nothing read over the end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nacre.container.varint import Cursor, varint
from nacre.errors import DamagedError


@given(st.integers(0, (1 << 56) - 1), st.binary(max_size=3))
def test_numbers_come_back(value: int, rest: bytes) -> None:
    data = varint(value)
    assert len(data) == max(1, -(-value.bit_length() // 7))
    cursor = Cursor(data + rest)
    assert cursor.varint(value) == value
    assert cursor.take(cursor.left) == rest


def test_known_bytes() -> None:
    assert [varint(n).hex() for n in (0, 127, 128, 300, 24000)] == ["00", "7f", "8001", "ac02", "c0bb01"]


@pytest.mark.parametrize(
    ("data", "most"),
    [
        (b"", 9),
        (b"\x80", 999),
        (b"\x0a", 9),
        (b"\x81\x00", 999),
        (b"\xff" * 8 + b"\x01", 1 << 60),
        (b"\xff" * 99, 1 << 99),
    ],
)
def test_what_is_short_long_or_too_large_is_damage(data: bytes, most: int) -> None:
    with pytest.raises(DamagedError):
        Cursor(data).varint(most)


def test_text_and_bytes_end_where_the_data_ends() -> None:
    cursor = Cursor("añ".encode())
    assert cursor.byte() == ord("a")
    assert cursor.text(2) == "ñ"
    with pytest.raises(DamagedError, match="expected 1 more bytes, got 0"):
        cursor.byte()
    with pytest.raises(DamagedError, match="UTF-8"):
        Cursor(b"\xff").text(1)
