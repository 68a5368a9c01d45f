"""The codec's loss, term by term, as a recipe weighs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..quantizers.base import Quantized
from .hearing import IntelligibilityLoss, LoudnessLoss
from .losses import ComplexSTFTLoss, LogSNRLoss, MelLoss, PairLoss, STFTLoss, WaveLoss
from .recipe import Recipe
from .spectra import Pair, resolutions
from .whisper import WhisperLoss


class Terms(nn.Module):
    """What a coded wave costs, apart from what discriminators say of it."""

    def __init__(self, recipe: Recipe, sample_rate: int) -> None:
        super().__init__()
        self.weights = recipe.weights
        losses: dict[str, Callable[[], PairLoss]] = {
            "mel": lambda: MelLoss(sample_rate, recipe.mel),
            "stft": lambda: STFTLoss(resolutions(recipe.stft_windows)),
            "complex_stft": lambda: ComplexSTFTLoss(recipe.complex_stft_windows, power=recipe.complex_stft_power),
            "log_snr": LogSNRLoss,
            "intelligibility": lambda: IntelligibilityLoss(sample_rate),
            "loudness": lambda: LoudnessLoss(sample_rate),
            "whisper": lambda: WhisperLoss(sample_rate, recipe.whisper),
            "samples": WaveLoss,
            "squares": lambda: WaveLoss(power=2),
        }
        if not any(getattr(recipe.weights, name) for name in losses):
            raise InputError(f"a codec learns from one of {', '.join(losses)} at least; give it a weight above 0")
        self.losses = nn.ModuleDict({name: make() for name, make in losses.items() if getattr(recipe.weights, name)})

    def forward(self, pair: Pair) -> dict[str, Tensor]:
        """Each term between target and output, unweighted scalars."""
        return {name: loss(pair) for name, loss in self.losses.items()}

    def weighted(self, terms: Mapping[str, Tensor]) -> Tensor:
        """The sum of terms of these or of the discriminators, each times its weight."""
        return torch.stack([getattr(self.weights, name) * term for name, term in terms.items()]).sum()

    def beside(self, quantized: Quantized) -> Tensor:
        """What the quantizer costs, which does not go through the output."""
        return self.weights.commitment * quantized.commitment + self.weights.codebook * quantized.codebook
