"""bits: packing is the plain definition of LSB-first, for every width."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nacre.container import bits
from nacre.errors import DamagedError, InputError


def test_bits_fill_each_byte_from_its_lowest_end() -> None:
    assert bits.pack([1, 0, 1], 1) == b"\x05"
    assert bits.pack([0x3FF, 0], 10) == b"\xff\x03\x00"
    assert bits.pack([0x155, 0x2AA], 10) == (0x155 | 0x2AA << 10).to_bytes(3, "little")


@given(st.integers(1, 20).flatmap(lambda w: st.tuples(st.just(w), st.lists(st.integers(0, 2**w - 1), max_size=40))))
def test_packing_is_one_little_endian_number(case: tuple[int, list[int]]) -> None:
    width, values = case
    number = sum(value << i * width for i, value in enumerate(values))
    data = number.to_bytes(bits.packed_size(len(values), width), "little")
    assert bits.pack(values, width) == data
    assert bits.unpack(data + b"surplus", len(values), width).tolist() == values


@pytest.mark.parametrize("width", [1, 7, 10, 20])
@pytest.mark.parametrize("count", [2**16 - 1, 2**16, 2**16 + 1, 3 * 2**16 + 5])
def test_long_arrays_cross_blocks_without_a_seam(width: int, count: int) -> None:
    values = np.random.default_rng(0).integers(0, 1 << width, count)
    data = bits.pack(values, width)
    assert len(data) == -(-count * width // 8)
    assert np.array_equal(bits.unpack(data, count, width), values)
    assert bits.unpack(data, count, width).dtype == np.int64


def test_what_does_not_fit_is_refused() -> None:
    for values, width in (([4], 2), ([-1], 5), ([0], 0), ([0], 21)):
        with pytest.raises(InputError):
            bits.pack(values, width)
    with pytest.raises(DamagedError, match="expected 3 bytes for 2 values of 10 bits, got 2"):
        bits.unpack(b"ab", 2, 10)
    with pytest.raises(DamagedError):
        bits.unpack(b"ab", -1, 10)
