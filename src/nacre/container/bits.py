"""Integers of any width packed without gaps, least significant bit first: value 0 fills the lowest bits of byte 0."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import DamagedError, InputError

MAX_WIDTH = 20  # bits of the largest codebook, see codes.MAX_CODEBOOK
_BLOCK = 1 << 16  # values worked on at once, a multiple of 8 so that every block ends on a whole byte


def packed_size(count: int, width: int) -> int:
    """Bytes that `count` values of `width` bits take."""
    return (count * _check_width(width) + 7) // 8


def spread(values: ArrayLike, width: int) -> NDArray[np.uint8]:
    """The bits of `values`, one a byte, `[len(values) * width]`; values run from 0 to `2**width - 1`."""
    array = np.asarray(values, dtype=np.int64).ravel()
    if array.size and not 0 <= int(array.min()) <= int(array.max()) < 1 << _check_width(width):
        raise InputError(f"values from {array.min()} to {array.max()} do not fit into {width} bits")
    octets = array.astype("<u4").view(np.uint8).reshape(-1, 4)
    return np.unpackbits(octets, axis=1, count=width, bitorder="little").ravel()


def gather(bits: NDArray[np.uint8], width: int) -> NDArray[np.int64]:
    """The inverse of `spread`: one value for every `width` bits, `[len(bits) // width]`."""
    octets = np.packbits(bits.reshape(-1, _check_width(width)), axis=1, bitorder="little")
    full = np.zeros((octets.shape[0], 4), np.uint8)
    full[:, : octets.shape[1]] = octets
    return full.view("<u4").ravel().astype(np.int64)


def pack(values: ArrayLike, width: int) -> bytes:
    """Pack `values` at `width` bits each (1 to 20); the last byte is filled up with zero bits."""
    array = np.asarray(values, dtype=np.int64).ravel()
    _check_width(width)
    blocks = (array[i : i + _BLOCK] for i in range(0, array.size, _BLOCK))
    return b"".join(np.packbits(spread(block, width), bitorder="little").tobytes() for block in blocks)


def unpack(data: bytes | bytearray | memoryview, count: int, width: int) -> NDArray[np.int64]:
    """The first `count` values of `width` bits in `data`, `[count]`; surplus bytes are ignored."""
    needed = packed_size(count, width)
    if count < 0 or len(data) < needed:
        raise DamagedError(f"expected {needed} bytes for {count} values of {width} bits, got {len(data)}")
    octets = np.frombuffer(data, np.uint8, needed)
    values = np.empty(count, np.int64)
    for i in range(0, count, _BLOCK):
        size = min(_BLOCK, count - i)
        block = octets[i * width // 8 :][: packed_size(size, width)]
        values[i : i + size] = gather(np.unpackbits(block, count=size * width, bitorder="little"), width)
    return values


def _check_width(width: int) -> int:
    if not 1 <= width <= MAX_WIDTH:
        raise InputError(f"values take 1 to {MAX_WIDTH} bits, got {width}")
    return width
