"""Alarms go off when they should, once, and say what to try."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from nacre.errors import InputError
from nacre.quantizers.codebook import CodebookConfig
from nacre.quantizers.rvq import ResidualVQ, ResidualVQConfig
from nacre.training.monitor import IN_A_ROW, YOUNG, Alarms, SkipGuard, codebook_figures

WELL: dict[str, Any] = {"codebook_sizes": (512, 512), "usage": [0.9, 0.8], "perplexity": [400.0, 300.0], "skipped": 0}


def test_all_well() -> None:
    assert Alarms().check(YOUNG, WELL | {"discriminator": 0.9}) == []
    assert Alarms().check(YOUNG, {}) == []  # a codec without codebooks, a run without discriminators
    assert Alarms().check(YOUNG, {"codebook_sizes": (512,)}) == []  # one that keeps no count


def test_a_collapsed_level_is_named_once_until_it_recovers() -> None:
    alarms, ill = Alarms(), WELL | {"usage": [0.9, 0.05], "perplexity": [400.0, 20.0]}
    assert alarms.check(YOUNG - 1, ill) == []  # too young to be judged
    (sentence,) = alarms.check(YOUNG, ill)
    assert "level 2 has collapsed: it uses 5% of its 512 entries (perplexity 20)" in sentence
    assert "try a larger batch" in sentence
    assert alarms.check(YOUNG + 1, ill) == []
    assert alarms.check(YOUNG + 2, WELL) == []
    assert len(alarms.check(YOUNG + 3, ill)) == 1


def test_all_entries_may_be_used_and_yet_say_nothing() -> None:
    assert len(Alarms().check(YOUNG, WELL | {"perplexity": [400.0, 40.0]})) == 1


def test_two_entries_of_two_are_no_collapse() -> None:
    figures = {"codebook_sizes": (2,), "usage": [1.0], "perplexity": [1.9]}
    assert Alarms().check(YOUNG, figures) == []


@pytest.mark.parametrize(("loss", "count"), [(0.01, 1), (0.049, 1), (0.2, 0), (1.0, 0), (math.nan, 0)])
def test_discriminators_that_win_outright(loss: float, count: int) -> None:
    found = Alarms().check(YOUNG, WELL | {"discriminator": loss})
    assert len(found) == count
    assert all("try a lower discriminator_lr" in sentence for sentence in found)


def test_skipped_steps_are_told_as_they_come() -> None:
    alarms = Alarms()
    assert "3 steps were skipped" in alarms.check(1, WELL | {"skipped": 3})[0]
    assert alarms.check(2, WELL | {"skipped": 3}) == []
    assert "2 steps were skipped" in alarms.check(3, WELL | {"skipped": 5})[0]


def test_a_resumed_run_is_not_told_twice() -> None:
    ill = WELL | {"usage": [0.9, 0.05], "perplexity": [400.0, 20.0], "skipped": 4}
    alarms = Alarms()
    alarms.check(YOUNG, ill)
    assert Alarms(alarms.on, skipped=4).check(YOUNG + 50, ill) == []


def test_the_guard_gives_up_in_the_end() -> None:
    guard = SkipGuard()
    for norm in [math.nan] * (IN_A_ROW - 1) + [1.0] + [math.inf] * (IN_A_ROW - 1):
        guard.see(norm)
    assert guard.skipped == 2 * (IN_A_ROW - 1)
    with pytest.raises(InputError, match="lower lr"):
        guard.see(math.nan)


def test_figures_of_a_quantizer() -> None:
    torch.manual_seed(0)
    quantizer = ResidualVQ(ResidualVQConfig(4, (8, 16), codebook=CodebookConfig(revive_below=0)))
    quantizer.train()(torch.randn(2, 4, 200))
    figures = codebook_figures(quantizer)
    assert [len(figures[name]) for name in ("usage", "perplexity")] == [2, 2]
    assert 4 < figures["perplexity"][0] <= 8 < figures["perplexity"][1] <= 16
    assert codebook_figures(torch.nn.Identity()) == {}
