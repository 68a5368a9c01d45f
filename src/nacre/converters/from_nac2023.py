"""Checkpoints of Neural-Audio-Compression (2023) into our NAC2023, and back again; its discriminators too.

That project registers every layer twice, as an attribute and inside a `Sequential` called `layers`, at three depths: a
residual convolution has eight names, and 340 tensors have 728. All that are there must agree.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from ..codecs.nac2023 import NAC2023, PRESETS, NAC2023Config
from ..errors import DamagedError, InputError
from ..nn.weight_norm import NEW, OLD
from .from_encodec import CODEBOOK
from .state_dicts import as_weights, check_preset, handed_back, loaded, named, read_file, read_weights, unfused

MODEL, DISCRIMINATORS = "model_state_dict", "disc_state_dict"  # in a checkpoint, beside the optimizers'
STAGES = range(1, 5)
LAYERS: dict[str, dict[str, int]] = {  # where a child stands in its parent's `layers`
    "encoder": {"conv1": 0, **{f"enc{k}": k for k in STAGES}, "lstm": 5, "conv2": 7},
    "decoder": {"conv1": 0, "lstm": 1, **{f"dec{k}": k + 1 for k in STAGES}, "conv2": 7},
    "enc": {"resblock": 0, "conv": 2},
    "dec": {"convtr": 1, "resblock": 2},
    "resblock": {"conv1": 1, "conv2": 3},
}


def load_nac2023(path: str | Path, preset: str = "nac-2023", fused: bool = True) -> NAC2023:
    """The codec in a `.pt` of that project, a whole checkpoint or its `model_state_dict` alone; ready to code.

    `fused=False` keeps the size and direction of each weight apart, for training on.
    """
    check_preset(preset, PRESETS)
    weights = read_weights(path, preset, MODEL)
    levels = sum(re.fullmatch(r"quantizer\.vq\.layers\.\d+\._codebook\.embed", key) is not None for key in weights)
    config = PRESETS[preset]
    if levels not in (0, config.levels):  # as trained for 6 kbps, with 12
        config = replace(config, levels=levels, dropout=tuple(k for k in config.dropout if k <= levels))
    codec = NAC2023(config, preset)
    names = _names(codec)
    return loaded(codec, _once(weights, set(names.values()), preset), names, fused)


def to_nac2023(codec: NAC2023) -> dict[str, Tensor]:
    """The state dict that the project's `SwarModel` loads strictly: every tensor under all its names."""
    weights = handed_back(codec, _names(unfused(codec)))
    return {spelling: tensor for name, tensor in weights.items() for spelling in spellings(name)}


def load_discriminators(path: str | Path) -> dict[str, Tensor]:
    """The discriminators of a checkpoint, as the state dict of `MultiScale(MULTI_SCALE["nac2023"])`."""
    held = read_file(path, "Neural-Audio-Compression")
    if not isinstance(held, dict) or DISCRIMINATORS not in held:
        raise InputError(f"{path} holds no {DISCRIMINATORS}; expected a whole checkpoint of the project's training")
    spelling = dict(zip(OLD, NEW, strict=True))
    ours = {}
    for key, tensor in as_weights(held[DISCRIMINATORS], path).items():
        match = re.fullmatch(r"discriminators\.(\d+)\.discriminator\.(?:([0-5])\.0|6)\.(\w+)", key)
        if match is None:
            raise DamagedError(f"{path} has discriminators of another kind: it names {key}")
        scale, layer, leaf = match.groups()
        place = "last" if layer is None else f"layers.{layer}"
        ours[f"stacks.{scale}.{place}.{spelling.get(leaf, leaf)}"] = tensor
    return ours


def spellings(name: str) -> Iterator[str]:
    """All names of the tensor that goes by `name` when every layer is called by its attribute, which comes first."""
    parts = name.split(".")
    choices = [[parts[0]]]
    for parent, child in itertools.pairwise(parts):
        place = LAYERS.get(parent.rstrip("1234"), {}).get(child)
        choices.append([child] if place is None else [child, f"layers.{place}"])
    return (".".join(choice) for choice in itertools.product(*choices))


def _once(weights: Mapping[str, Tensor], expected: set[str], whose: str) -> dict[str, Tensor]:
    """`weights` with each of the `expected` under that name alone, and whatever else there is."""
    left, once = dict(weights), {}
    for name in expected:
        twins = [left.pop(spelling) for spelling in spellings(name) if spelling in left]
        if any(not torch.equal(twins[0], twin) for twin in twins):
            raise DamagedError(f"these are not the weights of {whose}: {name} is two different tensors under two names")
        if twins:
            once[name] = twins[0]
    return once | left


def _names(codec: NAC2023) -> dict[str, str]:
    return named(codec, _table(codec.config), CODEBOOK)


def _table(config: NAC2023Config) -> dict[str, str]:
    table = {}
    for side, word, lstm in (("encoder", "enc", 13), ("decoder", "dec", 1)):
        for place, name in ((0, "conv1.conv"), (15, "conv2.conv"), (lstm, "lstm")):
            table[f"{side}.net.{place}" + ".lstm" * (name == "lstm")] = f"{side}.{name}" + ".lstm" * (name == "lstm")
        for k in STAGES:
            # residual units come before the stride in the encoder, behind it in the decoder
            unit, stride = (3 * k - 2, "conv") if side == "encoder" else (3 * k + 1, "convtr")
            table[f"{side}.net.{3 * k}"] = f"{side}.{word}{k}.{stride}.{stride}"
            for place, name in ((1, "conv1"), (3, "conv2")):
                table[f"{side}.net.{unit}.body.{place}"] = f"{side}.{word}{k}.resblock.{name}.conv"
    for k in range(config.levels):
        table[f"quantizer.levels.{k}.codebook"] = f"quantizer.vq.layers.{k}._codebook"
    return table
