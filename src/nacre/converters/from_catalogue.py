"""Weights of any model in the catalogue, read by the converter that its row names."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import torch

from ..catalogue import Model
from ..contract import CodecContract
from ..errors import InputError

MAX_THREADS = 256  # as for ONNX Runtime


def load_original(model: Model, place: Path, threads: int | None = None) -> CodecContract:
    """The codec of the weights at `place`, which are as the project of `model` published them."""
    use_threads(threads)
    converter = model.lone if model.lone and place.is_file() else model.converter
    room, _, name = converter.partition(".")
    read: Callable[..., CodecContract] = getattr(import_module(f".{room}", __package__), name)
    return read(place) if model.preset is None else read(place, model.preset or model.name)


def use_threads(threads: int | None) -> None:
    """Let torch compute with so many threads, in this process; None leaves it as it is."""
    if threads is None:
        return
    if not 1 <= threads <= MAX_THREADS:
        raise InputError(f"a codec runs on 1 to {MAX_THREADS} threads, got {threads}")
    torch.set_num_threads(threads)
