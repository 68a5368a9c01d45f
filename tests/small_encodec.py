"""An EnCodec of the released shape, but narrow, with the made-up weights of its golden file."""

from __future__ import annotations

import importlib.util
import json
from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np
import torch

from nacre.codecs.encodec import EnCodec, EnCodecConfig
from nacre.converters.from_encodec import from_encodec
from nacre.nn.seanet import SEANetConfig

GOLDEN = Path(__file__).parent / "golden" / "encodec"


def script(path: Path) -> ModuleType:
    """A script that makes golden files, as a module."""
    spec = importlib.util.spec_from_file_location(f"{path.parent.name}_{path.stem}", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


MAKER = script(GOLDEN / "make.py")
CONFIG = EnCodecConfig(
    seanet=SEANetConfig(dim=MAKER.DIM, filters=MAKER.FILTERS),
    levels=MAKER.LEVELS,
    codebook_size=MAKER.SIZE,
    dropout=(1, 2, 4),
)


@cache
def golden() -> dict[str, np.ndarray]:
    """What the package made."""
    with np.load(GOLDEN / "small.npz") as file:
        return dict(file)


def official_weights() -> dict[str, torch.Tensor]:
    """The state dict that the package had."""
    weights: dict[str, torch.Tensor] = MAKER.weights(json.loads(golden()["shapes"].tobytes()))
    return weights


def small_encodec(fused: bool = True) -> EnCodec:
    """An EnCodec of 4 levels of 4 bits, in evaluation mode."""
    torch.set_num_threads(1)
    return from_encodec(official_weights(), CONFIG, "small-encodec", fused)
