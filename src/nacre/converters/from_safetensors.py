"""Folders that nacre wrote (weights in safetensors, with what they are in the header), back into torch modules."""

from __future__ import annotations

import inspect
import json
import re
from dataclasses import is_dataclass
from importlib import import_module
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..codecs.base import Codec
from ..codecs.pearl import Pearl
from ..codes import CodecInfo
from ..errors import DamagedError, InputError, MissingError
from ..onnx_runtime import CONFIG_KEY, INFO_KEY, WEIGHTS, info_from_json
from .eight_bits import unpack
from .keys import coding_keys
from .state_dicts import fill, taken

ARCHITECTURE_KEY = "nacre.architecture"  # in the header: which file under `codecs/`; pearl's were written without
Config = TypeVar("Config")


def load_pearl(folder: str | Path) -> Pearl:
    """The Pearl of `folder/model.safetensors`, in evaluation mode, with the digest it was exported under."""
    codec = load_folder(folder)
    if not isinstance(codec, Pearl):
        raise InputError(f"{folder} holds a {type(codec).__name__}, expected a Pearl; load it with nacre.load")
    return codec


def load_folder(folder: str | Path) -> Codec:
    """The codec of `folder/model.safetensors`, of whatever architecture, in evaluation mode and with its own digest."""
    path = Path(folder) / WEIGHTS
    if not path.is_file():
        raise MissingError(f"no {WEIGHTS} in {folder}; expected a folder written by nacre's export")
    metadata, weights = _read(path)
    try:
        info = info_from_json(metadata[INFO_KEY])
        make, kinds = _architecture(metadata.get(ARCHITECTURE_KEY, "pearl"))
        fields = json.loads(metadata[CONFIG_KEY])
        config = from_json(next(kind for kind in kinds if fields.keys() <= kind.__annotations__.keys()), fields)
        codec: Codec = make(config, info.name)
    except (KeyError, ValueError, TypeError, AttributeError, ImportError, RuntimeError, StopIteration) as error:
        raise DamagedError(
            f"{path} does not say which codec it holds; expected a file written by nacre's export"
        ) from error
    return _filled(codec.fold(), weights, info, path)


def architecture_of(codec: Codec) -> str:
    """What the header calls the kind of `codec`: the name of its file."""
    return type(codec).__module__.rpartition(".")[2]


def from_json(kind: type[Config], fields: dict[str, Any]) -> Config:
    """The dataclass `kind` of what `asdict` and JSON made of it, dataclasses inside it included."""
    hints = get_type_hints(kind)
    return kind(**{key: _value(hints[key], value) for key, value in fields.items()})


def _value(hint: Any, value: Any) -> Any:
    if isinstance(value, list):  # JSON knows no tuples, and a frozen config has no lists
        return tuple(_value(None, each) for each in value)
    if get_origin(hint) is UnionType and value is not None:
        hint = next(part for part in get_args(hint) if part is not type(None))
    return (
        from_json(hint, value) if is_dataclass(hint) and isinstance(value, dict) and isinstance(hint, type) else value
    )


def _architecture(name: str) -> tuple[type[Codec], list[type[Any]]]:
    """The class of a codec and those of its configs: most have one."""
    if not re.fullmatch("[a-z0-9_]+", name):
        raise ValueError(name)
    module = import_module(f"..codecs.{name}", __package__)
    found = [each for each in vars(module).values() if inspect.isclass(each) and each.__module__ == module.__name__]
    make = next(each for each in found if issubclass(each, Codec))
    return make, list(dict.fromkeys(type(config) for config in module.PRESETS.values()))


def _read(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
            return file.metadata() or {}, {
                name: tensor.float() if tensor.is_floating_point() else tensor
                for name, tensor in unpack(weights).items()
            }
    except (SafetensorError, OSError) as error:
        raise DamagedError(f"{path} is no safetensors file: {error}") from error


def _filled(codec: Codec, weights: dict[str, Tensor], info: CodecInfo, path: Path) -> Codec:
    whose = f"{info.name} in {path}"
    fill(codec, taken(weights, {key: key for key in coding_keys(codec)}, whose), whose)
    codec.info = info
    return codec.eval()
