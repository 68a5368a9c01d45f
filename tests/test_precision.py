"""Steps: clipped, scaled, and not taken where they lead nowhere."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from nacre.training.precision import Precision, Stepper


def stepper(precision: Precision = "fp32", clip: float = 0.0) -> Stepper:
    torch.manual_seed(0)
    model = nn.Linear(4, 1)
    return Stepper(model, torch.optim.SGD(model.parameters(), lr=0.5), precision, clip)


def loss(each: Stepper, factor: float = 1.0) -> Tensor:
    with each.autocast():
        return factor * each.model(torch.arange(8.0).view(2, 4)).float().square().mean()


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_step_is_the_gradient_step(precision: Precision) -> None:
    wide, narrow = stepper(), stepper(precision)
    for each in (wide, narrow):
        norm = math.nan
        while not math.isfinite(norm):  # the scale of fp16 begins high and comes down
            each.backward(loss(each))
            norm = each.step()
        assert norm > 1
    torch.testing.assert_close(narrow.model.weight, wide.model.weight, rtol=0.03, atol=0.03)


def test_autocast_computes_in_the_type_asked_for() -> None:
    types = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    for name, dtype in types.items():
        each = stepper(name)  # type: ignore[arg-type]
        with each.autocast():
            assert each.model(torch.zeros(1, 4)).dtype is dtype


def test_gradients_are_cut_down_and_their_true_norm_told() -> None:
    free, clipped = stepper(), stepper(clip=0.1)
    before = clipped.model.weight.detach().clone()
    norms = []
    for each in (free, clipped):
        each.backward(loss(each))
        norms.append(each.step())
    assert norms[0] == pytest.approx(norms[1])
    moved = torch.cat([(clipped.model.weight - before).flatten()]).norm().item()
    assert moved <= 0.5 * 0.1 * 1.001
    assert moved > 0.04


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_step_into_nowhere_is_not_taken(bad: float) -> None:
    each = stepper(clip=1.0)
    before = each.model.weight.detach().clone()
    each.backward(loss(each, bad))
    assert not math.isfinite(each.step())
    assert torch.equal(each.model.weight, before)
    each.backward(loss(each))
    assert math.isfinite(each.step())
    assert not torch.equal(each.model.weight, before)


def test_the_scale_of_fp16_comes_down_and_survives() -> None:
    each = stepper("fp16")
    start, before = each.scale, each.model.weight.detach().clone()
    each.backward(loss(each, 1e36))  # overflows float32 when scaled
    each.step()
    assert each.scale == start / 2
    assert torch.equal(each.model.weight, before)
    other = stepper("fp16")
    other.load_state_dict(each.state_dict())
    assert other.scale == each.scale


def test_there_is_no_scale_without_fp16() -> None:
    each = stepper("bf16")
    assert each.scale == 1
    assert each.state_dict() == {}
    each.load_state_dict(stepper("fp16").state_dict())  # a run that changed its precision
    assert each.scale == 1
