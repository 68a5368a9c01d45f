"""A codebook: nearest entries, and entries that learn, start well and come back from the dead.

Letters in shapes: `N` vectors, `D` features, `K` here the entries of one codebook.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import InputError
from .ddp import gathered_sample, reduce_sum, share_first
from .kmeans import Prepared, exporting, kmeans, nearest, prepare
from .usage import perplexity, usage


@dataclass(frozen=True)
class CodebookConfig:
    """How a codebook searches and learns. Defaults as in SoundStream (arXiv 2107.03312) and EnCodec (2210.13438)."""

    ema: bool = True  # entries follow moving averages; False: entries are a parameter, learnt by gradient
    normalised: bool = False  # search among directions (DAC, SNAC); the value stays the raw entry
    decay: float = 0.99  # of the moving averages, also of those behind usage and revival
    smoothing: float = 1e-5  # Laplace smoothing of the counts that sums are divided by; 0 for none
    kmeans: int = 10  # Lloyd iterations on the first training batch; 0 keeps the random entries
    start_vectors: int = 16384  # the most vectors that k-means sees, over all processes
    revive_below: float = 0.1  # entries hit less than this share of the mean are replaced (Mimi's); 0 for never


class Codebook(nn.Module):
    """`size` entries of `dim` features.

    EMA entries are a buffer, gradient entries a parameter whose rows are replaced in place on start and revival;
    whoever keeps optimizer state for those rows decides whether to reset it.
    """

    entries: Tensor  # [K, D]
    sums: Tensor  # [K, D], moving average of the sum of the vectors that hit an entry in one step (EMA only)
    counts: Tensor  # [K], moving average of hits a step; a revived entry gets the mean as a fresh start
    hits: Tensor  # [K], moving average of hits a step, untouched by revival: what the figures are made of
    started: Tensor  # bool scalar, True once the first training batch was seen

    def __init__(self, size: int, dim: int, config: CodebookConfig | None = None) -> None:
        super().__init__()
        if size < 2 or dim < 1:
            raise InputError(f"a codebook needs at least 2 entries of at least 1 feature, got {size} of {dim}")
        self.size, self.dim, self.config = size, dim, config or CodebookConfig()
        entries = torch.randn(size, dim)
        if self.config.ema:
            self.register_buffer("entries", entries)
            self.register_buffer("sums", entries.clone())
        else:
            self.entries = nn.Parameter(entries)
        self.register_buffer("counts", torch.ones(size))
        self.register_buffer("hits", torch.zeros(size))
        self.register_buffer("started", torch.tensor(False))
        self._kept: tuple[Tensor, tuple[int, int], Prepared] | None = None  # entries, what marks them, and ready
        self._running = False  # `started` as last read, so that training need not wait for the device every step

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Codes `[...]` and their entries `[..., D]` for `x` `[..., D]`; in training mode the codebook then learns."""
        if self.training:
            self._start(x)
        codes = self.search(x)
        values = self.lookup(codes)
        if self.training:
            self._learn(x, codes)
        if torch.is_grad_enabled():
            self._kept = None  # an optimizer may come next, and a fused one leaves no mark on what it changes
        return codes, values

    def search(self, x: Tensor) -> Tensor:
        """The nearest entry of each vector, int64 `[...]` for `x` `[..., D]`; of equals the one of lowest index."""
        with full_precision(x), torch.no_grad():
            if exporting():  # flattening and back costs a graph nine nodes
                return nearest(x.float(), prepare(self.entries.float(), self.config.normalised))
            return nearest(x.detach().float().reshape(-1, self.dim), self._prepared()).view(x.shape[:-1])

    def lookup(self, codes: Tensor) -> Tensor:
        """Entries `[..., D]` of `codes` `[...]`."""
        return F.embedding(codes, self.entries)

    def usage(self) -> float:
        """The share of entries that training used of late: hit at least 1 % as often as the mean."""
        return usage(self.hits)

    def perplexity(self) -> float:
        """How many equally used entries would say as much as training's hits of late; 0 before any training."""
        return perplexity(self.hits)

    def train(self, mode: bool = True) -> Self:
        """As torch's; whatever comes next, entries are looked at anew."""
        self._kept = None
        return super().train(mode)

    def _prepared(self) -> Prepared:
        """The entries ready for a search; in use they are made so once, which took a fifth of an EnCodec stream's time.

        Written to in place or replaced, they are made ready again. (Not when written to behind torch's back: `.data`.)
        """
        entries = self.entries
        if self.training or entries.is_inference():  # neither says when it changed
            return prepare(entries.detach().float(), self.config.normalised)
        kept, mark = self._kept, (entries._version, entries.data_ptr())
        if kept is None or kept[0] is not entries or kept[1] != mark:
            kept = self._kept = (entries, mark, prepare(entries.detach().float(), self.config.normalised))
        return kept[2]

    @torch.no_grad()
    def _start(self, x: Tensor) -> None:
        if self._running:
            return
        self._running = True
        if bool(self.started):
            return
        flat = x.detach().float().reshape(-1, self.dim)
        if self.config.kmeans:
            sample = gathered_sample(flat, self.config.start_vectors)
            with full_precision(x):
                centres = kmeans(sample, self.size, self.config.kmeans, self.config.normalised)
            self.entries.copy_(share_first(centres))
        total = reduce_sum(flat.new_tensor([float(len(flat))]))
        self.counts.fill_(1).mul_(total / self.size)
        if self.config.ema:
            self.sums.copy_(self.entries * self.counts[:, None])
        self.started.fill_(True)

    @torch.no_grad()
    def _learn(self, x: Tensor, codes: Tensor) -> None:
        flat = x.detach().float().reshape(-1, self.dim)
        news = flat.new_zeros(self.size, self.dim + 1)
        news.index_add_(0, codes.reshape(-1), F.pad(flat, (0, 1), value=1.0))
        news = reduce_sum(news)
        sane = news.isfinite().all()  # one NaN would otherwise stay in the averages for ever
        news = torch.where(sane, news, 0.0)
        keep = torch.where(sane, self.config.decay, 1.0)
        sums, hits = news[:, :-1], news[:, -1]
        self.hits.mul_(keep).add_(hits * (1 - keep))
        self.counts.mul_(keep).add_(hits * (1 - keep))
        if self.config.ema:
            self.sums.mul_(keep).add_(sums * (1 - keep))
            self.entries.copy_(self._averages())
        if self.config.revive_below:
            self._revive(gathered_sample(flat, self.size, exact=True))

    def _averages(self) -> Tensor:
        counts = self.counts
        if self.config.smoothing:
            total, extra = counts.sum(), self.config.smoothing
            counts = (counts + extra) / (total + self.size * extra) * total
        fresh = self.sums / counts.clamp(min=1e-12)[:, None]
        return torch.where((counts > 1e-12)[:, None], fresh, self.entries)

    def _revive(self, candidates: Tensor) -> None:
        """Replace dead entries by `candidates` [K, D], after the averages moved and together with them.

        EnCodec replaces before, so that the averages undo it in the same step; HILCodec resets the sum but not
        the count. Here an entry, its sum and its count start anew together.
        """
        mean = self.counts.mean()
        dead = (self.counts < self.config.revive_below * mean) & candidates.isfinite().all(1)
        self.counts.copy_(torch.where(dead, mean, self.counts))
        self.entries.copy_(torch.where(dead[:, None], candidates, self.entries))
        if self.config.ema:
            self.sums.copy_(torch.where(dead[:, None], candidates * mean, self.sums))

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._running = False


def straight_through(z: Tensor, q: Tensor) -> Tensor:
    """The value of `q`, exactly, with the gradient of `z`: z + (q - z).detach() without its rounding."""
    return q.detach() + (z - z.detach())


def full_precision(x: Tensor) -> AbstractContextManager[Any]:
    """A context in which autocast is off, wherever it was on."""
    kind = x.device.type
    return torch.autocast(kind, enabled=False) if torch.is_autocast_enabled(kind) else nullcontext()
