"""The layout of `weights/NAME/`: what a run leaves for others to use and to train on.

`model.safetensors`, its ONNX graphs where the codec has any (converters/to_onnx.py), `discriminators.safetensors` where
the run had any, and `recipe.toml`. Weights have 16 bits, or 8 where the recipe says so; those of discriminators 16.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from ..atomic import whole_folder
from ..codecs.base import Codec
from ..codecs.hilcodec import HILCodec
from ..codes import CodecInfo
from ..converters.eight_bits import unpack
from ..converters.keys import LEARNING
from ..converters.to_folder import half, save_rounded
from ..converters.to_onnx import edges_of, export
from ..errors import DamagedError, InputError, MissingError
from ..onnx_runtime import GRAPH_NAMES, WEIGHTS
from ..quantizers.codebook import Codebook
from .checkpoint import RECIPE, Checkpoints
from .discriminators import Discriminators
from .recipe import read_recipe

DISCRIMINATORS = "discriminators.safetensors"


def finish(run: str | Path, folder: str | Path, best: bool = False, overrides: Iterable[str] = ()) -> CodecInfo:
    """Export the averaged weights of a run's last (or best) checkpoint to `folder`; returns the codec's info.

    Of a run of several stages these are the last stage's. `overrides` change the recipe it was trained by in what
    counts only now, such as `weight_bits=8`. What `folder` held of earlier weights is replaced when all is made.
    """
    checkpoints = Checkpoints(last_stage(run))
    checkpoint = checkpoints.best() if best else checkpoints.last()
    recipe = read_recipe(checkpoint.folder / RECIPE, overrides)
    codec = recipe.build()
    codec.load_state_dict(checkpoint.tensors("average"))
    codec.fold()
    write = export if edges_of(codec) else save_rounded
    with whole_folder(folder, instead_of=(*GRAPH_NAMES, DISCRIMINATORS)) as place:
        info = write(codec, place, recipe.weight_bits)
        if checkpoint.has("discriminators"):
            halves = {name: half(tensor) for name, tensor in checkpoint.tensors("discriminators").items()}
            (place / DISCRIMINATORS).write_bytes(save(halves))  # save_file would keep it from other users
        (place / RECIPE).write_text(recipe.to_toml(), "utf-8")
    return info


def load_generator(codec: Codec, place: str | Path, fresh: Collection[str] = ()) -> list[str]:
    """Weights of a folder or of a run into `codec`, to go on from: its codebooks learn on and do not start anew.

    Weights that were folded for use are taken apart again. Of the parts named in `fresh` those that do not fit begin
    anew, with a sentence for each.
    """
    tensors = _weights_at(Path(place))
    for skipped in dict.fromkeys(((), tuple(fresh))):
        weights = {name: tensor for name, tensor in tensors.items() if name.partition(".")[0] not in skipped}
        if _fits(codec, weights, skipped):
            _fill(codec, weights)
        elif (plain := _unfolded(codec, weights, skipped)) is not None:
            _fill(codec, plain)
        else:
            continue
        return [f"the {part} starts anew: that of {place} is another" for part in skipped]
    found, expected = (_shapes(each) for each in (_coding(tensors), codec.state_dict()))
    odd = sorted(name for name in found.keys() | _coding(expected) if found.get(name) != expected.get(name))
    raise InputError(
        f"the weights in {place} are not those of the recipe's codec: {', '.join(odd[:4])} differ; "
        f"train with the recipe beside them, {Path(place) / RECIPE}"
    )


def _weights_at(place: Path) -> dict[str, Tensor]:
    """What a folder of weights holds, or the averaged codec of a run's last checkpoint."""
    if not (place / WEIGHTS).is_file() and (found := Checkpoints(last_stage(place)).all()):
        return found[-1].tensors("average")
    return _read(place / WEIGHTS)


def last_stage(run: str | Path) -> Path:
    """The folder of the last stage that a run of several came to; of one stage the run itself."""
    stages = [folder for folder in Path(run).glob("stage-*") if Checkpoints(folder).all()]
    return max(stages, key=lambda folder: (len(folder.name), folder.name), default=Path(run))


Table = TypeVar("Table", Tensor, torch.Size)


def _coding(tensors: Mapping[str, Table]) -> dict[str, Table]:
    """Without what codebooks remember between steps."""
    return {name: value for name, value in tensors.items() if name.rpartition(".")[2] not in LEARNING}


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in tensors.items()}


def _fits(codec: Codec, weights: Mapping[str, Tensor], skipped: Collection[str]) -> bool:
    expected = {name: value for name, value in codec.state_dict().items() if name.partition(".")[0] not in skipped}
    return _shapes(_coding(weights)) == _shapes(_coding(expected))


def _unfolded(codec: Codec, weights: Mapping[str, Tensor], skipped: Collection[str]) -> dict[str, Tensor] | None:
    """Folded weights as `codec` has them but for weight norm; None where they are not such."""
    plain: Codec = type(codec)(codec.config, codec.info.name).fold()
    if not _fits(plain, weights, skipped):
        return None
    plain.load_state_dict(weights, strict=False)
    if isinstance(plain, HILCodec):
        plain.unfold()
    return {name: value for name, value in _coding(plain.state_dict()).items() if name.partition(".")[0] not in skipped}


def _fill(codec: Codec, weights: Mapping[str, Tensor]) -> None:
    codec.load_state_dict(weights, strict=False)
    for path, book in codec.named_modules():
        if isinstance(book, Codebook) and f"{path}.entries" in weights and f"{path}.started" not in weights:
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
    path, found = Path(folder) / DISCRIMINATORS, Checkpoints(last_stage(folder)).all()
    if path.is_file():
        tensors = _read(path)
    elif found and found[-1].has("discriminators"):
        tensors = found[-1].tensors("discriminators")
    else:
        return [f"no {DISCRIMINATORS} in {folder}: the discriminators start fresh"]
    notes = []
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


def _single(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor
