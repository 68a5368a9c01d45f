"""Adversarial losses: values by hand, and which way they push."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from nacre.errors import InputError
from nacre.training.adversarial import OBJECTIVES, FeatureMatching, discriminator_loss, generator_loss
from nacre.training.discriminators import DiscriminatorOutput


def said(*scores: float, features: tuple[Tensor, ...] = ()) -> DiscriminatorOutput:
    return DiscriminatorOutput(torch.tensor(scores), features)


REAL = [said(2.0, 0.0), said(0.5)]
FAKE = [said(-3.0, 0.5), said(-0.5)]


@pytest.mark.parametrize(
    ("name", "first", "second", "codec"),
    [
        ("hinge", 0.5 + 0.75, 0.5 + 0.5, (1.25, 0.5)),
        ("clipped-hinge", 0.5 + 0.75, 0.5 + 0.5, (2.25, 1.5)),
        ("least-squares", 1.0 + 4.625, 0.25 + 0.25, (8.125, 2.25)),
    ],
)
def test_objectives_by_hand(name: str, first: float, second: float, codec: tuple[float, float]) -> None:
    objective = OBJECTIVES[name]
    assert discriminator_loss(REAL, FAKE, objective).item() == pytest.approx((first + second) / 2)
    assert discriminator_loss(REAL, FAKE, objective, average=False).item() == pytest.approx(first + second)
    assert generator_loss(FAKE, objective).item() == pytest.approx(sum(codec) / 2)
    assert generator_loss(FAKE, objective, average=False).item() == pytest.approx(sum(codec))


@pytest.mark.parametrize("name", OBJECTIVES)
def test_discriminators_part_the_scores_and_the_codec_raises_its_own(name: str) -> None:
    real, fake = torch.full((4,), 0.5, requires_grad=True), torch.full((4,), 0.5, requires_grad=True)
    discriminator_loss([DiscriminatorOutput(real, ())], [DiscriminatorOutput(fake, ())], OBJECTIVES[name]).backward()
    assert real.grad is not None
    assert fake.grad is not None
    assert (real.grad < 0).all()  # a step against the gradient raises these
    assert (fake.grad > 0).all()  # and lowers these
    score = torch.zeros(4, requires_grad=True)
    generator_loss([DiscriminatorOutput(score, ())], OBJECTIVES[name]).backward()
    assert score.grad is not None
    assert (score.grad < 0).all()


def test_a_won_hinge_teaches_nothing_more() -> None:
    real, fake = torch.full((3,), 1.5, requires_grad=True), torch.full((3,), -1.5, requires_grad=True)
    cost = discriminator_loss([DiscriminatorOutput(real, ())], [DiscriminatorOutput(fake, ())], OBJECTIVES["hinge"])
    cost.backward()
    assert cost.item() == 0
    assert real.grad is not None
    assert not real.grad.any()


def features(*values: list[float]) -> tuple[Tensor, ...]:
    return tuple(torch.tensor(value) for value in values)


def test_feature_matching_by_hand() -> None:
    real = [said(1.0, features=features([2.0, -4.0], [1.0])), said(4.0, features=features([8.0], [0.0]))]
    fake = [said(3.0, features=features([3.0, -2.0], [0.5])), said(5.0, features=features([6.0], [1e-4]))]
    relative = [(1.5 / 3 + 0.5 / 1) / 2, (2 / 8 + 1e-4 / 1e-3) / 2]
    assert FeatureMatching()(real, fake).item() == pytest.approx(sum(relative) / 2)
    plain = FeatureMatching(relative=False, average=False)
    assert plain(real, fake).item() == pytest.approx(1.5 + 0.5 + 2 + 1e-4)
    with_logits = FeatureMatching(relative=False, average=False, logits=True)
    assert with_logits(real, fake).item() == pytest.approx(1.5 + 0.5 + 2 + 1e-4 + 2 + 1)


def test_feature_matching_is_zero_on_equal_and_pulls_the_coded_only() -> None:
    real, fake = torch.randn(3, 4, requires_grad=True), torch.randn(3, 4, requires_grad=True)
    outputs = [said(0.0, features=(real,))]
    assert FeatureMatching()(outputs, outputs).item() == 0
    FeatureMatching()(outputs, [said(0.0, features=(fake,))]).backward()
    assert real.grad is None
    assert fake.grad is not None
    assert torch.equal(fake.grad.sign(), (fake - real).sign().detach())


def test_half_precision_is_counted_in_full() -> None:
    logits = torch.full((5000,), 1.01, dtype=torch.bfloat16)
    output = [DiscriminatorOutput(logits, (logits,))]
    assert generator_loss(output, OBJECTIVES["hinge"]).dtype == torch.float32
    assert FeatureMatching()(output, output).dtype == torch.float32


def test_other_or_no_discriminators_are_refused() -> None:
    with pytest.raises(InputError, match="2 outputs for real and 1 for coded"):
        discriminator_loss(REAL, FAKE[:1], OBJECTIVES["hinge"])
    with pytest.raises(InputError, match="at least one discriminator"):
        generator_loss([], OBJECTIVES["hinge"])
