from __future__ import annotations

import pytest
import torch
from torch import nn

from nacre.nn.counting import multiply_adds


def test_products_and_convolutions_by_hand() -> None:
    x = torch.zeros(2, 6, 50)
    assert multiply_adds(lambda: nn.Conv1d(6, 4, 5)(x)) == 2 * 46 * 4 * 6 * 5
    assert multiply_adds(lambda: nn.Conv1d(6, 6, 5, groups=6)(x)) == 2 * 46 * 6 * 5
    assert multiply_adds(lambda: nn.ConvTranspose1d(6, 3, 4, stride=2)(x)) == 2 * 50 * 6 * 3 * 4
    assert multiply_adds(lambda: nn.Linear(50, 7)(x)) == 2 * 6 * 50 * 7
    assert multiply_adds(lambda: x.sin() + x) == 0


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
@pytest.mark.parametrize("learning", [False, True])
def test_recurrent_layers_by_hand(kind: type[nn.RNNBase], learning: bool) -> None:
    """One layer of oneDNN's at use, single steps while gradients are kept; the same arithmetic."""
    layer = kind(6, 8, num_layers=2)
    gates = {nn.LSTM: 4, nn.GRU: 3}[kind]
    with torch.inference_mode(not learning):
        found = multiply_adds(lambda: layer(torch.zeros(50, 2, 6)))
    assert found == 50 * 2 * gates * 8 * ((6 + 8) + (8 + 8))
