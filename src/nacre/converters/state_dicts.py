"""State dicts of other houses, into our models and back: read without running anything, every tensor used once.

A converter gives `names`: each of our keys, before anything is fused, and theirs, with weight norm as size and
direction in its old spelling, whatever the file's is. A `*` in theirs stands for q, k and v: three tensors there, which
ours has one behind the other.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from ..codecs.base import Codec
from ..errors import DamagedError, InputError, MissingError
from ..nn.weight_norm import NEW, OLD, taken_apart
from ..quantizers.codebook import Codebook
from .keys import LEARNING, coding_keys, digest

AnyCodec = TypeVar("AnyCodec", bound=Codec)
Spelling = Literal["old", "new", "plain"]  # of weight norm: as before torch 2, as since then, or multiplied out
FILES = ("model.safetensors", "pytorch_model.bin")  # in a folder as Hugging Face keeps it
CLOSE = 1e-3  # how far a constant may be from ours: Fourier bases of 32 bits are off by 1e-4
_SCALAR = np.float64(0).__reduce__()[0]  # how numpy's numbers are pickled
_NUMBERS: list[Any] = [  # which checkpoints keep beside weights; they run nothing
    *((_SCALAR, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
    np.dtype,
    *(type(np.dtype(kind)) for kind in ("f4", "f8", "i4", "i8", "?")),
]


def check_preset(preset: str, presets: Iterable[str]) -> None:
    """An error unless `preset` is one of those."""
    if preset not in presets:
        raise InputError(f"expected one of {', '.join(presets)}, got {preset!r}")


def read_file(path: str | Path, whose: str, *nests: str) -> Any:
    """What a file holds, or one in a folder as Hugging Face keeps it; a pickle may hold plain data and tensors only.

    `nests` are the names under which `whose` checkpoints hold their weights, from outside in, where there are such.
    """
    path = Path(path)
    found = next((path / name for name in FILES if (path / name).is_file()), None) if path.is_dir() else path
    if found is None:
        raise MissingError(f"no {' or '.join(FILES)} in {path}; expected a folder as Hugging Face keeps it")
    if not found.is_file():
        raise MissingError(f"no file {found}; expected a file of {whose}'s weights, or a folder with {FILES[0]}")
    try:
        with torch.serialization.safe_globals(_NUMBERS):
            held = load_file(found) if found.suffix == ".safetensors" else torch.load(found, "cpu", weights_only=True)
    except Exception as error:  # torch's unpickler fails in any way, given what is no pickle
        word = "it is a web page" if _is_page(found) else _word(str(error))
        raise DamagedError(f"{found} is no file of plain weights, or damaged: {word}") from error
    for nest in nests:
        held = held[nest] if isinstance(held, dict) and isinstance(held.get(nest), dict) else held
    return held


def pickled(held: Any) -> bytes:
    """What `torch.save` writes; it tells of a full disk in words of its own, so it is given memory."""
    content = io.BytesIO()
    torch.save(held, content)
    return content.getvalue()


def _is_page(path: Path) -> bool:
    """Whether a file is what some links give instead of a checkpoint."""
    with path.open("rb") as file:
        return file.read(1) == b"<"


def _word(error: str) -> str:
    """What torch or safetensors mean, in a line; what to do where a file holds more than they open."""
    blocked = re.search(r"unsupported GLOBAL ([\w.]+) whose module", error)
    if blocked:
        return f"it would run {blocked[1]} when it is opened, which no weights need; do not trust it"
    named = re.search(r"Unsupported (?:global|class|type)[^:]*: (?:GLOBAL )?([\w.]+)", error)
    if named:
        return (
            f"it holds {named[1]} as well, which may run code and is not opened; if you trust the file, load it "
            "yourself with torch.load(..., weights_only=False) and save the state dict alone"
        )
    if "Unsupported operand" in error or "invalid load key" in error:
        return "it is no checkpoint of PyTorch's"
    return error.strip().partition("\n")[0]


def read_weights(path: str | Path, whose: str, *nests: str) -> dict[str, Tensor]:
    """The state dict that `read_file` finds, as `as_weights` gives it."""
    return as_weights(read_file(path, whose, *nests), path)


def as_weights(held: Any, where: str | Path = "this") -> dict[str, Tensor]:
    """`held` as a state dict, without the prefix of parallel training, with weight norm in its old spelling."""
    if not isinstance(held, Mapping) or not all(isinstance(tensor, Tensor) for tensor in held.values()):
        raise DamagedError(f"{where} should hold a table of tensors by name, got something else; expected a state dict")
    plain = {_respelt(str(key).removeprefix("module."), NEW, OLD): tensor for key, tensor in held.items()}
    if len(plain) != len(held):
        raise DamagedError(f"{where} names a tensor twice; expected one state dict of one model")
    return plain


def placed(model: nn.Module, rows: Iterable[tuple[str, str]]) -> dict[str, str]:
    """A table for `named` made of patterns of our modules' paths, and what theirs are called.

    The first that fits counts. `{c}` is conv, or convtr for a transposed convolution and for the norm inside one.
    """
    rows, table = tuple(rows), {}
    for path, layer in model.named_modules():
        row = next((row for row in rows if re.fullmatch(row[0], path)), None)
        if row is not None:
            layer = model.get_submodule(path.removesuffix(".norm"))
            kind = "convtr" if isinstance(layer, nn.ConvTranspose1d) else "conv"
            table[path] = re.sub(row[0], row[1], path).format(c=kind)
    return table


def named(model: nn.Module, table: Mapping[str, str], leaves: Mapping[str, str]) -> dict[str, str]:
    """The names of the keys of `model`, which is not fused: `table` has the modules, `leaves` what tensors are called.

    What codebooks remember between training steps is left out unless it is in `leaves`.
    """
    spelling = dict(zip(NEW, OLD, strict=True))
    names = {}
    for key in model.state_dict():
        module, leaf = split(key)
        if module in table and (leaf in leaves or leaf not in LEARNING):
            names[key] = f"{table[module]}.{leaves.get(leaf) or spelling.get(leaf, leaf)}"
    return names


def without_constants(given: Mapping[str, Tensor], constants: Mapping[str, Tensor], whose: str) -> dict[str, Tensor]:
    """`given` less what they keep beside weights though it is always the same, and must be, where it is there."""
    rest = dict(given)
    for key, constant in constants.items():
        held = rest.pop(key, constant)
        if held.shape != constant.shape or not torch.allclose(held.float(), constant, rtol=0, atol=CLOSE):
            raise DamagedError(f"these are not the weights of {whose}: {key} is another than that model's")
    return rest


def taken(given: Mapping[str, Tensor], names: Mapping[str, str], whose: str) -> dict[str, Tensor]:
    """`given` under our keys, in 32 bits: all of it, and nothing else."""
    parts = {ours: _parts(theirs) for ours, theirs in names.items()}
    expected = {name for each in parts.values() for name in each}
    given = _apart(given, expected)
    odd = {"missing": sorted(expected - given.keys()), "unknown": sorted(given.keys() - expected)}
    if any(odd.values()):
        words = [f"{_some(names)} {word}" for word, names in odd.items() if names]
        raise DamagedError(f"these are not the weights of {whose}: {', '.join(words)}")
    ours = {}
    for key, each in parts.items():
        tensors = [given[name].detach() for name in each]
        if len({tensor.shape[1:] for tensor in tensors}) > 1:
            raise DamagedError(f"these are not the weights of {whose}: {', '.join(each)} do not fit together")
        tensor = torch.cat(tensors) if len(tensors) > 1 else tensors[0]
        ours[key] = tensor.float() if tensor.is_floating_point() else tensor
    return ours


def _some(names: list[str]) -> str:
    """The first few of `names`, and how many more."""
    return ", ".join(names[:2]) + (f" and {len(names) - 2} more" if len(names) > 2 else "")


def fill(model: nn.Module, ours: Mapping[str, Tensor], whose: str, names: Mapping[str, str] | None = None) -> None:
    """Put `ours` into `model`, each of the right shape; `names` are for the words of an error.

    Of codebooks that learn, hits are counted once elsewhere; and without a word about it they have started.
    """
    state, filling = model.state_dict(), dict(ours)
    for key, tensor in ours.items():
        held = state[key]
        if held.dtype == torch.bool and tensor.numel() == 1:  # a truth here is one number in a list with many
            tensor = filling[key] = tensor.reshape(()) != 0
        if tensor.shape != held.shape:
            raise DamagedError(
                f"these are not the weights of {whose}: {(names or {}).get(key, key)} should have shape "
                f"{list(held.shape)}, got {list(tensor.shape)}"
            )
    for path, book in model.named_modules():
        if isinstance(book, Codebook) and f"{path}.counts" in ours:
            filling.setdefault(f"{path}.hits", ours[f"{path}.counts"].clone())
            filling.setdefault(f"{path}.started", torch.tensor(True))
    left = [key for key in state.keys() - filling.keys() if split(key)[1] not in LEARNING]
    assert not left, f"the names leave out {left}"
    model.load_state_dict(filling, strict=False)


def loaded(codec: AnyCodec, given: Mapping[str, Tensor], names: Mapping[str, str], fused: bool = True) -> AnyCodec:
    """`codec` with the weights `given`, as `ready` leaves it."""
    fill(codec, taken(given, names, codec.info.name), codec.info.name, names)
    return ready(codec, fused)


def ready(codec: AnyCodec, fused: bool = True) -> AnyCodec:
    """`codec`, whose weights are in, known by their digest and in evaluation mode.

    `fused` makes weight norm plain weights, which is faster; False keeps it apart for training on.
    """
    state = codec.state_dict()
    codec.info = replace(codec.info, digest=digest({key: state[key] for key in coding_keys(codec)}))
    return (codec.fold() if fused else codec).eval()


def unfused(codec: AnyCodec) -> AnyCodec:
    """Another codec of the same config with size and direction of each weight apart, but without memory for them."""
    with torch.device("meta"):
        shape: AnyCodec = type(codec)(codec.config)
    return shape


def handed_back(model: nn.Module, names: Mapping[str, str], spelling: Spelling = "old") -> dict[str, Tensor]:
    """The weights of `model`, fused or not, under `names`."""
    state, theirs = model.state_dict(), dict[str, Tensor]()
    for ours, name in names.items():
        module, leaf = split(ours)
        if spelling == "plain" and leaf in NEW:
            tensor: Tensor = getattr(model.get_submodule(module), "weight")  # noqa: B009 - of weight norm, the product
            name = f"{name.rpartition('.')[0]}.weight"
        elif ours in state:
            tensor = state[ours]
        else:  # fused: all of the size there is, and the direction
            tensor = taken_apart(state[f"{module}.weight"])[NEW.index(leaf)]
        name = _respelt(name, OLD, NEW) if spelling == "new" else name
        theirs |= given_back(tensor, name)
    return theirs


def given_back(tensor: Tensor, name: str) -> dict[str, Tensor]:
    """One of our tensors under its name with them, or under three."""
    tensor = tensor.detach().clone()
    tensor = tensor.reshape(1).float() if tensor.dtype == torch.bool else tensor
    names = _parts(name)
    return {each: part.contiguous() for each, part in zip(names, tensor.chunk(len(names)), strict=True)}


def split(key: str) -> tuple[str, str]:
    """A key's module and what its tensor is called there, which for weight norm has dots."""
    for leaf in NEW:
        if key.endswith(f".{leaf}"):
            return key.removesuffix(f".{leaf}"), leaf
    module, _, leaf = key.rpartition(".")
    return module, leaf


def _parts(name: str) -> list[str]:
    return [name.replace("*", part) for part in ("qkv" if "*" in name else " ")]


def _apart(given: Mapping[str, Tensor], expected: set[str]) -> dict[str, Tensor]:
    """`given`, with weight norm where theirs was removed from the file and ours expects it."""
    apart: dict[str, Tensor] = {}
    for key, tensor in given.items():
        size, direction = (key.removesuffix("weight") + leaf for leaf in OLD)
        if key not in expected and key.endswith(".weight") and {size, direction} <= expected:
            apart[size], apart[direction] = taken_apart(tensor)
        else:
            apart[key] = tensor
    return apart


def _respelt(key: str, leaves: tuple[str, str], to: tuple[str, str]) -> str:
    for leaf, other in zip(leaves, to, strict=True):
        if key.endswith(f".{leaf}"):
            return key.removesuffix(leaf) + other
    return key
