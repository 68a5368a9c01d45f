"""State: what layers remember between two chunks, owned by the caller, never by the module.

Offline is streaming with an empty past. A layer is written once, as `forward(x, state=None)`; given a
State it prepends what it last saw and stores the new tail. Two callers hold two States on one model.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn


class State:
    """Tensors that layers keep for one stream, in the order in which the layers first ran.

    `last` says that the coming chunk ends the stream: layers that hear the future, or whose stride does not
    divide the length, then pad the end as they do for a whole file.
    """

    def __init__(self) -> None:
        self.last = False
        self._kept: dict[nn.Module, tuple[Tensor, ...]] = {}

    def get(self, layer: nn.Module) -> tuple[Tensor, ...] | None:
        """What `layer` stored last, None before its first chunk."""
        return self._kept.get(layer)

    def put(self, layer: nn.Module, *tensors: Tensor) -> None:
        """Keep `tensors` for the layer's next chunk."""
        self._kept[layer] = tensors

    def tensors(self) -> list[Tensor]:
        """All tensors, flat, in the order in which layers first ran."""
        return [tensor for kept in self._kept.values() for tensor in kept]

    def names(self, model: nn.Module) -> list[str]:
        """A name for each of `tensors()`: the layer's path inside `model`, numbered when it keeps several."""
        paths = {module: path for path, module in model.named_modules()}
        return [
            f"{paths[layer]}.{i}" if len(kept) > 1 else paths[layer]
            for layer, kept in self._kept.items()
            for i in range(len(kept))
        ]

    def filled(self, tensors: Sequence[Tensor]) -> State:
        """A new State of the same layout that holds `tensors` instead: how exported graphs hand state in."""
        other, rest = State(), list(tensors)
        other.last = self.last
        for layer, kept in self._kept.items():
            other.put(layer, *rest[: len(kept)])
            rest = rest[len(kept) :]
        return other
