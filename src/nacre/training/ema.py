"""The average of a codec's recent weights: less noisy than any one of them, and what is shipped.

Polyak and Juditsky 1992; as an exponential average in most vocoders and codecs since.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


class Average:
    """A copy of a model that follows it slowly: parameters, and buffers such as codebooks that learn without gradients.

    The average is young at first: step by step its decay rises to `decay`, so that random first weights are soon gone.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.model = copy.deepcopy(model).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Move a little towards `model`, which has just taken its step number `step`, counted from zero."""
        own, other = self.model.state_dict(), model.state_dict()
        floats = [name for name, value in own.items() if value.dtype.is_floating_point]
        targets: list[Tensor] = [own[name] for name in floats]
        torch._foreach_lerp_(targets, [other[name] for name in floats], 1 - min(self.decay, (1 + step) / (10 + step)))
        for name in own.keys() - set(floats):
            own[name].copy_(other[name])
