"""HiFi-Codec's checkpoints as AcademiCodec's training leaves them, into ours, and back again.

A file `g_00000000` holds the state dicts of "generator", "encoder" and "quantizer"; strides and rates stand in a
config.json beside it, and here in the preset. Groups and entries are counted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from ..codecs.hificodec import PRESETS, HiFiCodec, HiFiCodecConfig
from ..errors import DamagedError, InputError
from .state_dicts import as_weights, check_preset, handed_back, loaded, named, read_file, unfused

DEFAULT = "hificodec-16k-320d"
PARTS = ("generator", "encoder", "quantizer")
FIRST_LAYER = r"quantizer\.quantizer_modules\.\d+\.embedding\.weight"
LAYERS = 2  # of the quantizer; the original has no other number


def load_hificodec(path: str | Path, preset: str = DEFAULT, fused: bool = True) -> HiFiCodec:
    """The codec in a checkpoint of HiFi-Codec's generator, in evaluation mode.

    `fused` makes weight norm plain weights, which is faster; False keeps it apart for training on.
    """
    check_preset(preset, PRESETS)
    held = read_file(path, preset)
    if not isinstance(held, dict) or not set(PARTS) <= set(held):
        raise DamagedError(
            f"{path} should hold {', '.join(PARTS)}; expected a file g_00000000 of HiFi-Codec's training"
        )
    return from_hificodec({part: as_weights(held[part], path) for part in PARTS}, PRESETS[preset], preset, fused)


def from_hificodec(
    parts: Mapping[str, Mapping[str, Tensor]],
    config: HiFiCodecConfig = PRESETS[DEFAULT],
    name: str = DEFAULT,
    fused: bool = True,
) -> HiFiCodec:
    """The codec of the three state dicts, with as many groups and entries as there are."""
    given = {f"{part}.{key}": tensor for part in PARTS for key, tensor in as_weights(parts[part]).items()}
    codec = HiFiCodec(_counted(given, config, name), name)
    return loaded(codec, given, _names(codec), fused)


def to_hificodec(codec: HiFiCodec) -> dict[str, dict[str, Tensor]]:
    """The checkpoint that HiFi-Codec loads: three state dicts by name, for `torch.save`."""
    if codec.config.layers != LAYERS or not isinstance(codec.config.groups, int):
        raise InputError(f"HiFi-Codec has {LAYERS} levels in groups of equal size, {codec.info.name} has another split")
    weights = handed_back(codec, _names(unfused(codec)))
    return {
        part: {key.removeprefix(f"{part}."): tensor for key, tensor in weights.items() if key.startswith(f"{part}.")}
        for part in PARTS
    }


def _counted(given: Mapping[str, Tensor], config: HiFiCodecConfig, name: str) -> HiFiCodecConfig:
    books = [tensor for key, tensor in given.items() if re.fullmatch(FIRST_LAYER, key)]
    if not books or books[0].ndim != 2 or config.latent % len(books):
        raise DamagedError(
            f"these are not the weights of {name}: they hold no codebooks for {config.latent} features in equal groups"
        )
    return replace(config, groups=len(books), layers=LAYERS, codebook_size=len(books[0]))


def _names(codec: HiFiCodec) -> dict[str, str]:
    return named(codec, dict(_table(codec.config)), {"entries": "embedding.weight"})


def _table(config: HiFiCodecConfig) -> Iterator[tuple[str, str]]:
    """Our modules, and theirs behind the name of the part."""
    stages, branches = len(config.strides), len(config.unit_kernels)
    for ours, theirs in (("encoder", "encoder"), ("decoder", "generator")):
        yield f"{ours}.0", f"{theirs}.conv_pre"
        yield f"{ours}.{3 * stages + 2}", f"{theirs}.conv_post"
        for stage in range(stages):
            yield f"{ours}.{3 * stage + 2}", f"{theirs}.ups.{stage}"
            for j in range(branches):
                here, there = f"{ours}.{3 * stage + 3}", branches * stage + j
                yield f"{here}.norms.{j}", f"{theirs}.normalize.{there}"  # the encoder's only
                for d in range(len(config.dilations)):
                    for place, word in ((1, "convs1"), (3, "convs2")):
                        yield f"{here}.branches.{j}.{d}.body.{place}", f"{theirs}.resblocks.{there}.{word}.{d}"
    for layer in range(config.layers):
        for group in range(config.groups if isinstance(config.groups, int) else len(config.groups)):
            books = f"quantizer.quantizer_modules{layer + 1 if layer else ''}"
            yield f"quantizer.groups.{group}.levels.{layer}.codebook", f"{books}.{group}"
