"""What discriminators make of real and coded waves, as losses for them and for the codec.

All functions take what `Discriminator.forward` returns, and count in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import InputError
from .discriminators.family import DiscriminatorOutput

Outputs = Sequence[DiscriminatorOutput]


@dataclass(frozen=True)
class Objective:
    """What one discriminator's logits cost: `real` and `fake` the discriminator, `generator` the codec."""

    real: Callable[[Tensor], Tensor]
    fake: Callable[[Tensor], Tensor]
    generator: Callable[[Tensor], Tensor]


def hinge_real(logits: Tensor) -> Tensor:
    """`max(0, 1 - D)`: real waves should score at least 1 (Lim and Ye 2017, arXiv 1705.02894)."""
    return F.relu(1 - logits).mean()


def hinge_fake(logits: Tensor) -> Tensor:
    """`max(0, 1 + D)`: coded waves should score at most -1."""
    return F.relu(1 + logits).mean()


def higher(logits: Tensor) -> Tensor:
    """`-D`: the codec raises its score without end, as in the hinge loss's own paper."""
    return -logits.mean()


def towards_one(logits: Tensor) -> Tensor:
    """`(1 - D)²` (Mao et al. 2017, arXiv 1611.04076)."""
    return (1 - logits).square().mean()


def towards_zero(logits: Tensor) -> Tensor:
    """`D²`."""
    return logits.square().mean()


OBJECTIVES: dict[str, Objective] = {
    "hinge": Objective(hinge_real, hinge_fake, higher),
    "clipped-hinge": Objective(hinge_real, hinge_fake, hinge_real),  # SoundStream, EnCodec, HILCodec
    "least-squares": Objective(towards_one, towards_zero, towards_one),  # HiFi-GAN, DAC, AudioDec
}


def discriminator_loss(real: Outputs, fake: Outputs, objective: Objective, average: bool = True) -> Tensor:
    """What discriminators pay for their scores of real and of coded waves (detach these before scoring).

    `average` takes the mean over discriminators (EnCodec), else the sum (HiFi-GAN, DAC).
    """
    losses = [objective.real(r.logits.float()) + objective.fake(f.logits.float()) for r, f in _pairs(real, fake)]
    return _reduce(losses, average)


def generator_loss(fake: Outputs, objective: Objective, average: bool = True) -> Tensor:
    """What the codec pays for the scores of its waves; the mean over discriminators, or the sum."""
    return _reduce([objective.generator(f.logits.float()) for f in fake], average)


@dataclass(frozen=True)
class FeatureMatching:
    """L1 between discriminators' features of coded and of real waves (Kumar et al. 2019, MelGAN, arXiv 1910.06711).

    `relative` divides each by the mean size of the real feature (EnCodec), kept above `floor`.
    """

    relative: bool = True
    floor: float = 1e-3
    logits: bool = False  # the logits are a feature too (HiFi-GAN)
    average: bool = True  # the mean over layers and discriminators (EnCodec), else the sum (HiFi-GAN, DAC)

    def __call__(self, real: Outputs, fake: Outputs) -> Tensor:
        """The loss of the coded waves; no gradient reaches the real ones."""
        losses = []
        for r, f in _pairs(real, fake):
            features = zip([*r.features, r.logits], [*f.features, f.logits], strict=True)
            distances = [self._distance(a.detach().float(), b.float()) for a, b in features]
            losses.append(_reduce(distances if self.logits else distances[:-1], self.average))
        return _reduce(losses, self.average)

    def _distance(self, real: Tensor, fake: Tensor) -> Tensor:
        distance = F.l1_loss(fake, real)
        return distance / real.abs().mean().clamp_min(self.floor) if self.relative else distance


def _pairs(real: Outputs, fake: Outputs) -> Iterable[tuple[DiscriminatorOutput, DiscriminatorOutput]]:
    if len(real) != len(fake):
        raise InputError(
            f"expected the same discriminators twice, got {len(real)} outputs for real and {len(fake)} for coded"
        )
    return zip(real, fake, strict=True)


def _reduce(losses: list[Tensor], average: bool) -> Tensor:
    if not losses:
        raise InputError("expected the outputs of at least one discriminator, got none")
    total = torch.stack(losses)
    return total.mean() if average else total.sum()
