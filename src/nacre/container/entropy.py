"""Entropy coding of codes: integer models that adapt as they go, and constriction's range coder.

Bit-exact on every machine because the models are integers: see "Why this is bit-exact" in docs/format.md.
Each level has its own counts; every packet starts again from the static tables.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

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
    """Whole frequencies `[..., symbols]`, each at least 1 and 2**24 in sum, in proportion to `counts`.

    Counts are at least 0 and sum to between 1 and 2**38.
    """
    free = (1 << PRECISION) - counts.shape[-1]
    sums = np.cumsum(counts, axis=-1)
    scaled: NDArray[np.int64] = sums * free // sums[..., -1:]
    scaled[..., 1:] -= scaled[..., :-1].copy()
    scaled += 1
    return scaled


class Adaptive:
    """Models of all levels of a packet; they learn from every code seen."""

    def __init__(self, tables: Sequence[Counts]) -> None:
        self._counts = np.concatenate([table.counts for table in tables])
        self._starts = np.cumsum([0, *(table.counts.size for table in tables)])
        self._steps = [table.step for table in tables]
        self._groups: list[
            NDArray[np.int64]
        ] = []  # views of the counts, neighbours of one size together: [levels, symbols]
        at = 0
        for size, group in groupby(table.counts.size for table in tables):
            rows = len(list(group))
            self._groups.append(self._counts[at : at + rows * size].reshape(rows, size))
            at += rows * size

    def models(self) -> list[constriction.stream.model.Categorical]:
        """The coder's model of each level's next codes: whole numbers, so that nothing is left to rounding."""
        shares = [row for group in self._groups for row in (frequencies(group) - 1).astype(np.float64)]
        return [_MODEL.Categorical(share, perfect=False) for share in shares]

    def add(self, seen: Sequence[NDArray[np.int64]]) -> None:
        """Learn from the symbols of each level."""
        for symbols, start, step in zip(seen, self._starts, self._steps, strict=False):
            np.add.at(self._counts, symbols + start, step)


def encode(levels: Sequence[Level], info: CodecInfo, tables: Sequence[Counts]) -> bytes:
    """The codes of one packet, levels `[1, frames of that level]`, as the fewest bytes that decode to them."""
    coder, adaptive, shifts = _QUEUE.RangeEncoder(), Adaptive(tables[: len(levels)]), _shifts(info)
    for blocks in _blocks([level.shape[1] for level in levels]):
        seen = []
        for level, block, shift, model in zip(levels, blocks, shifts, adaptive.models(), strict=False):
            codes = level[0, block]
            seen.append(codes >> shift)
            coder.encode(seen[-1].astype(np.int32), model)
            if shift:
                coder.encode((codes & ((1 << shift) - 1)).astype(np.int32), _MODEL.Uniform(1 << shift))
        adaptive.add(seen)
    return _seal(coder)


def decode(data: bytes, counts: Sequence[int], info: CodecInfo, tables: Sequence[Counts]) -> tuple[Level, ...]:
    """The levels of one packet, `counts[k]` codes of level k; a DamagedError when `data` cannot be such a packet."""
    words = np.frombuffer(data + b"\0" * (-len(data) % 4 + 8), ">u4").astype(np.uint32)
    try:
        levels = _decode(_QUEUE.RangeDecoder(words), counts, info, tables[: len(counts)])
    except AssertionError as error:  # constriction's way to say that no encoder writes such bytes
        raise DamagedError("the entropy-coded bytes decode to no codes") from error
    for level, size in zip(levels, info.codebook_sizes, strict=False):
        if level.size and int(level.max()) >= size:
            raise DamagedError(f"expected codes below {size}, got {level.max()}")
    return levels


def _decode(
    coder: constriction.stream.queue.RangeDecoder, counts: Sequence[int], info: CodecInfo, tables: Sequence[Counts]
) -> tuple[Level, ...]:
    adaptive, shifts = Adaptive(tables), _shifts(info)
    levels = tuple(np.zeros((1, count), np.int64) for count in counts)
    for blocks in _blocks(counts):
        seen = []
        for level, block, shift, model in zip(levels, blocks, shifts, adaptive.models(), strict=False):
            codes = level[0, block]
            seen.append(coder.decode(model, codes.size).astype(np.int64))
            codes[:] = seen[-1] << shift
            if shift:
                codes |= coder.decode(_MODEL.Uniform(1 << shift), codes.size)
        adaptive.add(seen)
    return levels


def _shifts(info: CodecInfo) -> list[int]:
    return [max(0, bits - Counts.BITS) for bits in info.bits]


def _blocks(counts: Sequence[int]) -> Iterator[list[slice]]:
    """The codes of each level that are coded with the same models, block after block."""
    sizes = [max(_BLOCK, -(-count // _BLOCKS)) for count in counts]
    for i in range(max(-(-count // size) for count, size in zip(counts, sizes, strict=True))):
        yield [slice(i * size, (i + 1) * size) for size in sizes]


def _seal(coder: constriction.stream.queue.RangeEncoder) -> bytes:
    """The shortest bytes in the coder's final interval: constriction itself ends on a whole 32-bit word."""
    words = coder.get_compressed().astype(">u4").tobytes()
    done, (lower, width) = coder.pos()
    size = 4 * done + 8
    value = int.from_bytes(words.ljust(size, b"\0"), "big")
    first = value - (value - lower) % (1 << 64)  # the interval is [first, first + width)
    best = next(
        rounded
        for zeros in range(64, -1, -8)
        if (rounded := -(-first >> zeros) << zeros) < first + width  # the fewest bytes that are not zero
    )
    return best.to_bytes(size, "big").rstrip(b"\0") or b"\0"
