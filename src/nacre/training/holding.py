"""Parts of a codec that a run leaves as they are, to the bit: parameters, codebooks and whatever else they average."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from torch import nn

from ..codecs.base import Codec

Held = TypeVar("Held", bound=Codec)


def hold(codec: Held, parts: Iterable[str]) -> Held:
    """Let nothing in `parts` ("encoder", "quantizer", "decoder") learn; gradients still pass through. Returns `codec`.

    Held parts are in evaluation mode, in which codebooks do not learn, but for recurrent layers, through which cuDNN
    lets gradients in training mode only; ours have no dropout, so what they say is the same. Call it again after
    `codec.train()`.
    """
    for part in parts:
        held = codec.get_submodule(part).requires_grad_(False).eval()
        for layer in held.modules():
            if isinstance(layer, nn.RNNBase):
                layer.train()
    return codec
