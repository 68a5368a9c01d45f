"""activations: values from their formulas, and the limits they are known for."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from chunking import assert_learns
from torch import nn

from nacre.nn.activations import ELU, SMU, Snake, SnakeBeta

X = torch.linspace(-3, 3, 13).reshape(1, 1, 13)


def test_snake_by_hand() -> None:
    snake = Snake(2)
    with torch.no_grad():
        snake.alpha[0, :, 0] = torch.tensor([2.0, 0.5])
        y = snake(torch.full((1, 2, 1), 1.5))
    assert y[0, 0, 0].item() == pytest.approx(1.5 + math.sin(3.0) ** 2 / 2)
    assert y[0, 1, 0].item() == pytest.approx(1.5 + math.sin(0.75) ** 2 / 0.5)


def test_snake_in_use_is_snake_in_training_to_the_bit() -> None:
    snake, x = Snake(3), torch.randn(2, 3, 50)
    nn.init.uniform_(snake.alpha, 0.1, 5)
    kept, learning = x.clone(), snake(x).detach()
    with torch.no_grad():
        assert torch.equal(snake(x), learning)
    assert torch.equal(x, kept)  # what comes in may be heard by a shortcut too


def test_snake_without_ripple_is_a_line() -> None:
    snake = Snake(1)
    nn.init.zeros_(snake.alpha)
    assert torch.equal(snake(X), X)  # the 1e-9 keeps 0/0 away


def test_snake_beta_starts_as_snake() -> None:
    torch.testing.assert_close(SnakeBeta(1)(X), Snake(1)(X))
    wide = SnakeBeta(1)
    nn.init.constant_(wide.beta, math.log(4.0))
    torch.testing.assert_close(wide(X), X + X.sin().square() / 4)


def test_smu_by_hand_and_at_its_limits() -> None:
    assert SMU(0.25, 2.0)(torch.tensor(0.8)).item() == pytest.approx((1 + 0.6 / 0.8 * math.erf(1.2) + 0.25) * 0.8 / 2)
    torch.testing.assert_close(SMU(0.25, 1e6)(X), F.leaky_relu(X, 0.25))
    torch.testing.assert_close(SMU(0.25, 0.0)(X), 0.625 * X)
    torch.testing.assert_close(SMU(0.0, 0.5**0.5)(X), F.gelu(X))


@pytest.mark.parametrize("layer", [Snake(3), SnakeBeta(3), SMU()])
def test_gradient_flows_and_nothing_is_a_chunk_too(layer: nn.Module) -> None:
    assert_learns(layer, torch.randn(2, 3, 5))
    assert layer(torch.zeros(2, 3, 0)).shape == (2, 3, 0)


def test_elu_is_torchs() -> None:
    x = torch.linspace(-120, 120, 4_001)
    with torch.no_grad():
        torch.testing.assert_close(ELU()(x), F.elu(x), atol=1e-7, rtol=1e-6)
    torch.testing.assert_close(ELU()(x), F.elu(x), atol=0, rtol=0)
