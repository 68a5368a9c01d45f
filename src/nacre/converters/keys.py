"""Which entries of a state dict a codec needs for coding, and which only for learning on."""

from __future__ import annotations

from torch import nn

from ..quantizers.codebook import Codebook

LEARNING = ("sums", "counts", "hits", "started")  # what a codebook remembers between training steps


def coding_keys(codec: nn.Module) -> set[str]:
    """Names of the parameters and buffers without which the codec cannot encode and decode."""
    learning = {
        f"{path}.{name}" for path, module in codec.named_modules() if isinstance(module, Codebook) for name in LEARNING
    }
    return set(codec.state_dict()) - learning
