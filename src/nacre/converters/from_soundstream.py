"""AcademiCodec's SoundStream and EnCodec checkpoints, one network under two names, into ours, and back again.

Its training leaves `best_N.pth`, the state dict of a parallel model, and `latest.pth`, which holds that under
"soundstream" beside the discriminators and optimizers. Neither says how many levels or which strides; the levels are
counted, the strides are the preset's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from ..codecs.soundstream import PRESETS, SoundStream, SoundStreamConfig
from ..errors import DamagedError, InputError
from .from_encodec import CODEBOOK, places
from .state_dicts import as_weights, check_preset, handed_back, loaded, named, placed, read_weights, unfused

DEFAULT = "soundstream-24k-240d"
PARALLEL = "module."  # before every name


def load_soundstream(path: str | Path, preset: str = DEFAULT, fused: bool = True) -> SoundStream:
    """The codec in a checkpoint of AcademiCodec's "SoundStream" or "EnCodec", in evaluation mode.

    `fused` makes weight norm plain weights, which is faster; False keeps it apart for training on.
    """
    check_preset(preset, [name for name, config in PRESETS.items() if not config.at_once])
    return from_soundstream(read_weights(path, preset, "soundstream"), PRESETS[preset], preset, fused)


def from_soundstream(
    weights: Mapping[str, Tensor],
    config: SoundStreamConfig = PRESETS[DEFAULT],
    name: str = DEFAULT,
    fused: bool = True,
) -> SoundStream:
    """The codec of a state dict, with as many levels as there are codebooks."""
    given = as_weights(weights)
    counted = len({key for key in given if re.fullmatch(r"quantizer\.vq\.layers\.\d+\._codebook\.embed", key)})
    if not counted:
        raise DamagedError(f"these are not the weights of {name}: they hold no codebooks")
    codec = SoundStream(_with_levels(config, counted), name)
    return loaded(codec, given, _names(codec), fused)


def to_soundstream(codec: SoundStream) -> dict[str, Tensor]:
    """The state dict as AcademiCodec saves and expects it: its loader cuts `module.` off every name."""
    if codec.config.at_once:
        raise InputError(f"{codec.info.name} is the paper's SoundStream, which AcademiCodec's network cannot hold")
    weights = handed_back(codec, _names(unfused(codec)))
    return {f"{PARALLEL}{key}": tensor for key, tensor in weights.items()}


def _names(codec: SoundStream) -> dict[str, str]:
    return named(codec, placed(codec, places("encodec")), CODEBOOK)


def _with_levels(config: SoundStreamConfig, levels: int) -> SoundStreamConfig:
    dropout = tuple(count for count in config.dropout if count < levels)
    return replace(config, levels=levels, dropout=(*dropout, levels))
