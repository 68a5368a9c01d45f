"""Weights of other houses: read without running anything, found by a table of names, used once each, given back."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from ..errors import DamagedError, MissingError
from ..nn.weight_norm import NEW, OLD, size_of
from .keys import LEARNING

_UNREADABLE = (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, ValueError, OSError, KeyError)


def read_checkpoint(path: Path) -> Any:
    """What a `.pth`, `.pt`, `.bin` or `.safetensors` file holds; a pickled one may hold plain data and tensors only."""
    if not path.is_file():
        raise MissingError(f"no file {path}; expected a checkpoint")
    try:
        return load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except _UNREADABLE as error:
        word = str(error).partition("\n")[0]
        raise DamagedError(f"{path} is no file of plain weights, or damaged: {word}") from error


def as_weights(held: Any, path: Path) -> dict[str, Tensor]:
    """`held` as a state dict, without the prefix of parallel training, with weight norm in its old spelling."""
    if not isinstance(held, dict) or not all(isinstance(tensor, Tensor) for tensor in held.values()):
        raise DamagedError(f"{path} should hold a table of tensors by name, got something else; expected a state dict")
    plain = {_spelt(str(key).removeprefix("module.")): tensor for key, tensor in held.items()}
    if len(plain) != len(held):
        raise DamagedError(f"{path} names a tensor twice; expected one state dict of one model")
    return plain


def names(codec: nn.Module, table: Mapping[str, str], leaves: Mapping[str, str]) -> dict[str, str]:
    """Each key of `codec`, which is not fused, and theirs: `table` has the modules, `leaves` their tensors' names.

    Weight norm goes by its old spelling; what codebooks remember between training steps is left out unless in `leaves`.
    """
    spelling = dict(zip(NEW, OLD, strict=True))
    found = {}
    for key in codec.state_dict():
        module, leaf = _split(key)
        if leaf in leaves or leaf not in LEARNING:
            found[key] = f"{table[module]}.{leaves.get(leaf) or spelling.get(leaf, leaf)}"
    return found


def fill(codec: nn.Module, given: Mapping[str, Tensor], found: Mapping[str, str], path: Path) -> None:
    """Put `given` into `codec`, which is not fused, by the names `found`: each once, each of the right shape."""
    given = _apart(given, set(found.values()))
    odd = sorted(set(found.values()) ^ set(given))
    if odd:
        raise DamagedError(f"{path} does not hold these weights: {', '.join(odd[:5])} missing or too many")
    state, ours = codec.state_dict(), {}
    for key, theirs in found.items():
        expected = list(state[key].shape)
        if list(given[theirs].shape) != expected:
            raise DamagedError(f"{theirs} in {path} should have shape {expected}, got {list(given[theirs].shape)}")
        ours[key] = given[theirs].detach().to(state[key].dtype)
    codec.load_state_dict(ours, strict=False)


def handed_back(codec: nn.Module, found: Mapping[str, str]) -> dict[str, Tensor]:
    """The weights of `codec`, fused or not, under the names `found`."""
    state, theirs = codec.state_dict(), {}
    for ours, name in found.items():
        if ours in state:
            tensor = state[ours]
        else:  # fused: all of the size there is, and the direction
            module, leaf = _split(ours)
            weight = state[f"{module}.weight"]
            tensor = size_of(weight) if leaf == NEW[0] else weight
        theirs[name] = tensor.detach().clone()
    return theirs


def _apart(given: Mapping[str, Tensor], expected: set[str]) -> dict[str, Tensor]:
    """`given`, with weight norm where theirs was removed from the file and ours expects it."""
    apart: dict[str, Tensor] = {}
    for key, tensor in given.items():
        size, direction = (key.removesuffix("weight") + leaf for leaf in OLD)
        if key not in expected and key.endswith(".weight") and {size, direction} <= expected:
            apart |= {size: size_of(tensor), direction: tensor}
        else:
            apart[key] = tensor
    return apart


def _spelt(key: str) -> str:
    for new, old in zip(NEW, OLD, strict=True):
        if key.endswith(f".{new}"):
            return key.removesuffix(new) + old
    return key


def _split(key: str) -> tuple[str, str]:
    for leaf in NEW:
        if key.endswith(f".{leaf}"):
            return key.removesuffix(f".{leaf}"), leaf
    module, _, leaf = key.rpartition(".")
    return module, leaf
