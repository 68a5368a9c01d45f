"""Vocos's official weights into ours, and back again: every key used once, every shape checked."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from ..codecs.vocos import PRESETS, MelVocos, TokenVocos, VocosConfig
from ..errors import DamagedError, InputError
from .keys import digest
from .reading import check_names, fill, read_weights

# Where a tensor of a vocoder stands: here, and in the package `vocos`, where norms with conditions have other names.
TABLE = (
    (r"embed\.(weight|bias)", r"backbone.embed.\1"),
    (r"norm\.(gain|shift)", r"backbone.norm.{\1}"),
    (r"last_norm\.(gain|shift)", r"backbone.final_layer_norm.{last_\1}"),
    (r"blocks\.(\d+)\.depthwise\.(weight|bias)", r"backbone.convnext.\1.dwconv.\2"),
    (r"blocks\.(\d+)\.norm\.(gain|shift)", r"backbone.convnext.\1.norm.{\2}"),
    (r"blocks\.(\d+)\.up\.(weight|bias)", r"backbone.convnext.\1.pwconv1.\2"),
    (r"blocks\.(\d+)\.down\.(weight|bias)", r"backbone.convnext.\1.pwconv2.\2"),
    (r"blocks\.(\d+)\.scale", r"backbone.convnext.\1.gamma"),
    (r"spectrum\.(weight|bias)", r"head.out.\1"),
)
PLAIN = {"gain": "weight", "shift": "bias", "last_gain": "weight", "last_shift": "bias"}
CHOICE = PLAIN | {"gain": "scale.weight", "shift": "shift.weight"}
ENTRIES = "feature_extractor.codebook_weights"
WINDOW = "head.istft.window"
# what its mel bands are made with; ours are computed, and must be the same
MEL_WINDOW = "feature_extractor.mel_spec.spectrogram.window"
MEL_FILTERS = "feature_extractor.mel_spec.mel_scale.fb"
BESIDE = "feature_extractor.encodec."  # a whole EnCodec, where a model in memory was saved

Vocos = MelVocos | TokenVocos


def load_vocos(path: str | Path, preset: str = "vocos-encodec-24k") -> Vocos:
    """The Vocos of a `pytorch_model.bin`, a `.safetensors` file or a folder with one; ready to decode."""
    if preset not in PRESETS:
        raise InputError(f"expected one of {', '.join(PRESETS)}, got {preset!r}")
    return from_vocos(read_weights(path, "Vocos"), PRESETS[preset], preset)


def from_vocos(
    weights: Mapping[str, Tensor], config: VocosConfig = PRESETS["vocos-encodec-24k"], name: str = "vocos-encodec-24k"
) -> Vocos:
    """The decoder of an official state dict, in evaluation mode."""
    vocos = TokenVocos(config, name) if config.tokens_of else MelVocos(config, name)
    given = {key: tensor for key, tensor in weights.items() if not key.startswith(BESIDE)}
    names = vocoder_names(vocos.vocoder.state_dict(), config.vocoder.conditions)
    constants = _constants(vocos)
    check_names(given, {*names.values(), *constants, *([ENTRIES] if config.tokens_of else [])}, f"a {name}")
    for key, constant in constants.items():
        if given[key].shape != constant.shape or not torch.allclose(given[key].float(), constant, atol=1e-4):
            raise DamagedError(f"{key} is another than that of a {name}; choose the preset that these weights are of")
    ours = {f"vocoder.{key}": tensor for key, tensor in vocoder_weights(given, names).items()}
    if isinstance(vocos, TokenVocos):
        entries, shape = given[ENTRIES].detach().float(), vocos.entries.shape
        if entries.numel() != vocos.entries.numel() or entries.shape[-1] != shape[-1]:
            raise DamagedError(f"{ENTRIES} should hold {shape[0]} times {shape[1]} entries, got {list(entries.shape)}")
        ours["entries"] = entries.reshape(shape)
    fill(vocos, ours, f"a {name}")
    if isinstance(vocos, TokenVocos):
        vocos.info = replace(vocos.info, digest=digest(ours))
    else:
        vocos.digest = digest(ours)
    return vocos.eval()


def to_vocos(vocos: Vocos) -> dict[str, Tensor]:
    """The state dict of a `pytorch_model.bin` that the package loads."""
    state = vocos.vocoder.state_dict()
    theirs = _constants(vocos) | vocoder_tensors(state, vocoder_names(state, vocos.config.vocoder.conditions))
    if isinstance(vocos, TokenVocos):
        theirs[ENTRIES] = vocos.entries.flatten(0, 1).clone()
    return theirs


def vocoder_names(keys: Iterable[str], conditions: int) -> dict[str, str]:
    """Our keys of a `Vocoder` that the package's backbone and head have too, and theirs."""
    names = {}
    for key in keys:
        row = next((row for row in TABLE if re.fullmatch(row[0], key)), None)
        if row is not None:
            names[key] = re.sub(row[0], row[1], key).format(**(CHOICE if conditions > 1 else PLAIN))
    return names


def vocoder_weights(given: Mapping[str, Tensor], names: Mapping[str, str]) -> dict[str, Tensor]:
    """Our tensors of theirs; a norm without conditions has one of ours."""
    ours = {key: given[there].detach().float() for key, there in names.items()}
    return {key: tensor[None] if _is_plain(key, names[key]) else tensor for key, tensor in ours.items()}


def vocoder_tensors(state: Mapping[str, Tensor], names: Mapping[str, str]) -> dict[str, Tensor]:
    """Their tensors of ours."""
    theirs = {there: state[key].detach().clone() for key, there in names.items()}
    return theirs | {there: state[key][0].clone() for key, there in names.items() if _is_plain(key, there)}


def _is_plain(key: str, there: str) -> bool:
    return key.endswith(("gain", "shift")) and not there.endswith(("scale.weight", "shift.weight"))


def _constants(vocos: Vocos) -> dict[str, Tensor]:
    """What the package keeps beside its weights though it is always the same."""
    constants = {WINDOW: torch.hann_window(vocos.config.vocoder.n_fft)}
    if isinstance(vocos, MelVocos):
        constants |= {MEL_WINDOW: torch.hann_window(vocos.mel.n_fft), MEL_FILTERS: vocos.filters.T.contiguous()}
    return constants
