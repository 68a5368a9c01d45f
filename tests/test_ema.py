"""The average follows parameters and codebooks, is young at first, and never learns by itself."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from nacre.quantizers.codebook import Codebook
from nacre.training.ema import Average


def test_the_average_is_the_sum_it_claims_to_be() -> None:
    model = nn.Linear(1, 1, bias=False)
    average = Average(model, decay=0.5)
    expected = model.weight.item()
    for step, value in enumerate([3.0, -1.0, 8.0, 2.0]):
        nn.init.constant_(model.weight, value)
        average.update(model, step)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * value
    assert average.model.weight.item() == pytest.approx(expected, rel=1e-6)


def test_decay_rises_to_what_was_asked() -> None:
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    average = Average(model, decay=0.9)
    nn.init.ones_(model.weight)
    average.update(model, 0)
    assert average.model.weight.item() == pytest.approx(0.9)  # the random start is nearly gone
    nn.init.zeros_(model.weight)
    average.update(model, 10**6)
    assert average.model.weight.item() == pytest.approx(0.81)


def test_codebooks_are_averaged_too_and_flags_copied() -> None:
    book = Codebook(4, 2)
    average = Average(book, decay=0.5)
    before = average.model.entries.clone()
    assert not average.model.started
    book.train()(torch.randn(1, 50, 2))
    average.update(book, 100)
    assert average.model.started
    torch.testing.assert_close(average.model.entries, (before + book.entries) / 2)


def test_the_average_stands_apart() -> None:
    model = nn.Linear(2, 2)
    average = Average(model.train(), decay=0.9)
    assert not average.model.training
    assert not any(parameter.requires_grad for parameter in average.model.parameters())
    assert all(parameter.requires_grad for parameter in model.parameters())
    average.update(model, 0)
    torch.testing.assert_close(dict(average.model.state_dict()), dict(model.state_dict()))
    assert model.weight.data_ptr() != average.model.weight.data_ptr()
