"""A codec as a folder that `nacre.load` reads: its weights in safetensors, and in their header what they are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Literal

from safetensors.torch import save
from torch import Tensor

from ..atomic import WholeFile
from ..codecs.base import Codec
from ..codes import CodecInfo
from ..onnx_runtime import CONFIG_KEY, INFO_KEY, WEIGHTS, info_to_json
from .eight_bits import pack, unpack
from .from_safetensors import ARCHITECTURE_KEY, architecture_of
from .keys import coding_keys, digest

Bits = Literal[8, 16, 32]


def save_folder(codec: Codec, folder: str | Path, overwrite: bool = False) -> CodecInfo:
    """Write `folder/model.safetensors` as the weights are, so that codes of the one are codes of the other; returns the
    codec's info.
    """
    plain = _folded(codec)
    state = plain.state_dict()
    weights = {name: state[name].detach().cpu().contiguous() for name in sorted(coding_keys(plain))}
    _write(codec, weights, Path(folder), overwrite)
    return codec.info


def save_rounded(
    codec: Codec, folder: str | Path, bits: Bits = 16, about: Mapping[str, str] | None = None
) -> CodecInfo:
    """Write `folder/model.safetensors` with weights of so many bits, and `about` in its header; returns the new info.

    The codec is folded and its weights are rounded in place, so that it goes on with the very numbers of the file, and
    the digest is theirs. With 32 they are as they were, and the digest too.
    """
    codec.fold().eval()
    exact = {name: codec.state_dict()[name].detach() for name in sorted(coding_keys(codec))}
    weights = pack(exact) if bits == 8 else exact
    weights = {name: (tensor if bits == 32 else half(tensor)).contiguous() for name, tensor in weights.items()}
    codec.load_state_dict({name: tensor.float() for name, tensor in unpack(weights).items()}, strict=False)
    codec.info = codec.info if bits == 32 and codec.info.digest else replace(codec.info, digest=digest(weights))
    _write(codec, weights, Path(folder), overwrite=True, about=about)
    return codec.info


def _write(
    codec: Codec, weights: dict[str, Tensor], folder: Path, overwrite: bool, about: Mapping[str, str] | None = None
) -> None:
    metadata = {
        INFO_KEY: info_to_json(codec.info),
        ARCHITECTURE_KEY: architecture_of(codec),
        CONFIG_KEY: json.dumps(asdict(codec.config)),
        **(about or {}),
    }
    folder.mkdir(parents=True, exist_ok=True)
    with WholeFile(folder / WEIGHTS, overwrite) as file:
        file.write(save(weights, metadata))


def half(tensor: Tensor) -> Tensor:
    """Floats at 16 bits, all else as it is."""
    return tensor.half() if tensor.is_floating_point() else tensor


def _folded(codec: Codec) -> Codec:
    """Another codec with the same weights, plain. (A copy would not do: torch's weight norm is shared by copies.)"""
    plain: Codec = type(codec)(codec.config, codec.info.name)
    state = codec.state_dict()
    if plain.state_dict().keys() == state.keys():
        plain.load_state_dict(state)
        return plain.fold()
    plain.fold()
    plain.load_state_dict(state)
    return plain
