"""A recipe made small, to see on a CPU within minutes that it learns, before renting a GPU.

The same layers, losses, discriminators and stages; a quarter of the codec's widths, few and short crops, few steps.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, is_dataclass, replace
from typing import Any

from .recipe import Recipe, parse_recipe
from .stages import Stages

WIDTHS = frozenset(  # keys of codecs that say how many features there are
    ("dim", "hidden", "latent", "filters", "width", "widths", "encoder_dim", "decoder_dim", "decoder_width")
)
NARROWER = 4
STEPS, STAGE_STEPS = 200, 100  # of a recipe of one stage, and of each where there are several
CROP = 0.5  # seconds at most: what the longest spectra and the intelligibility term need


def small(recipe: Recipe) -> Recipe:
    """`recipe` for minutes on a CPU; its model gets another name, for it is another model."""
    return replace(
        recipe,
        name=f"{recipe.name}-small",
        steps=min(recipe.steps, STAGE_STEPS if recipe.stage else STEPS),
        minutes=0.0,
        crop=min(recipe.crop, CROP),
        batch=min(recipe.batch, 2),
        validation_clips=min(recipe.validation_clips, 2),
        adversarial_start=0.5,  # of the run: losses can be seen to fall before the discriminators join in
        adversarial_on_cpu=True,
        discriminator_warmup=min(recipe.discriminator_warmup, 10),
        warmup=min(recipe.warmup, 10),
        precision="fp32",
        compile=False,
        log_every=10,
        sample_every=100,
        checkpoint_every=50,
        codec=narrow(recipe.codec, NARROWER),
    )


def narrow(config: Any, factor: int) -> Any:
    """A codec's config with its widths divided, also in the configs inside it."""
    changes: dict[str, Any] = {}
    for each in fields(config):
        value = getattr(config, each.name)
        if is_dataclass(value):
            changes[each.name] = narrow(value, factor)
        elif each.name in WIDTHS:
            changes[each.name] = tuple(v // factor for v in value) if isinstance(value, tuple) else value // factor
    return replace(config, **changes)


def rescaled(stages: Stages, overrides: Iterable[str] = ()) -> Stages:
    """All stages made small, and then changed by overrides such as `steps=1000`."""
    overrides = list(overrides)
    return tuple(parse_recipe(small(stage).to_toml(), overrides) for stage in stages)
