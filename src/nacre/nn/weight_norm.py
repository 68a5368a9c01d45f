"""Weight normalisation: kept apart as size and direction for training, fused into plain weights for use.

Salimans and Kingma 2016 (arXiv 1602.07868): `w = g * v / ||v||`, the norm taken over all dimensions but the first
(of a transposed convolution that is the *input* channel). Checkpoints spell it in two ways, and a layer loads
either, and plain weights too, whether it is normalised itself or not.
"""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize

Layer = TypeVar("Layer", bound=nn.Module)

OLD = ("weight_g", "weight_v")
NEW = ("parametrizations.weight.original0", "parametrizations.weight.original1")


def normalise(model: Layer) -> Layer:
    """Give every convolution inside `model` a weight of its own size and direction; returns `model`."""
    for layer in list(model.modules()):
        if isinstance(layer, nn.Conv1d | nn.ConvTranspose1d) and not _is_normalised(layer):
            parametrizations.weight_norm(layer)
    return model


def fuse(model: Layer) -> Layer:
    """Make every normalised weight inside `model` a plain one, for inference and export; returns `model`.

    The weights keep their values; outputs move in the last bits at most.
    """
    for layer in list(model.modules()):
        if _is_normalised(layer):
            # a deep copy shares the class that torch made for the original, and torch is about to take it apart
            shared = type(layer)
            layer.__class__ = type(shared.__name__, shared.__bases__, dict(vars(shared)))
            parametrize.remove_parametrizations(layer, "weight")
    return model


def accept_both_spellings(layer: nn.Module) -> None:
    """Let `layer.load_state_dict` read weights in either spelling of weight norm, or plain."""
    layer.register_load_state_dict_pre_hook(_respell)  # type: ignore[no-untyped-call]


def size_of(direction: Tensor) -> Tensor:
    """The norm over all dimensions but the first, which stays: `[C, ...] -> [C, 1, ...]`."""
    size: Tensor = torch.linalg.vector_norm(direction, dim=tuple(range(1, direction.ndim)), keepdim=True)
    return size


def taken_apart(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Size and direction of a weight; a row of zeros points anywhere, for its direction is divided by its size."""
    size = size_of(weight)
    return size, torch.where(size > 0, weight, torch.ones_like(weight))


def _is_normalised(layer: nn.Module) -> bool:
    return parametrize.is_parametrized(layer, "weight")


def _respell(layer: nn.Module, state_dict: dict[str, Any], prefix: str, *_: Any) -> None:
    plain = prefix + "weight"
    for size, direction in ((prefix + g, prefix + v) for g, v in (OLD, NEW)):
        if size in state_dict and direction in state_dict:
            g, v = state_dict.pop(size), state_dict.pop(direction)
            break
    else:
        if plain not in state_dict or not _is_normalised(layer):
            return
        g, v = taken_apart(state_dict.pop(plain))
    if _is_normalised(layer):
        state_dict |= {prefix + NEW[0]: g, prefix + NEW[1]: v}
    else:
        state_dict[plain] = v * (g / size_of(v).clamp_min(torch.finfo(v.dtype).tiny))
