"""arithmetic: what goes in comes out, in as few bits as the counts allow; short and false bytes are refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nacre.container.arithmetic import BITS, ArithmeticDecoder, ArithmeticEncoder
from nacre.errors import DamagedError, InputError


def counts_of(weights: list[int]) -> np.ndarray:
    """Cumulative counts that leave each symbol at least 2 and are 2^24 at most in all."""
    array = np.asarray(weights, np.float64)
    room = (1 << BITS) - 2 * len(array)
    return np.cumsum((array / max(1, array.sum()) * room).astype(np.int64) + 2)


tables = st.lists(st.integers(0, 1000), min_size=2, max_size=40).map(counts_of)
said = st.lists(st.tuples(tables, st.integers(0, 1 << 16)), max_size=60)


def coded(symbols: list[tuple[np.ndarray, int]]) -> bytes:
    encoder = ArithmeticEncoder()
    for counts, symbol in symbols:
        encoder.push(symbol, counts)
    return encoder.finish()


@given(said)
@example([(counts_of([1, 0]), 1)] * 50)
@example([(counts_of([1, 1]), 1)] * 200)
def test_symbols_come_back_and_bytes_are_few(drawn: list[tuple[np.ndarray, int]]) -> None:
    symbols = [(counts, symbol % len(counts)) for counts, symbol in drawn]
    data = coded(symbols)
    decoder = ArithmeticDecoder(data + b"rest")
    assert [decoder.pull(counts) for counts, _ in symbols] == [symbol for _, symbol in symbols]
    assert decoder.used == len(data)
    shares = [np.diff(counts, prepend=0)[symbol] / (1 << BITS) for counts, symbol in symbols]
    assert 8 * len(data) <= sum(-math.log2(share) for share in shares) + 0.01 * len(symbols) + BITS + 9


def test_the_bits_are_those_of_the_package() -> None:
    """Made by `ArithmeticCoder` of encodec 0.1.1 with these symbols and counts."""
    counts = [counts_of([1 + (i * j) % 7 for i in range(10)]) for j in range(12)]
    assert coded([(each, j % 10) for j, each in enumerate(counts)]).hex() == EXPECTED


EXPECTED = "00dfa31979f02ade00"


def test_bytes_that_end_or_lie_are_refused() -> None:
    counts = counts_of([1] * 8)
    data = coded([(counts, 3)] * 40)
    decoder = ArithmeticDecoder(data[:5])
    with pytest.raises(DamagedError, match="cut short"):
        [decoder.pull(counts) for _ in range(40)]
    with pytest.raises(DamagedError, match="name no symbol"):
        ArithmeticDecoder(b"\xff" * 8).pull(np.array([2, 4]))


def test_counts_that_are_too_many_are_refused() -> None:
    with pytest.raises(InputError, match="more than 2"):
        ArithmeticEncoder().push(1, np.array([2, (1 << BITS) + 1]))
