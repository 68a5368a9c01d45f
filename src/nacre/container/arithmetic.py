"""EnCodec's arithmetic coder, in whole numbers: the bits of `encodec` 0.1.1, whose floats never round here either.

An interval of 2^24 to 2^25 - 1 numbers is divided among the symbols as cumulative counts say; bits that its two ends
share are settled and leave. Products stay below 2^49, so float64 and integers agree.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import DamagedError, InputError

BITS = 24  # counts of all symbols add up to 2^24 at most, each is 2 at least
Counts = NDArray[np.int64]  # [N], cumulative: what symbols 0 to s take


class _Interval:
    """Numbers `low` to `high`, written in `width` bits."""

    def __init__(self) -> None:
        self.low = self.high = self.width = 0

    def widen(self) -> int:
        """Make room for a symbol; how many bits were added."""
        more = max(0, BITS + 1 - (self.high - self.low + 1).bit_length())
        self.low, self.high, self.width = self.low << more, ((self.high + 1) << more) - 1, self.width + more
        return more

    def narrow(self, begin: int, end: int) -> None:
        """Keep the part that counts `begin` to `end - 1` have."""
        size = self.high - self.low + 1
        self.low, self.high = self.low - (-begin * size >> BITS), self.low + ((end - 1) * size >> BITS)

    def settle(self) -> tuple[int, int]:
        """Take off the leading bits that both ends share: their value and their number."""
        shared = self.width - (self.low ^ self.high).bit_length()
        if shared < 0:  # `encodec` ends here too
            raise InputError("the language model's counts add up to more than 2^24; write this file without it")
        self.width -= shared
        value = self.low >> self.width
        self.low -= value << self.width
        self.high -= value << self.width
        return value, shared


class ArithmeticEncoder:
    """Symbols in, bytes out."""

    def __init__(self) -> None:
        self._interval, self._bits = _Interval(), bytearray()

    def push(self, symbol: int, counts: Counts) -> None:
        """Say `symbol`, whose share is `counts[symbol - 1]` to `counts[symbol]`."""
        self._interval.widen()
        self._interval.narrow(int(counts[symbol - 1]) if symbol else 0, int(counts[symbol]))
        self._write(*self._interval.settle())

    def finish(self) -> bytes:
        """All bytes; the last one is filled up with zeros."""
        self._write(self._interval.low, self._interval.width)
        return np.packbits(np.frombuffer(self._bits, np.uint8), bitorder="little").tobytes()

    def _write(self, value: int, count: int) -> None:
        self._bits += bytes(value >> i & 1 for i in range(count - 1, -1, -1))


class ArithmeticDecoder:
    """Bytes in, the same symbols out when the same counts are given."""

    def __init__(self, data: bytes | memoryview) -> None:
        self._interval, self._data = _Interval(), data
        self._place = 0  # the number in the interval that the bits name
        self._read = 0  # bits

    @property
    def used(self) -> int:
        """Bytes that were read, the last one perhaps in part."""
        return -(-self._read // 8)

    def pull(self, counts: Counts) -> int:
        """The next symbol; a DamagedError where the bytes end or name none."""
        interval = self._interval
        for _ in range(interval.widen()):
            if self._read >= 8 * len(self._data):
                raise DamagedError("the file ends inside its codes: cut short, or packed with another language model")
            self._place = self._place << 1 | self._data[self._read >> 3] >> (self._read & 7) & 1
            self._read += 1
        size = interval.high - interval.low + 1
        starts = -(-counts * size >> BITS)  # of the symbols after each one
        symbol = int(np.searchsorted(starts, self._place - interval.low, side="right"))
        if symbol < len(counts):
            interval.narrow(int(counts[symbol - 1]) if symbol else 0, int(counts[symbol]))
        if symbol >= len(counts) or self._place > interval.high:
            raise DamagedError("the codes name no symbol: damaged, or packed with another language model or machine")
        value, _ = interval.settle()
        self._place -= value << interval.width
        return symbol
