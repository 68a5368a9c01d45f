"""A folder written by nacre's export, back into the torch module it came from."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors import SafetensorError, safe_open

from ..codecs.pearl import Pearl, PearlConfig
from ..errors import DamagedError, MissingError
from ..onnx_runtime import CONFIG_KEY, INFO_KEY, WEIGHTS, info_from_json, tupled
from .keys import coding_keys


def load_pearl(folder: str | Path) -> Pearl:
    """The Pearl of `folder/model.safetensors`, in evaluation mode, with the digest it was exported under."""
    path = Path(folder) / WEIGHTS
    if not path.is_file():
        raise MissingError(f"no {WEIGHTS} in {folder}; expected a folder written by nacre's export")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            weights = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118 - not a dict
    except SafetensorError as error:
        raise DamagedError(f"{path} is no safetensors file: {error}") from error
    try:
        info = info_from_json(metadata[INFO_KEY])
        config = json.loads(metadata[CONFIG_KEY])
    except (KeyError, ValueError) as error:
        raise DamagedError(
            f"{path} does not say which codec it holds; expected a file written by nacre's export"
        ) from error
    codec = Pearl(PearlConfig(**tupled(config)), name=info.name)
    if set(weights) != coding_keys(codec):
        odd = sorted(set(weights) ^ coding_keys(codec))
        raise DamagedError(
            f"{path} does not hold the weights of a {info.name}: {', '.join(odd[:5])} missing or too many"
        )
    try:
        codec.load_state_dict(weights, strict=False)
    except RuntimeError as error:  # torch's word for tensors of another shape
        raise DamagedError(f"{path} does not hold the weights of a {info.name}: {error}") from error
    codec.info = info
    codec.eval()
    return codec
