"""Parts of a codec that a run leaves as they are, to the bit: parameters, codebooks and whatever else they average."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from torch import nn

from ..codecs.base import Codec

Held = TypeVar("Held", bound=Codec)


def hold(codec: Held, parts: Iterable[str]) -> Held:
    """Let nothing in `parts` ("encoder", "quantizer", "decoder") learn; gradients still pass through. Returns `codec`.

    Held parts are in evaluation mode, in which codebooks do not learn; call it again after `codec.train()`.
    """
    for part in parts:
        held = codec.get_submodule(part).requires_grad_(False).eval()
        for layer in held.modules():
            if isinstance(layer, nn.RNNBase):  # cuDNN lets gradients through in training mode only; without dropout
                layer.train()  # the values are the same
    return codec
