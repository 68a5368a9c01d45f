"""A codec as a folder that `nacre.load` reads: its weights in safetensors, and in their header what they are.

Weights keep their 32 bits and the codec its digest, so codes of the one are codes of the other.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from safetensors.torch import save

from ..atomic import WholeFile
from ..codecs.base import Codec
from ..codes import CodecInfo
from ..onnx_runtime import CONFIG_KEY, INFO_KEY, WEIGHTS, info_to_json
from .from_safetensors import ARCHITECTURE_KEY, architecture_of
from .keys import coding_keys


def save_folder(codec: Codec, folder: str | Path, overwrite: bool = False) -> CodecInfo:
    """Write `folder/model.safetensors`; returns the codec's info."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    plain = _folded(codec)
    state = plain.state_dict()
    weights = {name: state[name].detach().cpu().contiguous() for name in sorted(coding_keys(plain))}
    metadata = {
        INFO_KEY: info_to_json(codec.info),
        ARCHITECTURE_KEY: architecture_of(codec),
        CONFIG_KEY: json.dumps(asdict(codec.config)),
    }
    with WholeFile(folder / WEIGHTS, overwrite) as file:
        file.write(save(weights, metadata))
    return codec.info


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
