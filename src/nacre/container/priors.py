"""Static tables of the entropy coder: how often each code of each level is heard, as whole numbers.

A table is a file `bundled/prior-<number>.npz` in the package; its number stands in the files that need it, so a
number is never used again for another table. Number 0 is the flat table, which every codec has.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ..codes import CodecInfo, Codes
from ..errors import DamagedError, InputError, MissingError

FOLDER = Path(__file__).parent.parent / "bundled"
FLAT = 0
_FLAT_COUNT = 64
_MOST = 1 << 24  # the largest sum of a table, so that all arithmetic fits into 64 bits


@dataclass(frozen=True, eq=False)
class Counts:
    """Counts of one level's symbols: codes, or their upper 12 bits for larger codebooks."""

    BITS: ClassVar[int] = 12  # of a symbol; the bits of a code below them are not modelled
    counts: NDArray[np.int64]  # [symbols], each >= 0

    @property
    def step(self) -> int:
        """What one code adds to its count: a hundred codes weigh as much as the table."""
        return int(self.counts.sum()) // 100 + 1


def symbols(size: int) -> int:
    """Symbols that model a codebook of `size` entries."""
    return -(-size >> max(0, (size - 1).bit_length() - Counts.BITS))


@cache
def flat(size: int) -> Counts:
    """The table of a codebook of `size` entries of which nothing is known."""
    return Counts(np.full(symbols(size), _FLAT_COUNT, np.int64))


def tables(info: CodecInfo, number: int = FLAT, folder: Path = FOLDER) -> tuple[Counts, ...]:
    """Table `number` for every level of `info`."""
    if number == FLAT:
        return tuple(flat(size) for size in info.codebook_sizes)
    path = folder / f"prior-{number}.npz"
    if not path.is_file():
        raise MissingError(
            f"this file was coded with table {number} of {info.name}, which this nacre lacks; update nacre"
        )
    found = _load(path)
    expected = [symbols(size) for size in info.codebook_sizes]
    if [table.counts.size for table in found] != expected:
        raise DamagedError(f"table {number} does not fit the codebooks of {info.name}, expected {expected} symbols")
    return found


def number_for(info: CodecInfo, folder: Path = FOLDER) -> int:
    """The newest table made for the codec with this name and digest, FLAT when there is none."""
    return max((number for number, owner in _owners(folder) if owner == (info.name, info.digest)), default=FLAT)


def owner(number: int, folder: Path = FOLDER) -> tuple[str, str]:
    """Name and digest of the codec that table `number` was made for; an error when there is no such table."""
    found = dict(_owners(folder))
    if number not in found:
        raise InputError(f"there is no table {number}; there are {sorted(found) or 'none'}")
    return found[number]


def build(pieces: Iterable[Codes], total: int = 1 << 18) -> tuple[Counts, ...]:
    """Tables from what a codec says about typical sound: counts of each level, brought to a sum near `total`.

    No symbol is ruled out: every one keeps at least the count 1.
    """
    sums: list[NDArray[np.int64]] = []
    for codes in pieces:
        info = codes.info
        if not sums:
            sums = [np.zeros(symbols(size), np.int64) for size in info.codebook_sizes]
        for k, level in enumerate(codes.levels):
            shift = max(0, info.bits[k] - Counts.BITS)
            sums[k] += np.bincount(level.ravel() >> shift, minlength=sums[k].size)
    if not sums:
        raise InputError("a table needs codes to count, got none")
    return tuple(Counts(count * total // max(1, int(count.sum())) + 1) for count in sums)


def save(number: int, info: CodecInfo, found: tuple[Counts, ...], folder: Path = FOLDER) -> Path:
    """Write table `number` for `info`; a number once given away stays as it is for ever."""
    path = folder / f"prior-{number}.npz"
    if number <= FLAT or path.exists():
        raise InputError(f"table {number} exists already or is reserved; take the next free number")
    arrays = {f"level{k}": table.counts.astype(np.uint32) for k, table in enumerate(found)}
    np.savez_compressed(path, name=np.array(info.name), digest=np.array(info.digest), **arrays)  # type: ignore[arg-type]
    for cached in (_load, _owners):
        cached.cache_clear()
    return path


@cache
def _load(path: Path) -> tuple[Counts, ...]:
    with np.load(path, allow_pickle=False) as arrays:
        names = sum(name.startswith("level") for name in arrays.files)
        found = tuple(Counts(arrays[f"level{k}"].astype(np.int64)) for k in range(names))
    if any(not 1 <= int(table.counts.sum()) <= _MOST for table in found):
        raise DamagedError(f"{path.name} is no table of counts; install nacre again")
    return found


@cache
def _owners(folder: Path) -> tuple[tuple[int, tuple[str, str]], ...]:
    owners = []
    for path in folder.glob("prior-*.npz"):
        with np.load(path, allow_pickle=False) as arrays:
            owners.append((int(path.stem[6:]), (str(arrays["name"]), str(arrays["digest"]))))
    return tuple(owners)
