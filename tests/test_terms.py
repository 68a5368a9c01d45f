"""The loss is the sum that the recipe writes down."""

from __future__ import annotations

import pytest
import torch
from small_run import small_recipe

from nacre.errors import InputError
from nacre.quantizers.base import Quantized
from nacre.training.losses import ComplexSTFTLoss, LogSNRLoss, MelLoss, WaveLoss
from nacre.training.spectra import Pair
from nacre.training.terms import Terms


def pair(seed: int = 0) -> Pair:
    generator = torch.Generator().manual_seed(seed)
    return Pair(torch.randn(2, 1, 2000, generator=generator), torch.randn(2, 1, 2000, generator=generator))


def test_terms_are_those_with_a_weight() -> None:
    assert set(Terms(small_recipe(), 8000)(pair())) == {"mel", "complex_stft", "log_snr"}
    recipe = small_recipe("weights.mel=0", "weights.stft=1", "weights.samples=0.5")
    assert set(Terms(recipe, 8000)(pair())) == {"complex_stft", "log_snr", "stft", "samples"}


def test_terms_are_the_losses_with_the_recipes_settings() -> None:
    recipe = small_recipe("weights.samples=0.5", "weights.squares=100.0")
    terms = Terms(recipe, 8000)(pair())
    assert terms["mel"] == MelLoss(8000, recipe.mel)(pair())
    assert terms["complex_stft"] == ComplexSTFTLoss((128, 400))(pair())
    assert terms["log_snr"] == LogSNRLoss()(pair())
    assert terms["samples"] == WaveLoss()(pair())
    assert terms["squares"] == WaveLoss(power=2)(pair())


def test_the_weighted_sum() -> None:
    terms = Terms(small_recipe("weights.feature=0.25"), 8000)
    losses = {"mel": torch.tensor(2.0), "log_snr": torch.tensor(-1.0), "feature": torch.tensor(4.0)}
    assert terms.weighted(losses).item() == pytest.approx(15 * 2 - 8 + 0.25 * 4)


def test_what_the_quantizer_costs() -> None:
    terms = Terms(small_recipe("weights.commitment=3", "weights.codebook=0.5"), 8000)
    quantized = Quantized(torch.zeros(1), (), torch.tensor(2.0), torch.tensor(10.0))
    assert terms.beside(quantized).item() == pytest.approx(3 * 2 + 0.5 * 10)


def test_a_codec_that_would_learn_from_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="learns from one of mel, stft"):
        Terms(small_recipe("weights.mel=0", "weights.complex_stft=0", "weights.log_snr=0"), 8000)
