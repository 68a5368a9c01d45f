"""An EnCodec of the released shape, but narrow, with the made-up weights of its golden file."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache

import numpy as np
import torch
from makers import GOLDEN, script

from nacre.codecs.encodec import PRESETS, EnCodec, EnCodecConfig
from nacre.converters.from_encodec import from_encodec
from nacre.nn.seanet import SEANetConfig

MAKER = script(GOLDEN / "encodec" / "make.py")


def narrow(preset: str, **changes: int) -> EnCodecConfig:
    """A preset with few features."""
    config = PRESETS[preset]
    seanet = replace(config.seanet, dim=MAKER.DIM, filters=MAKER.FILTERS)
    return replace(config, seanet=seanet, levels=MAKER.LEVELS, codebook_size=MAKER.SIZE, dropout=(1, 2, 4), **changes)


CONFIG = EnCodecConfig(
    seanet=SEANetConfig(dim=MAKER.DIM, filters=MAKER.FILTERS),
    levels=MAKER.LEVELS,
    codebook_size=MAKER.SIZE,
    dropout=(1, 2, 4),
)
CONFIGS = {
    "small": CONFIG,
    "stereo": narrow("encodec-48k", sample_rate=32_000, segment=3_200, overlap=480),
    "music": narrow("encodec-32k"),
}


@cache
def golden(kind: str = "small") -> dict[str, np.ndarray]:
    """What the package made."""
    with np.load(GOLDEN / "encodec" / f"{kind}.npz") as file:
        return dict(file)


def official_weights(kind: str = "small") -> dict[str, torch.Tensor]:
    """The state dict that the package had."""
    weights: dict[str, torch.Tensor] = MAKER.weights(json.loads(golden(kind)["shapes"].tobytes()))
    return weights


def small_encodec(fused: bool = True, kind: str = "small") -> EnCodec:
    """An EnCodec of 4 levels of 4 bits, in evaluation mode."""
    return from_encodec(official_weights(kind), CONFIGS[kind], f"{kind}-encodec", fused)
