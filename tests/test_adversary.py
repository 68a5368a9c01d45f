"""Discriminators learn to tell, the codec learns from them, and neither moves the other."""

from __future__ import annotations

import pytest
import torch
from small_run import small_recipe

from nacre.errors import InputError
from nacre.training.adversarial import OBJECTIVES
from nacre.training.adversary import FAMILIES, Adversary, build_discriminators, guessing, halves, mono
from nacre.training.discriminators import DiscriminatorOutput
from nacre.training.recipe import Recipe


def adversary(*overrides: str) -> Adversary:
    torch.manual_seed(0)
    recipe = small_recipe(*overrides)
    model = build_discriminators(recipe)
    return Adversary(model, model, recipe)


def waves() -> tuple[torch.Tensor, torch.Tensor]:
    """Sines, and sines with noise."""
    time = torch.arange(1600) / 8000
    real = torch.stack([torch.sin(2 * torch.pi * f * time) for f in (200.0, 330.0)])[:, None]
    return real, real + 0.3 * torch.randn(2, 1, 1600, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("family", [*FAMILIES])
def test_every_family_can_be_named_in_a_recipe(family: str) -> None:
    with torch.device("meta"):  # shapes alone
        assert [*build_discriminators(Recipe(discriminators=(family,))).families] == [family]
    if family.startswith(("bands", "filter", "sub")) or "academicodec" in family:  # the others differ in sizes only
        model = build_discriminators(Recipe(discriminators=(family,)))
        assert all(output.logits.isfinite().all() for output in model(torch.randn(1, 1, 8000)))
    assert "." not in family  # which torch would not take as a module's name


def test_an_unknown_family_is_refused() -> None:
    with pytest.raises(InputError, match=r"holds some of stft-encodec, .*, got 'oracle'"):
        build_discriminators(Recipe(discriminators=("oracle",)))


@pytest.mark.parametrize("gan", [*OBJECTIVES])
def test_discriminators_learn_to_tell(gan: str) -> None:
    player = adversary(f"gan={gan}", "discriminator_lr=3e-3")
    real, coded = waves()
    losses = [float(player.learn(real, coded)["discriminator"]) for _ in range(30)]
    assert losses[0] > 0.8
    assert losses[-1] < 0.6 * losses[0]
    real_score, coded_score = (player.model(wave)[0].logits.mean() for wave in (real, coded))
    assert real_score > coded_score


def test_learning_leaves_the_codec_alone() -> None:
    player = adversary()
    real, coded = waves()
    coded.requires_grad_()
    player.learn(real, coded)
    assert coded.grad is None


def test_judging_leaves_the_discriminators_alone() -> None:
    player = adversary()
    real, coded = waves()
    coded.requires_grad_()
    losses = player.judge(real, coded)
    assert set(losses) == {"adversarial", "feature"}
    (losses["adversarial"] + losses["feature"]).backward()
    assert coded.grad is not None and coded.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in player.model.parameters())
    assert all(parameter.requires_grad for parameter in player.model.parameters())


def test_a_perfect_copy_has_the_features_of_the_original() -> None:
    real, _ = waves()
    assert adversary().judge(real, real.clone())["feature"] == 0


def test_the_loss_of_a_guesser_is_one() -> None:
    for average in ("true", "false"):
        player = adversary(f"average={average}", "gan=least-squares")
        for parameter in player.model.parameters():
            torch.nn.init.zeros_(parameter)
        for stack in player.model.families["periods-academicodec"].stacks:
            torch.nn.init.constant_(stack.last.bias, 0.5)
        assert float(player.learn(*waves())["discriminator"]) == pytest.approx(1)


@pytest.mark.parametrize(("gan", "loss"), [("hinge", 2), ("clipped-hinge", 2), ("least-squares", 0.5)])
def test_what_a_guesser_pays(gan: str, loss: float) -> None:
    assert guessing(OBJECTIVES[gan]) == pytest.approx(loss)


def test_stereo_is_heard_channel_by_channel() -> None:
    wave = torch.arange(12.0).view(2, 2, 3)
    assert mono(wave).tolist() == [[[0, 1, 2]], [[3, 4, 5]], [[6, 7, 8]], [[9, 10, 11]]]


def test_halves() -> None:
    x = torch.arange(4.0)[:, None]
    first, second = halves([DiscriminatorOutput(x, (2 * x, 3 * x))])
    assert first[0].logits.flatten().tolist() == [0, 1]
    assert second[0].features[1].flatten().tolist() == [6, 9]


@pytest.mark.parametrize(
    ("left", "override"), [("adversarial", "weights.feature=0"), ("feature", "weights.adversarial=0")]
)
def test_what_weighs_nothing_is_not_judged(left: str, override: str) -> None:
    assert [*adversary(override).judge(*waves())] == [left]
