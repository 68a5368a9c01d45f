"""k-means: where entries start. Memory stays bounded, no tensor of [vectors, entries, features].

Letters in shapes: `N` vectors, `D` features, `K` entries.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

SCORES = 1 << 24  # the most scores [N, K] held at once: 64 MiB of float32
SEED_ROUNDS = 64  # seeds of a large codebook are drawn in about so many groups


@dataclass(frozen=True)
class Prepared:
    """Entries as `nearest` compares with them: what a search needs and a codebook can keep between searches."""

    table: Tensor  # [D, K]
    offset: Tensor  # [K], minus half the squared length of each
    normalised: bool = False  # directions only


def prepare(entries: Tensor, normalised: bool = False) -> Prepared:
    """What `nearest` needs to know of the entries `[K, D]`."""
    entries = F.normalize(entries, dim=1) if normalised else entries
    return Prepared(entries.T, -0.5 * entries.square().sum(1), normalised)


def nearest(x: Tensor, entries: Prepared) -> Tensor:
    """Indices `[N]` of the entries nearest to `x` `[N, D]`, the lowest of equals; in a graph any `[..., D]`.

    |x - e|² = |x|² - 2xe + |e|²; the first term is the same for all entries and left out, which also spares its
    rounding. Scores are made for a bounded number of vectors at a time.
    """
    x = F.normalize(x, dim=-1) if entries.normalised else x
    offset, table = entries.offset, entries.table
    if exporting():  # a graph takes any N, it cannot cut N up
        return (torch.matmul(x, table) + offset).argmax(-1)
    rows = max(1, SCORES // len(offset))
    if len(x) <= rows:
        return torch.addmm(offset, x, table).argmax(1)
    parts = torch.tensor_split(x, -(-len(x) // rows))
    return torch.cat([torch.addmm(offset, part, table).argmax(1) for part in parts])


def exporting() -> bool:
    """Whether a graph is being recorded, for which numbers of frames are unknown."""
    return torch.compiler.is_compiling() or torch.onnx.is_in_onnx_export()


def kmeans(x: Tensor, size: int, iterations: int, normalised: bool = False) -> Tensor:
    """`size` cluster centres `[K, D]` of `x` `[N, D]`: k-means++ seeds, then Lloyd's iterations.

    Vectors may be fewer than centres; the rest of these are then copies, which revival later puts to use.
    """
    centres = _seeds(x, size, normalised)
    for _ in range(iterations):
        codes = nearest(x, prepare(centres, normalised))
        both = x.new_zeros(size, x.shape[1] + 1).index_add_(0, codes, F.pad(x, (0, 1), value=1.0))
        counts = both[:, -1:]
        centres = torch.where(counts > 0, both[:, :-1] / counts.clamp(min=1), centres)
    return centres


def _seeds(x: Tensor, size: int, normalised: bool) -> Tensor:
    """Rows of `x` drawn with odds of their squared distance to the rows drawn before (Arthur and Vassilvitskii 2007).

    Large codebooks draw a group at a time: one round a seed would take as long as the training step it starts.
    """
    points = F.normalize(x, dim=1) if normalised else x
    lengths = points.square().sum(1)
    group = max(1, size // SEED_ROUNDS)
    chosen = new = torch.randint(len(x), (1,), device=x.device)
    distance = torch.full_like(lengths, float("inf"))
    while True:
        squares = torch.addmm(lengths[:, None] + lengths[new], points, points[new].T, alpha=-2)
        distance = torch.minimum(distance, squares.amin(1).clamp(min=0))
        if len(chosen) == size:
            return x[chosen]
        odds = distance.double() + 1e-12 * distance.amax() + 1e-30
        new = torch.multinomial(odds, min(group, size - len(chosen), len(x)))
        chosen = torch.cat([chosen, new])
