"""How far layers hear to either side: what a stream through them is late by, and what a seek costs.

Worked out from the kernels of a model, layer by layer, so that no codec has to add up its own.
"""

from __future__ import annotations

from itertools import count

from torch import nn

from .attention import LocalAttention
from .blocks import Branches, Chain, Gather, Residual
from .conv import Conv1d, ConvTranspose1d


def lookahead(encoder: nn.Module, decoder: nn.Module, hop: int, step: int = 1, turn: int = 1) -> int:
    """Samples beyond its frame that a stream through both waits for, in the long run: there in whole frames, and back.

    The start of a stream may wait longer where a causal layer mirrors it. Windows come whole, so within a `turn` of
    frames, fed `step` at a time, a stream waits more and less: this is the most.
    """
    begin = next(n for n in count(1) if ready(encoder, n * hop) > 0 and ready(decoder, n) > 0) << 1
    first = -(-begin // turn) * turn
    return max(n * hop - ready(decoder, ready(encoder, n * hop)) for n in range(first, first + turn, step))


def preroll(decoder: nn.Module) -> int:
    """Frames that a decoder hears before the first sample of a frame."""
    return max(0, -first(decoder, 0))


def ready(layer: nn.Module, heard: int) -> int:
    """Positions that `layer` has given when it has heard `heard` of a stream that goes on; below 1 for none."""
    if isinstance(layer, Conv1d):
        kernel = layer.kernel
        return (heard + kernel.past - kernel.span) // kernel.stride + 1
    if isinstance(layer, ConvTranspose1d):
        return heard * layer.kernel.stride - (layer.kernel.left or 0)
    if isinstance(layer, LocalAttention | Gather):
        return heard // layer.window * layer.window
    if isinstance(layer, Chain):
        for part in layer:
            heard = ready(part, heard)
        return heard
    return min([ready(part, heard) for part in _abreast(layer)], default=heard)


def first(layer: nn.Module, position: int) -> int:
    """The first position of its input that a position which `layer` gives can hear."""
    if isinstance(layer, Conv1d):
        return position * layer.kernel.stride - layer.kernel.past
    if isinstance(layer, ConvTranspose1d):
        kernel = layer.kernel
        return -((kernel.span - 1 - position - (kernel.left or 0)) // kernel.stride)
    if isinstance(layer, LocalAttention | Gather):
        return position - layer.window + 1  # as the last of its window
    if isinstance(layer, Chain):
        for part in reversed(list(layer)):
            position = first(part, position)
        return position
    return min([first(part, position) for part in _abreast(layer)], default=position)


def _abreast(layer: nn.Module) -> list[nn.Module]:
    """The branches of a layer that has some; layers without go position by position, or never forget (an LSTM)."""
    if isinstance(layer, Residual):
        return [layer.body, layer.shortcut or Chain()]
    return list(layer.branches) if isinstance(layer, Branches) else []
