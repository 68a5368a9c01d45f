"""DAC's own weights, and those of Hugging Face's `DacModel`, into our DAC and back: every key and shape checked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import save_file
from torch import Tensor

from ..codecs.dac import DAC, PRESETS, DACConfig
from ..errors import DamagedError, InputError, MissingError
from ..nn.snakenet import DILATIONS
from .state_dicts import as_weights, handed_back, loaded, named, read_file, read_weights, unfused

Style = Literal["dac", "huggingface"]
CONFIG, WEIGHTS = "config.json", "model.safetensors"  # in a Hugging Face folder
FIRST_LAYER = "encoder.conv1.weight"  # of Hugging Face's
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
    return loaded(codec, weights, _names(codec, "huggingface" if FIRST_LAYER in weights else "dac"), fused)


def rename(config: DACConfig) -> dict[str, tuple[str, str]]:
    """Our modules: their names in the package and in Hugging Face's model."""
    return {ours: (package, hugging_face) for ours, package, hugging_face in _table(config)}


def to_dac(codec: DAC, style: Style = "dac") -> dict[str, Tensor]:
    """The state dict that the package (weight norm apart) or `transformers` (plain weights) loads strictly."""
    return handed_back(codec, _names(unfused(codec), style), "old" if style == "dac" else "plain")


def save_dac(codec: DAC, path: str | Path) -> None:
    """Write `codec` as a `.pth` that the package loads, or as a folder that transformers' `DacModel` does."""
    path = Path(path)
    if path.suffix == ".pth":
        torch.save({"state_dict": to_dac(codec), "metadata": {"kwargs": package_kwargs(codec)}}, path)
        return
    path.mkdir(parents=True, exist_ok=True)
    (path / CONFIG).write_text(json.dumps(hugging_face_config(codec), indent=2), "utf-8")
    save_file(to_dac(codec, "huggingface"), path / WEIGHTS)


def package_kwargs(codec: DAC) -> dict[str, Any]:
    """What the package's checkpoints say of a model beside its weights."""
    fields, strides = vars(codec.config), list(codec.config.strides)
    kwargs = {theirs: fields[ours] for theirs, ours in _KWARGS.items()} | {"encoder_rates": strides}
    return kwargs | {"decoder_rates": strides[::-1], "quantizer_dropout": codec.config.dropout_spared}


def hugging_face_config(codec: DAC) -> dict[str, Any]:
    """What `transformers` keeps in config.json beside the weights."""
    fields, strides = vars(codec.config), list(codec.config.strides)
    config = {theirs: fields[ours] for theirs, ours in _HUGGING_FACE.items()} | {"downsampling_ratios": strides}
    config |= {"upsampling_ratios": strides[::-1], "hop_length": codec.config.hop}
    return config | {"model_type": "dac", "architectures": ["DacModel"]}


def _names(codec: DAC, style: Style) -> dict[str, str]:
    house = 0 if style == "dac" else 1
    table = {ours: theirs[house] for ours, theirs in rename(codec.config).items()}
    return named(codec, table, {"entries": "weight"})


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


def _read_package(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    held = read_file(path, "DAC")
    try:
        kwargs, weights = held["metadata"]["kwargs"], as_weights(held["state_dict"], path)
        fields = {ours: kwargs[theirs] for theirs, ours in _KWARGS.items() if kwargs.get(theirs) is not None}
        rates = list(kwargs["encoder_rates"])
        mirrored = list(kwargs.get("decoder_rates", rates[::-1]))
        fields.setdefault("latent", fields["encoder_dim"] * (1 << len(fields["strides"])))
    except (KeyError, TypeError, AttributeError) as error:
        got = ", ".join(sorted(map(str, held))[:3]) if isinstance(held, dict) else type(held).__name__
        raise InputError(
            f"{path} is no checkpoint of DAC's: expected state_dict and metadata with kwargs, got {got}"
        ) from error
    _check_mirrored(mirrored, rates, path)
    return fields, weights


def _read_folder(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    if not (path / CONFIG).is_file():
        raise MissingError(f"no {CONFIG} in {path}; expected a folder of Hugging Face's DacModel")
    try:
        held = json.loads((path / CONFIG).read_text("utf-8"))
        fields = {ours: held[theirs] for theirs, ours in _HUGGING_FACE.items() if held.get(theirs) is not None}
        strides = list(fields.get("strides", DACConfig().strides))
        mirrored = list(held.get("upsampling_ratios") or strides[::-1])
    except (ValueError, TypeError, AttributeError) as error:
        raise DamagedError(f"{path} holds a broken {CONFIG}: {error}") from error
    _check_mirrored(mirrored, strides, path)
    return fields, read_weights(path, "DAC")


def _check_mirrored(decoder: list[int], encoder: list[int], path: Path) -> None:
    if decoder != encoder[::-1]:
        raise InputError(f"{path}: a DAC's decoder has the encoder's strides {encoder} backwards, got {decoder}")


def _config(fields: dict[str, Any], path: Path) -> DACConfig:
    try:
        sizes: dict[str, Any] = {
            key: tuple(map(_size, value)) if key == "strides" else _size(value) for key, value in fields.items()
        }
        return DACConfig(**sizes)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{path} does not describe a DAC: {error}") from error


def _size(value: Any) -> int:
    if isinstance(value, bool) or int(value) != value or value < 1:
        raise ValueError(f"sizes are whole numbers above zero, got {value!r}")
    return int(value)
