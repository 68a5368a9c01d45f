"""The layout of `weights/NAME/`: what a run leaves for others to use and to train on.

`model.safetensors` and the two ONNX graphs (converters/to_onnx.py), `discriminators.safetensors` where the run had
any, and `recipe.toml`. Weights have 16 bits, or 8 where the recipe says so; those of discriminators 16.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from ..codecs.base import Codec
from ..codes import CodecInfo
from ..converters.eight_bits import unpack
from ..converters.keys import coding_keys
from ..converters.to_onnx import export
from ..errors import DamagedError, InputError, MissingError
from ..onnx_runtime import WEIGHTS
from ..quantizers.codebook import Codebook
from .checkpoint import RECIPE, Checkpoints
from .discriminators import Discriminators
from .recipe import read_recipe

DISCRIMINATORS = "discriminators.safetensors"


def finish(run: str | Path, folder: str | Path, best: bool = False) -> CodecInfo:
    """Export the averaged weights of a run's last (or best) checkpoint to `folder`; returns the codec's info."""
    folder = Path(folder)
    checkpoint = Checkpoints(run).best() if best else Checkpoints(run).last()
    recipe = read_recipe(checkpoint.folder / RECIPE)
    codec = recipe.build()
    codec.load_state_dict(checkpoint.tensors("average"))
    info = export(codec.fold(), folder, recipe.weight_bits)
    if checkpoint.has("discriminators"):
        halves = {name: _half(tensor) for name, tensor in checkpoint.tensors("discriminators").items()}
        (folder / DISCRIMINATORS).write_bytes(save(halves))  # save_file would keep it from other users
    (folder / RECIPE).write_text(recipe.to_toml(), "utf-8")
    return info


def load_generator(codec: Codec, folder: str | Path) -> None:
    """Weights of `folder` into `codec`, to go on from: its codebooks learn on and do not start anew."""
    tensors = _read(Path(folder) / WEIGHTS)
    expected = {name: codec.state_dict()[name].shape for name in coding_keys(codec)}
    found = {name: tensor.shape for name, tensor in tensors.items()}
    if found != expected:
        odd = sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
        raise InputError(
            f"the weights in {folder} are not those of the recipe's codec: {', '.join(odd[:4])} differ; "
            f"train with the recipe beside them, {Path(folder) / RECIPE}"
        )
    codec.load_state_dict(tensors, strict=False)
    for book in codec.modules():
        if isinstance(book, Codebook):
            _go_on(book)


@torch.no_grad()
def _go_on(book: Codebook) -> None:
    """Averages as if every entry had been hit once a step: what they were is not stored with the weights."""
    book.started.fill_(True)
    book.counts.fill_(1.0)
    if book.config.ema:
        book.sums.copy_(book.entries)


def load_discriminators(model: Discriminators, folder: str | Path) -> list[str]:
    """Weights of `folder` into those families of `model` that it has; a sentence for each that starts fresh."""
    path = Path(folder) / DISCRIMINATORS
    if not path.is_file():
        return [f"no {DISCRIMINATORS} in {folder}: the discriminators start fresh"]
    tensors, notes = _read(path), []
    for name, family in model.families.items():
        prefix = f"families.{name}."
        part = {key.removeprefix(prefix): tensor for key, tensor in tensors.items() if key.startswith(prefix)}
        if {key: tensor.shape for key, tensor in part.items()} == {k: v.shape for k, v in family.state_dict().items()}:
            family.load_state_dict(part)
        else:
            notes.append(f"{path} does not hold the discriminators {name!r} of this recipe: they start fresh")
    return notes


def _read(path: Path) -> dict[str, Tensor]:
    """Tensors of a file, floats at 32 bits."""
    if not path.is_file():
        raise MissingError(f"no {path.name} in {path.parent}; expected a folder that `nacre train` finished")
    try:
        return {name: _single(tensor) for name, tensor in unpack(load_file(path)).items()}
    except (OSError, SafetensorError) as error:
        raise DamagedError(f"{path} is not a whole safetensors file") from error


def _half(tensor: Tensor) -> Tensor:
    return tensor.half() if tensor.is_floating_point() else tensor


def _single(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor
