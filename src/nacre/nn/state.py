"""State: what layers remember between two chunks, owned by the caller, never by the module.

Offline is streaming with an empty past. A layer is written once, as `forward(x, state=None)`; given a
State it prepends what it last saw and stores the new tail. Two callers hold two States on one model.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..errors import InputError


class State:
    """Tensors that layers keep for one stream, in the order in which the layers first ran.

    `last` says that the coming chunk ends the stream: layers that hear the future, or whose stride does not
    divide the length, then pad the end as they do for a whole file. `place` is the frame of the whole that the
    coming chunk begins with: layers that differ from place to place look at it in their first chunk. `in_graph` says
    that a graph is being recorded, in which no length is known: layers then keep to what holds for every length, and
    where a chunk may be `ragged`, not whole frames, fill it up each time.

    A layer that runs twice in one pass cannot keep two pasts; build two layers and let them share weights.
    """

    def __init__(self) -> None:
        self.last = False
        self.place = 0
        self.in_graph = self.ragged = False
        self._kept: dict[nn.Module, tuple[Tensor, ...]] = {}

    def get(self, layer: nn.Module) -> tuple[Tensor, ...] | None:
        """What `layer` stored last, None before its first chunk."""
        return self._kept.get(layer)

    def put(self, layer: nn.Module, *tensors: Tensor) -> None:
        """Keep copies of `tensors` for the layer's next chunk, so that a short tail does not hold its whole chunk."""
        self._kept[layer] = tuple(tensor.clone() for tensor in tensors)

    def tensors(self) -> list[Tensor]:
        """All tensors, flat, in the order in which layers first ran."""
        return [tensor for kept in self._kept.values() for tensor in kept]

    def names(self, model: nn.Module) -> list[str]:
        """A name for each of `tensors()`: the layer's path inside `model`, numbered when it keeps several."""
        paths = {module: path for path, module in model.named_modules()}
        if not self._kept.keys() <= paths.keys():
            raise InputError("this State holds layers of another model; name it with the model that filled it")
        return [
            f"{paths[layer]}.{i}" if len(kept) > 1 else paths[layer]
            for layer, kept in self._kept.items()
            for i in range(len(kept))
        ]

    def filled(self, tensors: Sequence[Tensor]) -> State:
        """A new State of the same layout that holds `tensors` instead: how exported graphs hand state in."""
        if len(tensors) != len(self.tensors()):
            raise InputError(f"this State holds {len(self.tensors())} tensors, got {len(tensors)} to fill it with")
        other, rest = type(self)(), iter(tensors)
        other.last, other.place, other.in_graph, other.ragged = self.last, self.place, self.in_graph, self.ragged
        other._kept = {layer: tuple(next(rest) for _ in kept) for layer, kept in self._kept.items()}
        return other

    def clone(self) -> State:
        """A branch of the stream: both go on from here, neither disturbs the other."""
        return self.filled(self.tensors())

    def select(self, items: Sequence[int]) -> State:
        """The State of some items of the batch, in the order asked for: streams that leave or join others."""
        index = torch.tensor(list(items), dtype=torch.long)
        return self.filled([tensor.index_select(0, index.to(tensor.device)) for tensor in self.tensors()])
