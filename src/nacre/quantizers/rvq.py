"""Residual vector quantization: each level codes what the levels before it left over.

SoundStream (arXiv 2107.03312) with level dropout; DAC (arXiv 2306.06546) with factorised codebooks.
Letters in shapes: `B` batch, `D` features, `F` frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import lcm
from typing import cast

import torch
from torch import Tensor, nn

from ..errors import InputError
from .base import Quantized, Quantizer
from .codebook import Codebook, CodebookConfig, full_precision, straight_through
from .kmeans import exporting


@dataclass(frozen=True)
class ResidualVQConfig:
    """A residual quantizer: sizes, projections and what is trained how."""

    dim: int  # features of z
    codebook_sizes: tuple[int, ...]  # entries of each level
    code_dim: int | None = None  # features of the entries; None: those of z, without any projection
    shared: bool = False  # one projection in and out around all levels, not a pair a level (DAC)
    bias: bool = True  # of shared projections
    detach: bool = True  # commitment of later levels reaches the encoder; False as in EnCodec and DAC
    dropout: tuple[int, ...] = ()  # level counts that training draws from for each item; () trains all levels
    dropout_spared: float = 0.0  # share of items that hear all levels all the same
    whole: bool = False  # commitment is the distance to the sum of levels (HILCodec), not the mean of each level's
    codebook: CodebookConfig = field(default_factory=CodebookConfig)

    def __post_init__(self) -> None:
        count = len(self.codebook_sizes)
        if not count:
            raise InputError("a residual quantizer needs at least one level, got no codebook sizes")
        if not all(1 <= n <= count for n in self.dropout) or not 0 <= self.dropout_spared <= 1:
            raise InputError(
                f"dropout draws from 1 to {count} levels and spares a share from 0 to 1, "
                f"got {self.dropout} and {self.dropout_spared}"
            )


@dataclass(frozen=True)
class LevelOutput:
    """What one level makes of the residual."""

    z: Tensor  # [B, D, F], with the straight-through gradient
    codes: Tensor  # int64 [B, F]
    commitment: Tensor  # [B], mean squared distance that pulls the residual towards its entry
    codebook: Tensor  # scalar, mean squared distance that pulls the entry; zero for moving averages


class Level(nn.Module):
    """One level: project in (DAC's factorisation, or not at all), find the entry, project out."""

    def __init__(self, dim: int, size: int, code_dim: int | None, codebook: CodebookConfig) -> None:
        super().__init__()
        self.in_proj = projection(dim, code_dim)
        self.codebook = Codebook(size, code_dim or dim, codebook)
        self.out_proj = projection(code_dim or dim, dim if code_dim else None)

    def forward(self, residual: Tensor) -> LevelOutput:
        """Quantize `residual` `[B, D, F]`; in training mode the codebook learns from it."""
        z = self.in_proj(residual)
        codes, values = self.codebook(z.transpose(1, 2))
        q = values.transpose(1, 2)
        pull = (q - z.detach()).square().mean()
        return LevelOutput(
            z=self.out_proj(straight_through(z, q)),
            codes=codes,
            commitment=(z - q.detach()).square().mean((1, 2)),
            codebook=torch.zeros_like(pull) if self.codebook.config.ema else pull,
        )

    def encode(self, residual: Tensor) -> Tensor:
        """Codes `[B, F]` of `residual` `[B, D, F]`."""
        return self.codebook.search(self.in_proj(residual).transpose(1, 2))

    def values(self, codes: Tensor) -> Tensor:
        """Latents `[B, D, F]` of `codes` `[B, F]`."""
        z: Tensor = self.out_proj(self.codebook.lookup(codes).transpose(1, 2))
        return z

    def decode(self, codes: Tensor) -> Tensor:
        """Latents `[B, D, F]` of `codes` `[B, F]`; a code of -1 says nothing and adds nothing (exported graphs)."""
        z = self.values(codes.clamp(min=0))
        return z * (codes >= 0).to(z.dtype)[:, None]


class ResidualVQ(Quantizer):
    """Residual vector quantization with level dropout.

    Codebooks learn from every item of the batch. With dropout, decoder and commitment see only the first levels
    of an item, as many as were drawn for it. Everything runs in float32, also under autocast.
    """

    def __init__(self, config: ResidualVQConfig) -> None:
        super().__init__()
        self.config = config
        self.codebook_sizes = config.codebook_sizes
        self.strides = (1,) * len(config.codebook_sizes)
        around = config.code_dim if config.shared else None  # features between shared projections
        inside = (around, None) if around else (config.dim, config.code_dim)
        self.in_proj = projection(config.dim, around, config.bias)
        self.out_proj = projection(around or config.dim, config.dim if around else None, config.bias)
        self.levels = nn.ModuleList(self._level(k, *inside) for k in range(len(config.codebook_sizes)))

    def _level(self, k: int, dim: int, code_dim: int | None) -> Level:
        return Level(dim, self.config.codebook_sizes[k], code_dim, self.config.codebook)

    def _first(self, count: int) -> list[Level]:
        return [cast(Level, level) for level in self.levels[:count]]

    def forward(self, z: Tensor) -> Quantized:
        """Quantize `z` `[B, D, F]`; in training mode with level dropout, and the codebooks learn."""
        check_latents(z, self.config.dim, lcm(*self.strides))
        return self.quantize(z, self._draw(z))

    def quantize(self, z: Tensor, heard: Tensor) -> Quantized:
        """As `forward`, with the number of levels that each item's decoder hears given as `heard` `[B]`."""
        with full_precision(z):
            x = residual = self.in_proj(z.float())
            total, outputs = torch.zeros_like(x), []
            for k, level in enumerate(self.levels):
                output = level(residual)
                residual = residual - (output.z.detach() if self.config.detach else output.z)
                total = total + output.z * (heard > k).to(x.dtype)[:, None, None]
                outputs.append(output)
            factorised = self.config.code_dim is not None and not self.config.shared
            return Quantized(
                z=self.out_proj(total if factorised else straight_through(x, total)),
                levels=tuple(output.codes for output in outputs),
                commitment=(
                    (x - total.detach()).square().mean()
                    if self.config.whole
                    else active_mean([output.commitment for output in outputs], heard)
                ),
                codebook=torch.stack([output.codebook for output in outputs]).mean(),
            )

    def encode(self, z: Tensor, levels: int | None = None) -> tuple[Tensor, ...]:
        """The first `levels` levels (all by default) of `z` `[B, D, F]`, each int64 `[B, F]`."""
        check_latents(z, self.config.dim, lcm(*self.strides))
        count = check_levels(levels, len(self.codebook_sizes))
        with full_precision(z):
            residual, codes = self.in_proj(z.float()), []
            if self._plain:
                return self._search(residual, count)
            *coarse, last = self._first(count)
            for level in coarse:
                codes.append(level.encode(residual))
                residual = residual - level.values(codes[-1])
        return (*codes, last.encode(residual))

    @property
    def _plain(self) -> bool:
        """Whether levels are codebooks and nothing else, which see rows; graphs are recorded level by level."""
        return (not self.config.code_dim or self.config.shared) and set(self.strides) == {1} and not exporting()

    @torch.no_grad()
    def _search(self, residual: Tensor, count: int) -> tuple[Tensor, ...]:
        """What `encode` says, of rows that are turned once and not at each level."""
        rows, codes = residual.transpose(1, 2).reshape(-1, residual.shape[1]), []
        *coarse, last = (level.codebook for level in self._first(count))
        for book in coarse:
            codes.append(book.search(rows))
            rows = rows - book.lookup(codes[-1])
        return tuple(each.view(residual.shape[0], residual.shape[2]) for each in (*codes, last.search(rows)))

    def decode(self, levels: Sequence[Tensor]) -> Tensor:
        """Latents `[B, D, F]`: the sum of what the first one or more levels look up."""
        count = check_codes(levels, self.strides)
        with full_precision(levels[0]):
            z: Tensor = self.out_proj(self._sum(levels, self._first(count)))
        return z

    def _sum(self, said: Sequence[Tensor], levels: list[Level]) -> Tensor:
        if self._plain and said[0].numel() and int(torch.stack(tuple(said)).min()) >= 0:  # none is lost
            rows = [level.codebook.lookup(codes) for level, codes in zip(levels, said, strict=True)]
            return sum(rows[1:], rows[0]).transpose(1, 2)
        parts = [level.decode(codes) for level, codes in zip(levels, said, strict=True)]
        return sum(parts[1:], parts[0])

    def usage(self) -> tuple[float, ...]:
        """Each level's share of entries that training used of late."""
        return tuple(level.codebook.usage() for level in self._first(len(self.levels)))

    def perplexity(self) -> tuple[float, ...]:
        """Each level's perplexity of late."""
        return tuple(level.codebook.perplexity() for level in self._first(len(self.levels)))

    def _draw(self, z: Tensor) -> Tensor:
        return draw_levels(
            z, len(self.codebook_sizes), self.config.dropout if self.training else (), self.config.dropout_spared
        )


class Projection(nn.Conv1d):
    """A 1x1 convolution, `[B, D, F] -> [B, D', F]`, also of no frames, which torch's refuses."""

    def forward(self, x: Tensor) -> Tensor:
        """Project every frame."""
        if not exporting() and not x.shape[-1]:
            return x.new_zeros(x.shape[0], self.out_channels, 0)
        return super().forward(x)


def projection(dim: int, to: int | None, bias: bool = True) -> nn.Module:
    """A 1x1 convolution from `dim` to `to` features, or nothing at all for None."""
    return nn.Identity() if to is None else Projection(dim, to, 1, bias=bias)


def draw_levels(z: Tensor, levels: int, choices: tuple[int, ...], spared: float) -> Tensor:
    """How many levels each item of `z` hears, int64 `[B]`: drawn from `choices`, all for a `spared` share of items."""
    batch = z.shape[0]
    full = torch.full((batch,), levels, device=z.device)
    if not choices:
        return full
    drawn = torch.tensor(choices, device=z.device)[torch.randint(len(choices), (batch,), device=z.device)]
    return torch.where(torch.rand(batch, device=z.device) < spared, full, drawn)


def active_mean(losses: Sequence[Tensor], heard: Tensor) -> Tensor:
    """Losses `[B]` a level: the mean over the items that hear a level, then over the levels that anybody hears."""
    loss = torch.stack(list(losses))
    active = (heard[None, :] > torch.arange(len(loss), device=heard.device)[:, None]).to(loss.dtype)
    items = active.sum(1)
    means = (loss * active).sum(1) / items.clamp(min=1)
    return means.sum() / (items > 0).sum().clamp(min=1)


def check_latents(z: Tensor, dim: int, stride: int = 1) -> None:
    """An error unless `z` is `[B, dim, F]` and F a multiple of `stride`."""
    if exporting():
        return
    if z.ndim != 3 or z.shape[1] != dim:
        raise InputError(f"expected latents of shape [batch, {dim}, frame], got {list(z.shape)}")
    if z.shape[2] % stride:
        raise InputError(f"expected a multiple of {stride} frames, got {z.shape[2]}; pad the wave before encoding")


def check_levels(levels: int | None, most: int) -> int:
    """`levels`, or `most` for None; an error when there are not that many."""
    if levels is None:
        return most
    if not 1 <= levels <= most:
        raise InputError(f"this quantizer has 1 to {most} levels, got {levels}")
    return levels


def check_codes(levels: Sequence[Tensor], strides: Sequence[int]) -> int:
    """How many `levels` there are; an error unless they are `[B, F / S]`, all of the same span."""
    count = check_levels(len(levels), len(strides))
    if exporting():
        return count
    shapes = [tuple(codes.shape) for codes in levels]
    if any(len(shape) != 2 for shape in shapes):
        raise InputError(f"a level of codes has shape [batch, frame], got {shapes}")
    spans = {(batch, frames * stride) for (batch, frames), stride in zip(shapes, strides, strict=False)}
    if len(spans) > 1:
        raise InputError(f"levels with strides {tuple(strides[:count])} should span the same frames, got {shapes}")
    return count
