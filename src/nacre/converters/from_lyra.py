"""Lyra's published graphs, as the catalogue names them: nothing changes shape, LiteRT runs them as they are."""

from __future__ import annotations

from pathlib import Path

from ..container.lyra_file import LYRA_CODEC
from ..errors import InputError
from ..lyra import Lyra

PRESETS = {"lyra-v2": LYRA_CODEC}


def load_lyra(path: str | Path, preset: str = "lyra-v2", threads: int = 1) -> Lyra:
    """The Lyra whose `.tflite` files are in the folder `path`, or beside the one that `path` is; needs no torch."""
    if preset not in PRESETS:
        raise InputError(f"expected one of {', '.join(PRESETS)}, got {preset!r}")
    path = Path(path)
    return Lyra(path if path.is_dir() else path.parent, threads)
