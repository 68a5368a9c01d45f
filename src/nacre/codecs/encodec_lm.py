"""EnCodec's language model: a small transformer that foretells codes, so that `.ecdc` files get smaller.

Défossez et al. 2022 (arXiv 2210.13438), section 3.3. Its probabilities are floats that become whole numbers by
rounding down, so a file packed with it is read only where every sum comes out the same: on the same processor, with the
same torch and the same number of threads. Everything is computed here in the order in which `encodec` 0.1.1 does.

Letters in shapes: `B` batch, `K` levels, `N` entries of a codebook, `F` frames, `D` features, `P` frames of the past.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from ..errors import InputError

TOTAL = 1 << 24  # what the counts of all entries add up to, at most
LEAST = 2  # count of an entry
GRAIN = 1e-8  # probabilities are rounded down to multiples of it
PERIOD = 10_000.0  # of the slowest position, in frames / 2π


@dataclass(frozen=True)
class EnCodecLMConfig:
    """Sizes of a language model. The defaults are those for EnCodec at 24 kHz."""

    levels: int = 32
    codebook_size: int = 1024
    dim: int = 200
    heads: int = 8
    layers: int = 5
    context: int = 262  # frames of the past that a frame attends to: 3.5 s


PRESETS = {
    "encodec-lm-24k": EnCodecLMConfig(),
    "encodec-lm-48k": EnCodecLMConfig(levels=16, context=525),
}


@dataclass
class Past:
    """What a stream of codes has left behind: the inputs `[B, P, D]` of each layer, and how many frames there were."""

    inputs: list[Tensor] = field(default_factory=list)
    frames: int = 0


class EnCodecLM(nn.Module):
    """Foretells all levels of a frame from the frames before it."""

    def __init__(self, config: EnCodecLMConfig = PRESETS["encodec-lm-24k"]) -> None:
        super().__init__()
        self.config = config
        size, dim = config.codebook_size, config.dim
        self.embeddings = nn.ModuleList(nn.Embedding(size + 1, dim) for _ in range(config.levels))
        self.norm = nn.LayerNorm(dim)
        self.layers = nn.ModuleList(Layer(dim, config.heads, config.context) for _ in range(config.layers))
        self.heads = nn.ModuleList(nn.Linear(dim, size) for _ in range(config.levels))

    def forward(self, before: Tensor, past: Past | None = None) -> Tensor:
        """Probabilities `[B, N, K, F]` of frames, given 1 + the codes `[B, K, F]` of those before them, 0 for none.

        `past` moves on. At first it holds one frame of zeros, which is attended to.
        """
        past = past or Past()
        embedded = [embed(codes) for embed, codes in zip(self.embeddings, before.unbind(1), strict=False)]
        x = sum(embedded[1:], 0 + embedded[0])
        past.inputs = past.inputs or [torch.zeros_like(x[:, :1]) for _ in self.layers]
        x = self.norm(x) + _positions(past.frames, x)
        past.frames += x.shape[1]
        for i, layer in enumerate(self.layers):
            x, past.inputs[i] = layer(x, past.inputs[i])
        logits = torch.stack([head(x) for head, _ in zip(self.heads, embedded, strict=False)], dim=1)
        return torch.softmax(logits.permute(0, 3, 1, 2), dim=1)

    def predictor(self, levels: int) -> Callable[[NDArray[np.int64] | None], NDArray[np.int64]]:
        """For one segment: from the codes `[K]` of the frame before (None at first) cumulative counts `[K, N]`."""
        if not 1 <= levels <= self.config.levels:
            raise InputError(
                f"this language model knows 1 to {self.config.levels} levels, got {levels}; use its codec's"
            )
        device, past = self.norm.weight.device, Past()

        @torch.inference_mode()
        def predict(before: NDArray[np.int64] | None) -> NDArray[np.int64]:
            said = np.zeros(levels, np.int64) if before is None else before + 1
            odds = self(torch.from_numpy(said)[None, :, None].to(device), past)
            counted = counts(odds[0, :, :, 0].T).cpu().numpy()
            return cast(NDArray[np.int64], counted)

        return predict


class Layer(nn.Module):
    """A layer of a transformer that norms after each half; keys and values are made anew from the inputs kept."""

    def __init__(self, dim: int, heads: int, context: int) -> None:
        super().__init__()
        self.context = context
        self.attention = nn.MultiheadAttention(dim, heads, batch_first=True)
        self.attention_norm = nn.LayerNorm(dim)
        self.up = nn.Linear(dim, 4 * dim)
        self.down = nn.Linear(4 * dim, dim)
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """`[B, F, D]` in and out, and the `[B, P, D]` that the next frames attend to."""
        heard = torch.cat([past, x], dim=1)
        place = torch.arange(heard.shape[1], device=x.device)
        ago = place[past.shape[1] :, None] - place
        hidden = (ago < 0) | (ago > self.context)
        x = self.attention_norm(x + self.attention(x, heard, heard, attn_mask=hidden, need_weights=False)[0])
        return self.norm(x + self.down(F.gelu(self.up(x)))), heard[:, -self.context :]


def counts(odds: Tensor) -> Tensor:
    """Cumulative counts `[..., N]` for an arithmetic coder: whole numbers of 2^24 in all, a unit more by rounding."""
    size = odds.shape[-1]
    rounded = (odds / GRAIN).floor() * GRAIN
    share = (1 - LEAST * size / TOTAL) * TOTAL
    return torch.cumsum((share * rounded).floor().long() + LEAST, dim=-1)


def _positions(first: int, like: Tensor) -> Tensor:
    """Cosines, then sines, of the places from `first` on: `[1, F, D]`."""
    half = like.shape[2] // 2
    speed = PERIOD ** (torch.arange(half, device=like.device) / (half - 1))
    phase = (torch.arange(like.shape[1], device=like.device) + first)[None, :, None] / speed
    return torch.cat([phase.cos(), phase.sin()], dim=-1)
