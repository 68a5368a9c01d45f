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
from typing import Any

import torch
from torch import Tensor

from ..codecs.nac2023 import NAC2023, PRESETS, NAC2023Config
from ..errors import DamagedError, InputError
from ..nn.weight_norm import NEW, OLD, fuse
from ..quantizers.codebook import Codebook
from .foreign import as_weights, fill, handed_back, names, read_checkpoint
from .keys import coding_keys, digest

MODEL, DISCRIMINATORS = "model_state_dict", "disc_state_dict"  # in a checkpoint, beside the optimizers'
LEAVES = {"entries": "embed", "sums": "embed_avg", "counts": "cluster_size", "started": "inited"}
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
    if preset not in PRESETS:
        raise InputError(f"expected one of {', '.join(PRESETS)}, got {preset!r}")
    path = Path(path)
    weights = as_weights(_part(read_checkpoint(path), MODEL), path)
    levels = sum(re.fullmatch(r"quantizer\.vq\.layers\.\d+\._codebook\.embed", key) is not None for key in weights)
    config = PRESETS[preset]
    if levels not in (0, config.levels):  # as trained for 6 kbps, with 12
        config = replace(config, levels=levels, dropout=tuple(k for k in config.dropout if k <= levels))
    codec = NAC2023(config, preset)
    found = names(codec, _table(config), LEAVES)
    fill(codec, _once(weights, set(found.values()), path), found, path)
    for book in codec.modules():
        if isinstance(book, Codebook):
            book.hits.copy_(book.counts)  # that project counts hits once
    state = codec.state_dict()
    codec.info = replace(codec.info, digest=digest({key: state[key] for key in coding_keys(codec)}))
    return (fuse(codec) if fused else codec).eval()


def to_nac2023(codec: NAC2023) -> dict[str, Tensor]:
    """The state dict that the project's `SwarModel` loads strictly: every tensor under all its names."""
    with torch.device("meta"):
        apart = NAC2023(codec.config)  # size and direction of each weight, which `codec` may have fused
    weights = handed_back(codec, names(apart, _table(codec.config), LEAVES))
    whole = {spelling: tensor for name, tensor in weights.items() for spelling in spellings(name)}
    return {key: tensor.reshape(1).float() if key.endswith("inited") else tensor for key, tensor in whole.items()}


def load_discriminators(path: str | Path) -> dict[str, Tensor]:
    """The discriminators of a checkpoint, as the state dict of `MultiScale(MULTI_SCALE["nac2023"])`."""
    path = Path(path)
    held = read_checkpoint(path)
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


def _part(held: Any, key: str) -> Any:
    return held[key] if isinstance(held, dict) and key in held else held


def _once(weights: Mapping[str, Tensor], expected: set[str], path: Path) -> dict[str, Tensor]:
    """`weights` with each of the `expected` under that name alone, and whatever else there is."""
    left, once = dict(weights), {}
    for name in expected:
        twins = [left.pop(spelling) for spelling in spellings(name) if spelling in left]
        if any(not torch.equal(twins[0], twin) for twin in twins):
            raise DamagedError(f"{path} holds two different tensors for {name}; expected the same under all its names")
        if twins:
            once[name] = twins[0].reshape(()) != 0 if name.endswith("inited") and twins[0].numel() == 1 else twins[0]
    return once | left


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
