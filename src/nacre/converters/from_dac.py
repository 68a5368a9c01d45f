"""DAC's own weights, and those of Hugging Face's `DacModel`, into our DAC and back: every key and shape checked."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..codecs.dac import DAC, PRESETS, DACConfig
from ..errors import DamagedError, InputError, MissingError
from ..nn.snakenet import DILATIONS
from ..nn.weight_norm import NEW, OLD, fuse, normalise
from .foreign import handed_back, names
from .keys import coding_keys, digest

Style = Literal["dac", "huggingface"]
CONFIG, WEIGHTS = "config.json", "model.safetensors"  # in a Hugging Face folder
_ENTRIES = {"entries": "weight"}
_KWARGS = {  # of the package's DAC: our field
    "sample_rate": "sample_rate",
    "encoder_rates": "strides",
    "encoder_dim": "encoder_dim",
    "decoder_dim": "decoder_dim",
    "latent_dim": "latent",
    "n_codebooks": "levels",
    "codebook_size": "codebook_size",
    "codebook_dim": "code_dim",
}
_HUGGING_FACE = {  # in config.json: our field
    "sampling_rate": "sample_rate",
    "downsampling_ratios": "strides",
    "encoder_hidden_size": "encoder_dim",
    "decoder_hidden_size": "decoder_dim",
    "hidden_size": "latent",
    "n_codebooks": "levels",
    "codebook_size": "codebook_size",
    "codebook_dim": "code_dim",
}


def load_dac(path: str | Path, fused: bool = True) -> DAC:
    """The DAC in a `.pth` of the package, or in a folder of Hugging Face's; in evaluation mode.

    `fused` makes weight norm plain weights, which is faster; False keeps it apart for training.
    """
    path = Path(path)
    if path.is_dir():
        fields, weights = _read_folder(path)
    else:
        fields, weights = _read_package(path)
    config = _config(fields, path)
    codec = DAC(config, name=next((name for name, preset in PRESETS.items() if preset == config), path.stem))
    _fill(codec, weights, path)
    codec.info = replace(codec.info, digest=digest({key: value.float() for key, value in weights.items()}))
    return (fuse(codec) if fused else normalise(codec)).eval()


def rename(config: DACConfig) -> dict[str, tuple[str, str]]:
    """Our modules: their names in the package and in Hugging Face's model."""
    return {ours: (package, hugging_face) for ours, package, hugging_face in _table(config)}


def to_dac(codec: DAC, style: Style = "dac") -> dict[str, Tensor]:
    """The state dict that the package (weight norm apart) or `transformers` (plain weights) loads strictly."""
    table = rename(codec.config)
    with torch.device("meta"):
        shape = DAC(codec.config)
        if style == "dac":
            return handed_back(codec, names(shape, {ours: there for ours, (there, _) in table.items()}, _ENTRIES))
        keys = sorted(coding_keys(fuse(shape)))
    weights = {}
    for module, leaf in map(_split, keys):
        tensor: Tensor = getattr(codec.get_submodule(module), leaf)  # weight norm gives the product
        weights[f"{table[module][1]}.{_ENTRIES.get(leaf, leaf)}"] = tensor.detach().clone()
    return weights


def save_dac(codec: DAC, path: str | Path) -> None:
    """Write `codec` as a `.pth` that the package loads, or as a folder that transformers' `DacModel` does."""
    path, fields = Path(path), vars(codec.config)
    mirrored = list(codec.config.strides[::-1])
    if path.suffix == ".pth":
        kwargs = {theirs: fields[ours] for theirs, ours in _KWARGS.items()}
        kwargs |= {"encoder_rates": mirrored[::-1], "decoder_rates": mirrored}
        torch.save({"state_dict": to_dac(codec), "metadata": {"kwargs": kwargs}}, path)
        return
    path.mkdir(parents=True, exist_ok=True)
    config = {theirs: fields[ours] for theirs, ours in _HUGGING_FACE.items()}
    config |= {"model_type": "dac", "architectures": ["DacModel"], "upsampling_ratios": mirrored}
    (path / CONFIG).write_text(json.dumps(config | {"hop_length": codec.config.hop}, indent=2), "utf-8")
    save_file({key: value.contiguous() for key, value in to_dac(codec, "huggingface").items()}, path / WEIGHTS)


