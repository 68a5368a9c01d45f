"""SNAC's own weights into our SNAC, and back: every key used once, every shape checked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..atomic import WholeFile
from ..codecs.snac import PRESETS, SNAC, SNACConfig
from ..errors import DamagedError, InputError
from ..nn.snakenet import DILATIONS
from .state_dicts import check_preset, handed_back, loaded, named, pickled, read_weights, unfused, without_constants

CONFIG, WEIGHTS = "config.json", "pytorch_model.bin"  # in a folder from Hugging Face
_FIELDS = {  # in config.json: our field
    "sampling_rate": "sample_rate",
    "encoder_rates": "strides",
    "encoder_dim": "encoder_dim",
    "decoder_dim": "decoder_dim",
    "vq_strides": "level_strides",
    "attn_window_size": "window",
    "codebook_size": "codebook_size",
    "codebook_dim": "code_dim",
    "noise": "noise",
    "depthwise": "depthwise",
}
_SPEEDS = "rel_pos.inv_freq"  # of rotary positions, a table that is the same in every model
_HEAD = 64  # features of an attention head


def load_snac(path: str | Path, preset: str = "snac-24k", fused: bool = True) -> SNAC:
    """The SNAC in a Hugging Face folder, or in a file of its weights alone; in evaluation mode.

    A folder's config.json says what it holds; without one it is `preset`. `fused` makes weight norm plain weights,
    which is faster; False keeps it apart for training.
    """
    path = Path(path)
    check_preset(preset, PRESETS)
    config = _read_config(path / CONFIG) if (path / CONFIG).is_file() else PRESETS[preset]
    known = [preset, *PRESETS]
    codec = SNAC(config, next((name for name in known if PRESETS[name] == config), path.stem))
    weights = without_constants(read_weights(path, "SNAC"), _speeds(config), codec.info.name)
    return loaded(codec, weights, _names(codec), fused)


def to_snac(codec: SNAC) -> dict[str, Tensor]:
    """The state dict that the package `snac` loads strictly."""
    return handed_back(codec, _names(unfused(codec)), "new") | _speeds(codec.config)


def save_snac(codec: SNAC, folder: str | Path, overwrite: bool = True) -> None:
    """Write `codec` as a folder that `snac.SNAC.from_pretrained` reads."""
    folder, fields = Path(folder), vars(codec.config)
    config = {theirs: fields[ours] for theirs, ours in _FIELDS.items()}
    config["decoder_rates"] = codec.config.strides[::-1]
    folder.mkdir(parents=True, exist_ok=True)
    about, weights = WholeFile(folder / CONFIG, overwrite), WholeFile(folder / WEIGHTS, overwrite)
    with weights as file:
        file.write(pickled(to_snac(codec)))
    with about as file:
        file.write(json.dumps(config, indent=2).encode())


def rename(config: SNACConfig) -> dict[str, str]:
    """Our modules: their names in the package."""
    return dict(_table(config))


def _names(codec: SNAC) -> dict[str, str]:
    return named(codec, rename(codec.config), {"entries": "weight"})


def _table(config: SNACConfig) -> Iterator[tuple[str, str]]:
    stages, attends = len(config.strides), bool(config.window)
    size = len(DILATIONS) + 2
    yield "encoder.0", "encoder.block.0"
    for stage in range(stages):
        yield from _stage("encoder", f"encoder.block.{stage + 1}", range(1 + size * stage, 1 + size * (stage + 1)), 0)
    behind = 1 + size * stages
    if attends:
        yield from _attention(f"encoder.{behind}", f"encoder.block.{1 + stages}")
    yield f"encoder.{behind + attends}", f"encoder.block.{1 + stages + attends}"
    begin = 1 + config.depthwise
    for k in range(begin):
        yield f"decoder.{k}", f"decoder.model.{k}"
    if attends:
        yield from _attention(f"decoder.{begin}", f"decoder.model.{begin}")
    begin, size = begin + attends, size + config.noise
    for stage in range(stages):
        places = range(begin + size * stage, begin + size * (stage + 1))
        yield from _stage("decoder", f"decoder.model.{begin + stage}", places, size - len(DILATIONS))
    for k in range(2):
        yield f"decoder.{begin + size * stages + k}", f"decoder.model.{begin + stages + k}"
    for level in range(len(config.level_strides)):
        for part in ("in_proj", "out_proj", "codebook"):
            yield f"quantizer.levels.{level}.{part}", f"quantizer.quantizers.{level}.{part}"


def _stage(side: str, theirs: str, places: range, units: int) -> Iterator[tuple[str, str]]:
    """A stage that stands at `places` of our `side`; its residual units begin with the layer `units` of it."""
    for k, place in enumerate(places):
        if units <= k < units + len(DILATIONS):
            for layer in range(4):
                yield f"{side}.{place}.body.{layer}", f"{theirs}.block.{k}.block.{layer}"
        else:
            part = ".linear" if k == 2 and side == "decoder" else ""  # the noise block
            yield f"{side}.{place}{part}", f"{theirs}.block.{k}{part}"


def _attention(ours: str, theirs: str) -> Iterator[tuple[str, str]]:
    for here, there in (("norm", "norm"), ("qkv", "to_qkv"), ("out", "to_out")):
        yield f"{ours}.{here}", f"{theirs}.{there}"


def _speeds(config: SNACConfig) -> dict[str, Tensor]:
    """The tables that the package keeps beside the weights, one for each attention."""
    if not config.window:
        return {}
    speeds = 10_000.0 ** -(torch.arange(0, _HEAD, 2) / _HEAD)
    places = (f"encoder.block.{1 + len(config.strides)}", f"decoder.model.{1 + config.depthwise}")
    return {f"{place}.{_SPEEDS}": speeds.clone() for place in places}


def _read_config(path: Path) -> SNACConfig:
    try:
        held: dict[str, Any] = json.loads(path.read_text("utf-8"))
        fields = {ours: held[theirs] for theirs, ours in _FIELDS.items() if theirs in held}
        fields |= {key: tuple(fields[key]) for key in ("strides", "level_strides") if key in fields}
        config = replace(PRESETS["snac-44k-early"], **fields)  # the package's defaults
        mirrored = tuple(held.get("decoder_rates", config.strides[::-1])) == config.strides[::-1]
    except (ValueError, TypeError, AttributeError) as error:
        raise DamagedError(f"{path} does not describe a SNAC: {error}") from error
    if not mirrored or held.get("latent_dim") not in (None, config.latent):
        raise InputError(
            f"{path}: expected the encoder's strides backwards and {config.latent} latents, "
            f"got {held.get('decoder_rates')} and {held.get('latent_dim')}; such a SNAC is not known"
        )
    return config
