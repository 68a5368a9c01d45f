"""The other player: discriminators that learn to tell coded waves from real ones, and what they make the codec pay.

Letters in shapes: `B` batch, `C` channels, `T` samples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from ..errors import InputError
from .adversarial import OBJECTIVES, Objective, discriminator_loss, generator_loss
from .discriminators import (
    MULTI_PERIOD,
    MULTI_SCALE,
    MULTI_SCALE_STFT,
    Discriminator,
    DiscriminatorOutput,
    Discriminators,
    FrameRateSTFT,
    MultiBandMultiResolution,
    MultiFilterBank,
    MultiPeriod,
    MultiScale,
    MultiScaleSTFT,
    ResidualSTFT,
    SubBand,
)
from .precision import Stepper
from .recipe import Recipe

FAMILIES: Mapping[str, Callable[[], Discriminator]] = {
    **{f"stft-{name}": partial(MultiScaleSTFT, config) for name, config in MULTI_SCALE_STFT.items()},
    "stft-soundstream": ResidualSTFT,
    "stft-frame-rate": FrameRateSTFT,
    "bands-dac": MultiBandMultiResolution,
    **{f"periods-{name}": partial(MultiPeriod, config) for name, config in MULTI_PERIOD.items()},
    **{f"scales-{name}": partial(MultiScale, config) for name, config in MULTI_SCALE.items()},
    "filter-bank-hilcodec": MultiFilterBank,
    "sub-band-avocodo": SubBand,
}


def build_discriminators(recipe: Recipe) -> Discriminators:
    """The families that a recipe names, with fresh weights."""
    for name in recipe.discriminators:
        if name not in FAMILIES:
            raise InputError(f"recipe key 'discriminators' holds some of {', '.join(FAMILIES)}, got {name!r}")
    return Discriminators({name: FAMILIES[name]() for name in recipe.discriminators}, recipe.levelled)


class Adversary:
    """Discriminators and how they learn; `prepared` is the same model as it runs on several processes."""

    def __init__(self, model: Discriminators, prepared: nn.Module, recipe: Recipe) -> None:
        self.model, self.prepared, self.recipe = model, prepared, recipe
        self.objective = OBJECTIVES[recipe.gan]
        self._guess = guessing(self.objective)
        rate, decay = recipe.discriminator_lr, recipe.weight_decay
        optimizer = torch.optim.AdamW(model.parameters(), rate, recipe.betas, weight_decay=decay, fused=True)
        clip = recipe.clip if recipe.discriminator_clip is None else recipe.discriminator_clip
        self.stepper = Stepper(model, optimizer, recipe.precision, clip)

    def learn(self, real: Tensor, coded: Tensor) -> dict[str, Tensor | float]:
        """One step of the discriminators over waves `[B, C, T]`; returns figures to log.

        `discriminator` is their loss over what one pays that only guesses: near 1 they are blind, near 0 they win
        outright.
        """
        with self.stepper.autocast():
            # one pass over both: several passes before one backward are more than DDP promises to join
            outputs = self.prepared(torch.cat([mono(real), mono(coded.detach())]))
            loss = discriminator_loss(*halves(outputs), self.objective, self.recipe.average)
        self.stepper.backward(loss)
        norm = self.stepper.step()
        guess = self._guess * (1 if self.recipe.average else len(outputs))
        return {"discriminator": loss.detach() / guess, "discriminator_norm": norm}

    def judge(self, real: Tensor, coded: Tensor) -> dict[str, Tensor]:
        """What the codec pays for `coded` `[B, C, T]`; the gradient passes the discriminators and leaves no trace."""
        self.model.requires_grad_(False)
        with torch.no_grad():
            of_real = self.model(mono(real))
        of_coded = self.model(mono(coded))
        self.model.requires_grad_(True)
        terms: dict[str, Callable[[], Tensor]] = {
            "adversarial": lambda: generator_loss(of_coded, self.objective, self.recipe.average),
            "feature": lambda: self.recipe.feature_matching(of_real, of_coded),
        }
        return {name: term() for name, term in terms.items() if getattr(self.recipe.weights, name)}


def mono(wave: Tensor) -> Tensor:
    """`[B, C, T]` as `[B * C, 1, T]`: discriminators hear every channel alone."""
    return wave.reshape(-1, 1, wave.shape[-1])


def halves(outputs: Sequence[DiscriminatorOutput]) -> tuple[list[DiscriminatorOutput], list[DiscriminatorOutput]]:
    """What was said of the first half of a batch, and of the second."""
    pairs = [(output.logits.chunk(2), [feature.chunk(2) for feature in output.features]) for output in outputs]
    first, second = (
        [DiscriminatorOutput(logits[i], tuple(feature[i] for feature in features)) for logits, features in pairs]
        for i in (0, 1)
    )
    return first, second


def guessing(objective: Objective) -> float:
    """The least that a discriminator pays who gives every wave the same score."""
    scores = torch.linspace(-1, 1, 201)[:, None]
    return min(float(objective.real(score) + objective.fake(score)) for score in scores)