def _table(config: DACConfig) -> Iterator[tuple[str, str, str]]:
    stages, units = len(config.strides), len(DILATIONS)
    size = units + 2
    ends = [(0, 0, "conv1"), (1 + size * stages, stages + 1, "snake1"), (2 + size * stages, stages + 2, "conv2")]
    for side, chain in (("encoder", "encoder.block"), ("decoder", "decoder.model")):
        for place, behind, word in ends:
            yield f"{side}.{place}", f"{chain}.{behind}", f"{side}.{word}"
        # units come before the stride in the encoder, behind it in the decoder
        first, snake, conv = (0, units, "conv1") if side == "encoder" else (2, 0, "conv_t1")
        for stage in range(stages):
            ours, theirs, word = 1 + size * stage, f"{chain}.{stage + 1}.block", f"{side}.block.{stage}"
            for place, name in ((snake, "snake1"), (snake + 1, conv)):
                yield f"{side}.{ours + place}", f"{theirs}.{place}", f"{word}.{name}"
            for unit in range(units):
                place = first + unit
                for k, name in enumerate(("snake1", "conv1", "snake2", "conv2")):
                    yield (
                        f"{side}.{ours + place}.body.{k}",
                        f"{theirs}.{place}.block.{k}",
                        f"{word}.res_unit{unit + 1}.{name}",
                    )
    for k in range(config.levels):
        for part in ("in_proj", "out_proj", "codebook"):
            theirs = f"quantizer.quantizers.{k}.{part}"
            yield f"quantizer.levels.{k}.{part}", theirs, theirs


def _fill(codec: DAC, weights: Mapping[str, Tensor], path: Path) -> None:
    """Put `weights` into `codec`, which is left fused where they are."""
    spelling = next((pair for pair in (OLD, NEW) if f"encoder.block.0.{pair[0]}" in weights), None)
    if "encoder.conv1.weight" in weights:
        fuse(codec)
    elif spelling is None:
        raise InputError(f"{path} does not hold a DAC: expected encoder.block.0.weight_g or encoder.conv1.weight")
    leaves = {**_ENTRIES, **dict(zip(NEW, spelling or NEW, strict=True))}
    table = rename(codec.config)
    ours: dict[str, str] = {}
    for key in coding_keys(codec):
        module, leaf = _split(key)
        ours[key] = f"{table[module][spelling is None]}.{leaves.get(leaf, leaf)}"
    odd = sorted(set(ours.values()) ^ set(weights))
    if odd:
        raise DamagedError(f"{path} does not hold this DAC's weights: {', '.join(odd[:5])} missing or too many")
    state = codec.state_dict()
    for key, theirs in ours.items():
        if weights[theirs].shape != state[key].shape:
            raise DamagedError(
                f"{theirs} in {path} should have shape {list(state[key].shape)}, got {list(weights[theirs].shape)}"
            )
    codec.load_state_dict({key: weights[theirs].float() for key, theirs in ours.items()}, strict=False)


def _split(key: str) -> tuple[str, str]:
    for leaf in NEW:
        if key.endswith(leaf):
            return key.removesuffix(f".{leaf}"), leaf
    module, _, leaf = key.rpartition(".")
    return module, leaf


def _read_package(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    if not path.is_file():
        raise MissingError(f"no file {path}; expected a .pth of DAC's, or a folder with {CONFIG} and {WEIGHTS}")
    try:
        held = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{path} holds more than weights, or is broken, and is not opened for safety: {error}"
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError) as error:
        raise DamagedError(f"{path} is no checkpoint that torch can read: {error}") from error
    try:
        kwargs, weights = held["metadata"]["kwargs"], held["state_dict"]
        fields = {ours: kwargs[theirs] for theirs, ours in _KWARGS.items() if kwargs.get(theirs) is not None}
        mirrored = list(kwargs.get("decoder_rates", kwargs["encoder_rates"][::-1]))
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is no checkpoint of DAC's: expected state_dict and metadata, got {error}") from error
    _check_mirrored(mirrored, list(kwargs["encoder_rates"]), path)
    fields.setdefault("latent", fields["encoder_dim"] << len(fields["strides"]))
    return fields, weights


def _read_folder(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    for name in (CONFIG, WEIGHTS):
        if not (path / name).is_file():
            raise MissingError(f"no {name} in {path}; expected a folder of Hugging Face's DacModel")
    try:
        held = json.loads((path / CONFIG).read_text("utf-8"))
        fields = {ours: held[theirs] for theirs, ours in _HUGGING_FACE.items() if theirs in held}
        weights = load_file(path / WEIGHTS)
    except (ValueError, TypeError, SafetensorError) as error:
        raise DamagedError(f"{path} holds a broken {CONFIG} or {WEIGHTS}: {error}") from error
    strides = list(fields.get("strides", DACConfig().strides))
    _check_mirrored(list(held.get("upsampling_ratios", strides[::-1])), strides, path)
    return fields, weights


def _check_mirrored(decoder: list[int], encoder: list[int], path: Path) -> None:
    if decoder != encoder[::-1]:
        raise InputError(f"{path}: a DAC's decoder has the encoder's strides {encoder} backwards, got {decoder}")


def _config(fields: dict[str, Any], path: Path) -> DACConfig:
    try:
        sizes: dict[str, Any] = {key: tuple(v) if key == "strides" else int(v) for key, v in fields.items()}
        return DACConfig(**sizes)
    except (TypeError, ValueError) as error:
        raise InputError(f"{path} does not describe a DAC: {error}") from error
