"""A small recipe has the structure of the whole one: layers, losses, discriminators and stages."""

from __future__ import annotations

import pytest
import torch

from nacre.training.library import locate, names
from nacre.training.run import stages_for
from nacre.training.scale import NARROWER, narrow, rescaled, small
from nacre.training.stages import read_stages


@pytest.mark.parametrize("name", names())
def test_small_is_narrow_and_short_but_alike(name: str) -> None:
    whole, little = read_stages(locate(name)), stages_for(name, scale="small")
    assert len(whole) == len(little)
    for big, each in zip(whole, little, strict=True):
        assert each == small(big)
        assert each.name == f"{name}-small" and each.steps <= 200 and each.batch <= 2 and each.crop <= 0.5
        assert (each.weights, each.mel, each.discriminators) == (big.weights, big.mel, big.discriminators)
        with torch.device("meta"):
            codec, model = each.build(), big.build()
        assert codec.state_dict().keys() == model.state_dict().keys()
        sizes = [sum(p.numel() for p in part.parameters()) for part in (codec, model)]
        assert sizes[0] < sizes[1] / 5


def test_widths_are_divided_inside_too() -> None:
    config = read_stages(locate("soundstream-24k"))[0].codec
    assert narrow(config, NARROWER).seanet.filters == 8
    assert narrow(config, NARROWER).levels == config.levels


def test_overrides_stand_over_the_scale() -> None:
    (recipe,) = rescaled(read_stages(locate("dac-44k")), ["steps=7", "name=mine"])
    assert (recipe.steps, recipe.name, recipe.batch) == (7, "mine", 2)
