"""Weights of any model in the catalogue, read by the converter that its row names; some need no torch."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from ..catalogue import Model
from ..contract import CodecContract
from ..errors import InputError

MAX_THREADS = 256  # as for ONNX Runtime


def load_original(model: Model, place: Path, threads: int | None = None) -> CodecContract:
    """The codec of the weights at `place`, which are as the project of `model` published them."""
    return reader(model, place, threads)()


def reader(model: Model, place: Path, threads: int | None = None) -> Callable[[], CodecContract]:
    """What gives the codec of the weights at `place`; ImportError where its packages are not installed."""
    converter = model.lone if model.lone and place.is_file() else model.converter
    room, _, name = converter.partition(".")
    read: Callable[..., CodecContract] = getattr(import_module(f".{room}", __package__), name)
    words = (place,) if model.preset is None else (place, model.preset or model.name)
    if model.runtime != "torch":
        return lambda: read(*words, threads=1 if threads is None else threads)
    use_threads(threads)
    return lambda: read(*words)


def use_threads(threads: int | None) -> None:
    """Let torch compute with so many threads, in this process; None leaves it as it is."""
    if threads is None:
        return
    if not 1 <= threads <= MAX_THREADS:
        raise InputError(f"a codec runs on 1 to {MAX_THREADS} threads, got {threads}")
    import torch

    torch.set_num_threads(threads)
