"""The way back: a codec as the file its own project loads, as a Hugging Face folder, as ours, or as ONNX graphs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from safetensors.torch import save
from torch import Tensor

from ..atomic import write_whole
from ..codecs.audiodec import AudioDec
from ..codecs.base import Codec
from ..codecs.dac import DAC
from ..codecs.encodec import EnCodec
from ..codecs.snac import SNAC
from ..codecs.vocos import TokenVocos
from ..contract import CodecContract
from ..errors import InputError, NacreError
from ..onnx_runtime import GRAPH_NAMES, WEIGHTS
from . import from_audiodec, from_dac, from_encodec, from_snac
from .from_safetensors import architecture_of
from .state_dicts import pickled
from .to_folder import save_folder

ORIGINALS = {  # architecture: what makes its tensors, and the names under which their project keeps them in a file
    "dac": ("from_dac.to_dac", "state_dict"),
    "encodec": ("from_encodec.to_encodec", ""),
    "soundstream": ("from_soundstream.to_soundstream", ""),
    "snac": ("from_snac.to_snac", ""),
    "hilcodec": ("from_hilcodec.to_hilcodec", ""),
    "audiodec": ("from_audiodec.to_audiodec", "model.generator"),
    "hificodec": ("from_hificodec.to_hificodec", ""),
    "mimi": ("from_mimi.to_mimi", ""),
    "wavtokenizer": ("from_wavtokenizer.to_wavtokenizer", "state_dict"),
    "nac2023": ("from_nac2023.to_nac2023", "model_state_dict"),
    "vocos": ("from_vocos.to_vocos", ""),
}
HUGGING_FACE = ("dac", "encodec", "mimi")  # architectures that `transformers` has
GRAPHS: dict[str, Literal[16, 32]] = {"onnx": 16, "onnx-32": 32}  # bits of the weights; with 32 codes stay the same
CONFIG = "config.json"


def save_as(codec: CodecContract, target: str | Path, kind: str = "nacre", overwrite: bool = False) -> None:
    """Write `codec` to `target`: a folder for "nacre", "onnx", "onnx-32" and "hf", else the file that project loads."""
    if not isinstance(codec, Codec | TokenVocos):
        raise InputError(f"{codec.info.name} holds no weights that nacre could write; use its files as they are")
    if kind not in kinds(codec):
        raise InputError(
            f"a {codec.info.name} is written as {', '.join(kinds(codec))}, got {kind!r}; name one of these"
        )
    target = Path(target)
    if isinstance(codec, TokenVocos):
        _save_original(codec, target, kind, overwrite)
    elif kind == "nacre":
        save_folder(codec, target, overwrite)
    elif kind in GRAPHS:
        _save_graphs(codec, target, GRAPHS[kind], overwrite)
    elif kind == "hf":
        target.mkdir(parents=True, exist_ok=True)
        config, weights = hugging_face(codec)
        write_whole(target / WEIGHTS, save(weights, {"format": "pt"}), overwrite)
        write_whole(target / CONFIG, json.dumps(config, indent=2).encode(), overwrite)
    else:
        _save_original(codec, target, kind, overwrite)


def kinds(codec: Codec | TokenVocos) -> list[str]:
    """What a codec can be written as; a folder of ours and graphs are for codecs that encode as well."""
    if isinstance(codec, TokenVocos):
        return ["vocos"]
    own = architecture_of(codec)
    return ["nacre", *GRAPHS, *([own] * (own in ORIGINALS)), *(["hf"] * (own in HUGGING_FACE))]


def hugging_face(codec: Codec) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The config.json and the tensors of a codec as `transformers` keeps it."""
    if isinstance(codec, DAC):
        return from_dac.hugging_face_config(codec), from_dac.to_dac(codec, "huggingface")
    if isinstance(codec, EnCodec):
        return from_encodec.hugging_face_config(codec), from_encodec.to_encodec(codec, "huggingface")
    weights = _made("from_mimi.to_mimi", codec)
    return {"model_type": "mimi", "architectures": ["MimiModel"]}, _contiguous(weights)


def _save_original(codec: Codec | TokenVocos, target: Path, kind: str, overwrite: bool) -> None:
    if isinstance(codec, SNAC) and not target.suffix:
        from_snac.save_snac(codec, target, overwrite)
        return
    if isinstance(codec, AudioDec) and codec.config.vocoder is not None:
        _save_vocoder(codec, target, overwrite)
        return
    maker, place = ORIGINALS[kind]
    weights = _made(maker, codec)
    if target.suffix == ".safetensors":
        if not _contiguous(weights):
            raise InputError(f"{kind} keeps a model in several tables, which safetensors cannot; name a .pth file")
        write_whole(target, save(_contiguous(weights), {"format": "pt"}), overwrite)
        return
    held: Any = weights
    for name in reversed(place.split(".") if place else []):
        held = {name: held}
    if isinstance(codec, DAC):
        held["metadata"] = {"kwargs": from_dac.package_kwargs(codec)}
    if target.is_dir() or not target.suffix:
        raise InputError(f"{kind} keeps a model in one file; name it, as {target}/weights.pth")
    write_whole(target, pickled(held), overwrite)


def _save_vocoder(codec: AudioDec, folder: Path, overwrite: bool) -> None:
    """AudioDec keeps the autoencoder and the vocoder of a model apart, below its `exp`."""
    if folder.suffix:
        raise InputError(f"{codec.info.name} is two files in AudioDec's folder exp; name a folder, got {folder}")
    name = codec.info.name
    places = from_audiodec.RELEASED.get(name, (f"autoencoder/{name}", f"vocoder/AudioDec_{name}"))
    parts = (from_audiodec.to_audiodec(codec), from_audiodec.to_audiodec_vocoder(codec))
    for place, weights in zip(places, parts, strict=True):
        (folder / place).mkdir(parents=True, exist_ok=True)
        content = pickled({"model": {"generator": weights}})
        write_whole(folder / place / "checkpoint-0steps.pkl", content, overwrite)


def _check_absent(path: Path, overwrite: bool) -> None:
    if path.exists() and not overwrite:
        raise InputError(f"{path} exists; choose another name or allow overwriting")


def _save_graphs(codec: Codec, folder: Path, bits: Literal[16, 32], overwrite: bool) -> None:
    for name in (WEIGHTS, *GRAPH_NAMES):
        _check_absent(folder / name, overwrite)
    try:
        from .to_onnx import export
    except ImportError as error:
        raise InputError("writing graphs needs onnx and onnxscript; pip install 'nacre[train]'") from error
    try:
        export(codec, folder, bits)
    except NacreError:
        raise
    except (RuntimeError, TypeError, ValueError, AttributeError, IndexError, NotImplementedError) as error:
        word = str(error).strip().partition("\n")[0]
        raise InputError(f"a {codec.info.name} cannot be written as ONNX graphs yet: {word}; use --to nacre") from error


def _made(maker: str, codec: Codec | TokenVocos) -> dict[str, Tensor]:
    room, _, name = maker.partition(".")
    weights: dict[str, Tensor] = getattr(import_module(f".{room}", __package__), name)(codec)
    return weights


def _contiguous(weights: Mapping[str, Any]) -> dict[str, Tensor]:
    return {key: value.contiguous() for key, value in weights.items() if isinstance(value, Tensor)}
