"""What every discriminator is made of: one kind of output, stacks of convolutions, and families side by side.

Letters in shapes: `B` batch, `T` samples.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from ...errors import InputError

Norm = Literal["weight", "spectral", "none"]
Layer = TypeVar("Layer", nn.Conv1d, nn.Conv2d)


@dataclass(frozen=True)
class DiscriminatorOutput:
    """What one discriminator says of a batch."""

    logits: Tensor  # [B, ...], a score for every place it looked at: high is real
    features: tuple[Tensor, ...]  # [B, ...] each, what its layers saw; the logits are not among them


class Discriminator(nn.Module, ABC):
    """A family of discriminators that look at a wave in one manner, each at another scale."""

    @abstractmethod
    def forward(self, wave: Tensor) -> list[DiscriminatorOutput]:
        """What each discriminator says of `wave` `[B, 1, T]`."""


class Discriminators(Discriminator):
    """Several families as one, whose outputs stand in the order of the families.

    `levelled` removes each item's mean and scales its peak to 0.8 first, as DAC does.
    """

    def __init__(self, families: Mapping[str, Discriminator], levelled: bool = False) -> None:
        super().__init__()
        if not families:
            raise InputError("expected at least one family of discriminators, got none")
        self.families = nn.ModuleDict(families)
        self.levelled = levelled

    def forward(self, wave: Tensor) -> list[DiscriminatorOutput]:
        """What all discriminators say of `wave` `[B, 1, T]`."""
        return [output for outputs in self.by_family(wave).values() for output in outputs]

    def by_family(self, wave: Tensor) -> dict[str, list[DiscriminatorOutput]]:
        """The same, a list a family, for losses that weigh the families apart (HILCodec)."""
        if wave.ndim != 3 or wave.shape[1] != 1:
            raise InputError(
                f"discriminators expect waves [batch, 1, samples], got {[*wave.shape]}; fold channels into the batch"
            )
        wave = level(wave) if self.levelled else wave
        return {name: family(wave) for name, family in self.families.items()}


def level(wave: Tensor) -> Tensor:
    """Each item of `[B, 1, T]` without its mean, at a peak of 0.8; silence stays silence."""
    wave = wave - wave.mean(dim=-1, keepdim=True)
    return 0.8 * wave / (wave.abs().amax(dim=-1, keepdim=True) + 1e-9)


class Stack(nn.Module):
    """Layers with a leaky ReLU after each, and a last one that gives the logits."""

    def __init__(self, layers: Sequence[nn.Module], last: nn.Module, slope: float) -> None:
        super().__init__()
        self.layers, self.last, self.slope = nn.ModuleList(layers), last, slope

    def forward(self, x: Tensor) -> DiscriminatorOutput:
        """What the layers saw of `x`, and the logits."""
        features = []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), self.slope)
            features.append(x)
        return DiscriminatorOutput(self.last(x), tuple(features))


def normed(layer: Layer, norm: Norm = "weight") -> Layer:
    """`layer` with its weight held by weight norm (arXiv 1602.07868) or spectral norm (arXiv 1802.05957)."""
    if norm == "weight":
        parametrizations.weight_norm(layer)
    elif norm == "spectral":
        parametrizations.spectral_norm(layer)
    return layer


def same(kernel: int, dilation: int = 1) -> int:
    """Padding that keeps the length under an odd kernel; an even one cuts a sample."""
    return (kernel - 1) * dilation // 2
