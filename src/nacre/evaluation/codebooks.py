"""How well a codec uses its codebooks: what was said, counted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ..codes import Codes
from ..errors import InputError


@dataclass(frozen=True)
class LevelUse:
    """One level, over all frames counted."""

    size: int  # entries in the codebook
    used: float  # share of the entries that were said at least once
    entropy: float  # bits a code, of log2(size) at most
    perplexity: float  # 2 ** entropy: how many equally frequent entries would say as much
    codes: int  # codes counted


def codebook_use(every: Iterable[Codes]) -> tuple[LevelUse, ...]:
    """Use of each level over all `Codes` of one codec, lost frames left out.

    The figures are of the sample: where it has fewer than about 20 codes an entry, rare entries are missed.
    """
    counts: list[np.ndarray[tuple[int], np.dtype[np.int64]]] = []
    for codes in every:
        sizes = codes.info.codebook_sizes
        counts = counts or [np.zeros(size, np.int64) for size in sizes]
        if [len(count) for count in counts] != list(sizes):
            raise InputError(f"expected codes of one codec, got another's among them, {codes.info.name}")
        for k, level in enumerate(codes.levels):
            said = level if codes.lost is None else level[:, ~codes.lost[:: codes.info.strides[k]]]
            counts[k] += np.bincount(said.reshape(-1), minlength=sizes[k])
    return tuple(_use(count) for count in counts)


def _use(count: np.ndarray[tuple[int], np.dtype[np.int64]]) -> LevelUse:
    total = int(count.sum())
    share = count[count > 0] / max(total, 1)
    entropy = float(-(share * np.log2(share)).sum()) + 0.0  # + 0.0: no minus zero
    return LevelUse(len(count), float(np.mean(count > 0)), entropy, 2.0**entropy if total else 0.0, total)
