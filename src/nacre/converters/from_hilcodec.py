"""HILCodec's own checkpoints into ours, and back: one table, every key used once, every shape checked.

The checkpoint that its training writes is `{"model": state dict, ...}`; the state dict alone will do too.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ..codecs.hilcodec import PRESETS, HILCodec, HILCodecConfig, fourier
from ..errors import DamagedError
from ..nn.weight_norm import normalise
from .state_dicts import as_weights, check_preset, handed_back, loaded, named, placed, read_file, without_constants

# Where a layer stands here and there, but for the decoder's stages: those count on.
PLACES = (
    (r"encoder\.enter", r"encoder.conv_pre.1.conv.conv"),
    (r"encoder\.stages\.(\d+)\.spectrum", r"encoder.spec_blocks.\1"),
    (r"encoder\.stages\.(\d+)\.spectrum\.mix", r"encoder.spec_blocks.\1.layer.conv.conv"),
    (r"encoder\.stages\.(\d+)\.units\.(\d+)", r"encoder.blocks.\1.\2"),
    (r"encoder\.stages\.(\d+)\.units\.(\d+)\.branch\.(\d+)", r"encoder.blocks.\1.\2.block.\3.conv.conv"),
    (r"encoder\.stages\.(\d+)\.down\.1", r"encoder.downsample.\1.2.conv.conv"),
    (r"encoder\.stages\.(\d+)\.down\.2", r"encoder.downsample.\1.3.conv.conv"),
    (r"encoder\.spectrum", r"encoder.spec_post"),
    (r"encoder\.spectrum\.mix", r"encoder.spec_post.layer.conv.conv"),
    (r"encoder\.leave\.(\d+)", r"encoder.conv_post.\1.conv.conv"),
    (r"decoder\.enter\.(\d+)", r"decoder.model.\1.conv.conv"),
    (r"quantizer\.levels\.(\d+)\.codebook", r"quantizer.layers.\1"),
)
LEAVES = {"entries": "embed", "sums": "ema_embed", "counts": "ema_num", "gain": "res_scale_param"}
SPECTRUM_GAIN = "scale_param"
BASIS, EXTRA, STARTED = "spec.weight", "_extra_state", "started"


def load_hilcodec(path: str | Path, preset: str = "hilcodec-speech", fused: bool = True) -> HILCodec:
    """The HILCodec of a `.pth` or `.safetensors` file; ready to code, or with `fused=False` to train on."""
    check_preset(preset, PRESETS)
    held = read_file(path, "HILCodec", "model")
    as_weights(_tensors(held), path)
    return from_hilcodec(held, PRESETS[preset], preset, fused)


def from_hilcodec(
    weights: Mapping[str, Any],
    config: HILCodecConfig = PRESETS["hilcodec-speech"],
    name: str = "hilcodec-speech",
    fused: bool = True,
) -> HILCodec:
    """The codec of an official state dict, in either spelling of weight norm, in evaluation mode.

    `fused` folds weight norm and constants into plain weights, which is faster.
    """
    codec = HILCodec(config, name)
    extras = {str(key).removeprefix("module."): held for key, held in weights.items() if str(key).endswith(EXTRA)}
    given = as_weights(_tensors(weights))
    loaded(codec, without_constants(given, _bases(config), name), rename(codec), fused)
    for k in range(config.levels):
        held = extras.get(f"quantizer.layers.{k}.{EXTRA}", {"initted": True})
        if not isinstance(held, dict) or "initted" not in held:
            raise DamagedError(f"quantizer.layers.{k}.{EXTRA} should say whether a codebook has started, got {held}")
        codec.get_buffer(f"quantizer.levels.{k}.codebook.{STARTED}").fill_(bool(held["initted"]))
    return codec


def to_hilcodec(codec: HILCodec) -> dict[str, Any]:
    """The state dict that HILCodec's model loads strictly, weight norm in the old spelling."""
    codec = normalise(copy.deepcopy(codec).unfold())
    theirs: dict[str, Any] = handed_back(codec, rename(codec)) | _bases(codec.config)
    for k in range(codec.config.levels):
        started = bool(codec.get_buffer(f"quantizer.levels.{k}.codebook.{STARTED}"))
        theirs[f"quantizer.layers.{k}.{EXTRA}"] = {"initted": started}
    return theirs


def rename(codec: HILCodec) -> dict[str, str]:
    """Each of our keys, and theirs, with weight norm in the old spelling; `codec` is not folded."""
    stages = {path: there for path, _ in codec.named_modules() if (there := _in_stage(path, codec.config))}
    names = named(codec, placed(codec, PLACES) | stages, LEAVES)
    spectra = {key: there for key, there in names.items() if key.endswith("spectrum.gain")}
    return names | {key: there.replace(LEAVES["gain"], SPECTRUM_GAIN) for key, there in spectra.items()}


def _in_stage(path: str, config: HILCodecConfig) -> str:
    """Where a layer of the decoder's stages stands, or its last layer; "" for any other."""
    size, last = 4 + config.decoder_units, 4 + (4 + config.decoder_units) * len(config.strides)
    if path == "decoder.leave.1":
        return f"decoder.model.{last}.conv.conv"
    in_stage = re.fullmatch(r"decoder\.stages\.(\d+)\.(up|units)\.(\d+)(\.branch\.(\d+))?", path)
    if in_stage is None:
        return ""
    stage, part, place, branch, layer = in_stage.groups()
    first = 2 + size * int(stage)  # of the stage in their list: scale, ELU, transposed, pointwise, units
    if part == "up":
        kind = "convtr" if place == "1" else "conv"
        return f"decoder.model.{first + 1 + int(place)}.{kind}.{kind}"
    unit = f"decoder.model.{first + 4 + int(place)}"
    return f"{unit}.block.{layer}.conv.conv" if branch else unit


def _tensors(held: Any) -> Any:
    """A state dict less what is no tensor in it."""
    return {key: each for key, each in held.items() if not str(key).endswith(EXTRA)} if isinstance(held, dict) else held


def _bases(config: HILCodecConfig) -> dict[str, Tensor]:
    """The Fourier bases that their state dict holds."""
    count = len(config.strides)
    places = [*(f"encoder.spec_blocks.{i}" for i in range(count)), "encoder.spec_post"]
    return {f"{place}.{BASIS}": fourier(config.n_fft << i) for i, place in enumerate(places)}
