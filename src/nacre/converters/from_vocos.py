"""Vocos's official weights into ours, and back again: every key used once, every shape checked."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from ..codecs.vocos import PRESETS, MelVocos, TokenVocos, VocosConfig
from ..errors import DamagedError
from .keys import digest
from .state_dicts import as_weights, check_preset, fill, read_weights, taken, without_constants

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
    check_preset(preset, PRESETS)
    return from_vocos(read_weights(path, "Vocos", "state_dict"), PRESETS[preset], preset)


def from_vocos(
    weights: Mapping[str, Tensor], config: VocosConfig = PRESETS["vocos-encodec-24k"], name: str = "vocos-encodec-24k"
) -> Vocos:
    """The decoder of an official state dict, in evaluation mode."""
    vocos = TokenVocos(config, name) if config.tokens_of else MelVocos(config, name)
    given = {key: tensor for key, tensor in as_weights(weights).items() if not key.startswith(BESIDE)}
    names = _names(vocos)
    ours = with_conditions(taken(without_constants(given, _constants(vocos), name), names, name), names)
    if isinstance(vocos, TokenVocos):
        entries, shape = ours["entries"], vocos.entries.shape
        if entries.numel() != vocos.entries.numel() or entries.shape[-1] != shape[-1]:
            raise DamagedError(f"{ENTRIES} should hold {shape[0]} times {shape[1]} entries, got {list(entries.shape)}")
        ours["entries"] = entries.reshape(shape)
    fill(vocos, ours, name, names)
    if isinstance(vocos, TokenVocos):
        vocos.info = replace(vocos.info, digest=digest(ours))
    else:
        vocos.digest = digest(ours)
    return vocos.eval()


def to_vocos(vocos: Vocos) -> dict[str, Tensor]:
    """The state dict of a `pytorch_model.bin` that the package loads."""
    theirs = without_conditions(vocos.state_dict(), _names(vocos)) | _constants(vocos)
    if isinstance(vocos, TokenVocos):
        theirs[ENTRIES] = theirs[ENTRIES].flatten(0, 1)
    return theirs


def vocoder_names(keys: Iterable[str], conditions: int, inside: str) -> dict[str, str]:
    """Our keys of the `Vocoder` at `inside` that the package's backbone and head have too, and theirs."""
    names = {}
    for key in keys:
        row = next((row for row in TABLE if re.fullmatch(re.escape(inside) + row[0], key)), None)
        if row is not None:
            names[key] = re.sub(row[0], row[1], key.removeprefix(inside)).format(
                **(CHOICE if conditions > 1 else PLAIN)
            )
    return names


def with_conditions(ours: Mapping[str, Tensor], names: Mapping[str, str]) -> dict[str, Tensor]:
    """Our tensors, as taken; a norm without conditions has one of ours."""
    return {key: tensor[None] if _is_plain(key, names[key]) else tensor for key, tensor in ours.items()}


def without_conditions(state: Mapping[str, Tensor], names: Mapping[str, str]) -> dict[str, Tensor]:
    """Their tensors of ours."""
    return {
        there: (state[key][0] if _is_plain(key, there) else state[key]).detach().clone() for key, there in names.items()
    }


def _names(vocos: Vocos) -> dict[str, str]:
    names = vocoder_names(vocos.state_dict(), vocos.config.vocoder.conditions, "vocoder.")
    return names | ({"entries": ENTRIES} if isinstance(vocos, TokenVocos) else {})


def _is_plain(key: str, there: str) -> bool:
    return key.endswith(("gain", "shift")) and not there.endswith(("scale.weight", "shift.weight"))


def _constants(vocos: Vocos) -> dict[str, Tensor]:
    """What the package keeps beside its weights though it is always the same."""
    constants = {WINDOW: torch.hann_window(vocos.config.vocoder.n_fft)}
    if isinstance(vocos, MelVocos):
        constants |= {MEL_WINDOW: torch.hann_window(vocos.mel.n_fft), MEL_FILTERS: vocos.filters.T.contiguous()}
    return constants
