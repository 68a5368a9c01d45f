"""Which entries of a state dict a codec needs for coding, and which only for learning on; the name they go by."""

from __future__ import annotations

import hashlib

from torch import Tensor, nn

from ..quantizers.codebook import Codebook

LEARNING = ("sums", "counts", "hits", "started")  # what a codebook remembers between training steps


def coding_keys(codec: nn.Module) -> set[str]:
    """Names of the parameters and buffers without which the codec cannot encode and decode."""
    learning = {
        f"{path}.{name}" for path, module in codec.named_modules() if isinstance(module, Codebook) for name in LEARNING
    }
    return set(codec.state_dict()) - learning


def digest(weights: dict[str, Tensor]) -> str:
    """First 16 hex digits of the SHA-256 over all names and values, independent of the file that holds them."""
    total = hashlib.sha256()
    for name in sorted(weights):
        total.update(name.encode() + weights[name].contiguous().cpu().numpy().tobytes())
    return total.hexdigest()[:16]
