"""What discriminators are made of: stacks, norms, and families side by side."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from nacre.errors import InputError
from nacre.training.discriminators.family import (
    Discriminator,
    DiscriminatorOutput,
    Discriminators,
    Norm,
    Stack,
    level,
    normed,
    same,
)


class Times(Discriminator):
    """Says the wave times a factor, as many times as asked."""

    def __init__(self, factor: float, count: int) -> None:
        super().__init__()
        self.factor, self.count = factor, count

    def forward(self, wave: Tensor) -> list[DiscriminatorOutput]:
        return [DiscriminatorOutput(self.factor * wave, (wave,)) for _ in range(self.count)]


def test_families_stand_side_by_side() -> None:
    both = Discriminators({"twice": Times(2, 1), "thrice": Times(3, 2)})
    wave = torch.ones(1, 1, 4)
    assert [output.logits[0, 0, 0].item() for output in both(wave)] == [2, 3, 3]
    assert {name: len(outputs) for name, outputs in both.by_family(wave).items()} == {"twice": 1, "thrice": 2}


def test_levelled_families_hear_no_offset_and_one_loudness() -> None:
    both = Discriminators({"once": Times(1, 1)}, levelled=True)
    wave = torch.tensor([[[1.0, 3.0, 2.0]], [[10.0, 30.0, 20.0]], [[5.0, 5.0, 5.0]]])
    heard = both(wave)[0].logits[:, 0]
    torch.testing.assert_close(heard, torch.tensor([[-0.8, 0.8, 0], [-0.8, 0.8, 0], [0, 0, 0]]))
    assert torch.equal(heard[:, None], level(wave))


@pytest.mark.parametrize("shape", [(1, 2, 100), (1, 100)])
def test_only_mono_waves_pass_the_door(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="fold channels into the batch"):
        Discriminators({"once": Times(1, 1)})(torch.zeros(shape))


def test_no_family_is_no_discriminator() -> None:
    with pytest.raises(InputError, match="at least one family"):
        Discriminators({})


def test_a_stack_keeps_what_each_layer_saw() -> None:
    layers = [nn.Linear(1, 1, bias=False) for _ in range(3)]
    for layer, weight in zip(layers, (-1.0, 2.0, 5.0), strict=True):
        nn.init.constant_(layer.weight, weight)
    output = Stack(layers[:2], layers[2], slope=0.1)(torch.ones(1, 1))
    assert [feature.item() for feature in output.features] == pytest.approx([-0.1, -0.02])
    assert output.logits.item() == pytest.approx(-0.1)  # no slope after the last


@pytest.mark.parametrize(("norm", "more"), [("weight", 4), ("spectral", 0), ("none", 0)])
def test_norms_hold_the_weight(norm: Norm, more: int) -> None:
    torch.manual_seed(0)
    plain = nn.Conv1d(3, 4, 5)
    weight = plain.weight.detach().clone()
    layer = normed(plain, norm)
    assert sum(parameter.numel() for parameter in layer.parameters()) == 3 * 4 * 5 + 4 + more
    if norm != "spectral":
        torch.testing.assert_close(layer.weight, weight)
    else:
        for _ in range(30):
            held = layer.weight
        assert torch.linalg.matrix_norm(held.flatten(1), 2).item() == pytest.approx(1, rel=1e-3)


@pytest.mark.parametrize(("kernel", "dilation"), [(3, 1), (3, 4), (9, 1), (41, 1)])
def test_same_keeps_the_length(kernel: int, dilation: int) -> None:
    layer = nn.Conv1d(1, 1, kernel, padding=same(kernel, dilation), dilation=dilation)
    assert layer(torch.zeros(1, 1, 77)).shape == (1, 1, 77)
