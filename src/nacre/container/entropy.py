"""Entropy coding of codes: integer models that adapt as they go, and constriction's range coder.

Bit-exact on every machine because the models are integers: see "Why this is bit-exact" in docs/format.md.
Each level has its own counts; every packet starts again from the static table.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import constriction
import numpy as np
from numpy.typing import NDArray

from ..codes import CodecInfo, Level
from ..errors import DamagedError
from .priors import Counts

PRECISION = 24  # bits of a frequency in constriction's range coder
_BLOCK = 8  # codes between two rebuilds of a model, at least
_BLOCKS = 16  # rebuilds of a level's model in one packet, at most
_QUEUE, _MODEL = constriction.stream.queue, constriction.stream.model


def frequencies(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Whole frequencies, each at least 1 and 2**24 in sum, in proportion to `counts` (each >= 0, sum 1 to 2**38)."""
    sums = np.zeros(counts.size + 1, np.int64)
    np.cumsum(counts, out=sums[1:])
    total = int(sums[-1])
    sums *= (1 << PRECISION) - counts.size
    sums //= total
    return np.diff(sums) + 1


def encode(levels: Sequence[Level], info: CodecInfo, tables: Sequence[Counts]) -> bytes:
    """The codes of one packet, levels `[1, frames of that level]`, as the fewest bytes that decode to them."""
    coder = _QUEUE.RangeEncoder()
    for level, table, bits in zip(levels, tables, info.bits, strict=False):
        shift = max(0, bits - Counts.BITS)
        adaptive = Adaptive(table)
        for block in _blocks(level.shape[1]):
            codes = level[0, block]
            symbols = codes >> shift
            coder.encode(symbols.astype(np.int32), adaptive.model())
            if shift:
                coder.encode((codes & ((1 << shift) - 1)).astype(np.int32), _MODEL.Uniform(1 << shift))
            adaptive.add(symbols)
    return _seal(coder)


def decode(data: bytes, counts: Sequence[int], info: CodecInfo, tables: Sequence[Counts]) -> tuple[Level, ...]:
    """The levels of one packet, `counts[k]` codes of level k; a DamagedError when `data` cannot be such a packet."""
    words = np.frombuffer(data + b"\0" * (-len(data) % 4 + 8), ">u4").astype(np.uint32)
    coder = _QUEUE.RangeDecoder(words)
    try:
        levels = zip(counts, info.bits, info.codebook_sizes, tables, strict=False)
        return tuple(_decode_level(coder, *level) for level in levels)
    except AssertionError as error:  # constriction's way to say that no encoder writes such bytes
        raise DamagedError("the entropy-coded bytes decode to no codes") from error


class Adaptive:
    """Counts of one level that grow with every code seen."""

    def __init__(self, table: Counts) -> None:
        self.counts = table.counts.copy()
        self.step = table.step

    def model(self) -> constriction.stream.model.Categorical:
        """The coder's model of the next codes: whole numbers only, so that nothing is left to rounding."""
        return _MODEL.Categorical((frequencies(self.counts) - 1).astype(np.float64), perfect=False)

    def add(self, symbols: NDArray[np.int64]) -> None:
        """Learn from `symbols`."""
        np.add.at(self.counts, symbols, self.step)


def _decode_level(
    coder: constriction.stream.queue.RangeDecoder, count: int, bits: int, size: int, table: Counts
) -> Level:
    shift = max(0, bits - Counts.BITS)
    adaptive, level = Adaptive(table), np.empty((1, count), np.int64)
    for block in _blocks(count):
        length = level[0, block].size
        symbols = coder.decode(adaptive.model(), length).astype(np.int64)
        level[0, block] = symbols << shift
        if shift:
            level[0, block] |= coder.decode(_MODEL.Uniform(1 << shift), length)
        adaptive.add(symbols)
    if count and int(level.max()) >= size:
        raise DamagedError(f"expected codes below {size}, got {level.max()}")
    return level


def _blocks(count: int) -> Iterator[slice]:
    size = max(_BLOCK, -(-count // _BLOCKS))
    return (slice(i, min(i + size, count)) for i in range(0, count, size))


def _seal(coder: constriction.stream.queue.RangeEncoder) -> bytes:
    """The shortest bytes in the coder's final interval: constriction itself ends on a whole 32-bit word."""
    words = coder.get_compressed().astype(">u4").tobytes()
    done, (lower, width) = coder.pos()
    size = 4 * done + 8
    value = int.from_bytes(words.ljust(size, b"\0"), "big")
    first = value - (value - lower) % (1 << 64)  # the interval is [first, first + width)
    last = first + width - 1
    for zeros in range(64, -1, -8):
        best = -(-first >> zeros) << zeros
        if best <= last:
            break
    return best.to_bytes(size, "big").rstrip(b"\0") or b"\0"
