"""WavTokenizer's official weights into ours, and back again: every key used once, every shape checked.

Its checkpoints also hold an EnCodec decoder that nothing uses, and the networks it was trained against; both are left.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from ..codecs.wavtokenizer import PRESETS, WavTokenizer, WavTokenizerConfig
from ..nn.seanet import SEANetConfig, SEANetDecoder
from .from_encodec import CODEBOOK, places
from .from_vocos import WINDOW, vocoder_names, with_conditions, without_conditions
from .state_dicts import (
    as_weights,
    check_preset,
    fill,
    handed_back,
    named,
    placed,
    read_weights,
    ready,
    taken,
    unfused,
    without_constants,
)

ENCODEC = "feature_extractor.encodec."
PARTS = ("feature_extractor.", "backbone.", "head.")  # what is the model in a training checkpoint
UNUSED = f"{ENCODEC}decoder."
VOCODER = "decoder.vocoder."
# Where a layer of what stands before the vocoder's blocks is in the package.
BEFORE = (
    (r"decoder\.vocoder\.before\.body\.(\d)\.body\.0", r"backbone.pos_net.\1.norm1"),
    (r"decoder\.vocoder\.before\.body\.(\d)\.body\.2", r"backbone.pos_net.\1.conv1"),
    (r"decoder\.vocoder\.before\.body\.(\d)\.body\.3", r"backbone.pos_net.\1.norm2"),
    (r"decoder\.vocoder\.before\.body\.(\d)\.body\.5", r"backbone.pos_net.\1.conv2"),
    (r"decoder\.vocoder\.before\.body\.2\.norm", r"backbone.pos_net.2.norm"),
    (r"decoder\.vocoder\.before\.body\.2\.qkv", r"backbone.pos_net.2.*"),
    (r"decoder\.vocoder\.before\.body\.2\.out", r"backbone.pos_net.2.proj_out"),
    (r"decoder\.vocoder\.before\.body\.5", r"backbone.pos_net.5"),
)


def load_wavtokenizer(path: str | Path, preset: str = "wavtokenizer-75", fused: bool = True) -> WavTokenizer:
    """The WavTokenizer of a `.ckpt`, `.bin` or `.safetensors` file, or of a folder with one; ready to code."""
    check_preset(preset, PRESETS)
    return from_wavtokenizer(read_weights(path, "WavTokenizer", "state_dict"), PRESETS[preset], preset, fused)


def from_wavtokenizer(
    weights: Mapping[str, Tensor],
    config: WavTokenizerConfig = PRESETS["wavtokenizer-75"],
    name: str = "wavtokenizer-75",
    fused: bool = True,
) -> WavTokenizer:
    """The codec of an official state dict, in evaluation mode; `fused=False` keeps weight norm apart."""
    codec = WavTokenizer(config, name)
    parts = {k: t for k, t in as_weights(weights).items() if k.startswith(PARTS) and not k.startswith(UNUSED)}
    given, (names, vocoder) = without_constants(parts, _window(config), name), _names(codec)
    ours = with_conditions(taken(given, names | vocoder, name), names | vocoder)
    fill(codec, ours, name, names | vocoder)
    return ready(codec, fused)


def to_wavtokenizer(codec: WavTokenizer) -> dict[str, Tensor]:
    """The state dict that the package loads; the decoder that nothing uses is zeros."""
    names, vocoder = _names(unfused(codec))
    weights = handed_back(codec, names) | without_conditions(codec.state_dict(), vocoder)
    return weights | _window(codec.config) | _unused(codec.config)


def _names(codec: WavTokenizer) -> tuple[dict[str, str], dict[str, str]]:
    """Our keys that a plain Vocos does not have, and theirs; and those that it has."""
    vocoder = vocoder_names(codec.state_dict(), codec.config.conditions, VOCODER)
    return named(codec, _table(codec), CODEBOOK), vocoder


def _table(model: nn.Module) -> dict[str, str]:
    return placed(model, (*((ours, ENCODEC + theirs) for ours, theirs in places("encodec")), *BEFORE))


def _window(config: WavTokenizerConfig) -> dict[str, Tensor]:
    return {WINDOW: torch.hann_window(config.vocoder.n_fft)}


def _unused(config: WavTokenizerConfig) -> dict[str, Tensor]:
    """Zeros for the EnCodec decoder in every checkpoint, whose strides are EnCodec's whatever the encoder's are."""
    with torch.device("meta"):
        model = nn.ModuleDict({"decoder": SEANetDecoder(replace(config.seanet, strides=SEANetConfig().strides))})
    names, shapes = named(model, _table(model), {}), model.state_dict()
    return {there: torch.zeros(shapes[key].shape) for key, there in names.items()}
