"""Opens files of weights: safetensors, pickles that hold nothing that runs, and folders as Hugging Face keeps them.

Also the last step of a conversion: weights under our names into a codec, none missing, left over or of another shape.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from ..errors import DamagedError, MissingError

FILES = ("model.safetensors", "pytorch_model.bin")  # in a folder


def read_weights(path: str | Path, whose: str) -> dict[str, Tensor]:
    """The state dict in a file, in a training checkpoint, or in a folder; `whose` is for the words of errors."""
    path = Path(path)
    if not path.exists():
        raise MissingError(f"{path} is not there; expected a file of {whose}'s weights or a folder with {FILES[0]}")
    found = next((path / name for name in FILES if (path / name).is_file()), None) if path.is_dir() else path
    if found is None:
        raise MissingError(f"no {' or '.join(FILES)} in {path}; expected a folder as Hugging Face keeps it")
    try:
        held = load_file(found) if found.suffix == ".safetensors" else torch.load(found, "cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, ValueError, OSError, KeyError) as error:
        word = str(error).partition("\n")[0]
        raise DamagedError(f"{found} is no file of plain weights, or damaged: {word}") from error
    if isinstance(held, dict) and isinstance(held.get("state_dict"), dict):
        held = held["state_dict"]
    if not isinstance(held, dict) or not all(isinstance(tensor, Tensor) for tensor in held.values()):
        raise DamagedError(f"{found} should hold a table of tensors by name; expected {whose}'s state dict")
    return held


def check_names(given: Mapping[str, Tensor], expected: set[str], whose: str) -> None:
    """An error unless `given` has all of the `expected` tensors and no other."""
    if given.keys() != expected:
        odd = sorted(given.keys() ^ expected)
        raise DamagedError(f"these are not the weights of {whose}: {', '.join(odd[:5])} missing or too many")


def fill(model: nn.Module, weights: Mapping[str, Tensor], whose: str) -> None:
    """Put `weights` under our own names into `model`, of which they must be all."""
    for name, held in model.state_dict().items():
        if weights[name].shape != held.shape:
            raise DamagedError(
                f"these are not the weights of {whose}: {name} should have shape {list(held.shape)}, "
                f"got {list(weights[name].shape)}"
            )
    model.load_state_dict(dict(weights))
