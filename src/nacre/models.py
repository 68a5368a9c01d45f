"""load(name): the catalogue of models, and the choice between torch and ONNX Runtime."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from threading import Lock
from typing import Literal

from .codes import CodecInfo
from .contract import CodecContract
from .errors import InputError, MissingError
from .onnx_runtime import ENCODER, OnnxCodec

Runtime = Literal["onnx", "torch"]
DEFAULT = "pearl-24k"
BUNDLED = Path(str(resources.files("nacre") / "bundled"))
SAMPLE = BUNDLED / "sample.opus"  # a sentence of speech, CC0, to try things on


@dataclass(frozen=True)
class Model:
    """One row of the catalogue."""

    name: str
    summary: str
    licence: str  # of the weights


CATALOGUE: dict[str, Model] = {
    model.name: model
    for model in (Model("pearl-24k", "speech at 24 kHz, 0.68 to 6.08 kbps, causal; comes with the package", "MIT"),)
}


def load(name: str = DEFAULT, runtime: Runtime = "onnx", threads: int = 1) -> CodecContract:
    """The codec of that name in the catalogue, or in a folder that nacre's export wrote.

    `runtime="onnx"` needs no torch and runs on the CPU with `threads` threads; `runtime="torch"` gives the torch
    module, for training and for other devices.
    """
    folder = _folder(name)
    if runtime == "onnx":
        return OnnxCodec(folder, threads)
    if runtime != "torch":
        raise InputError(f"expected runtime 'onnx' or 'torch', got {runtime!r}")
    try:
        from .converters.from_safetensors import load_pearl
    except ImportError as error:
        raise MissingError("runtime='torch' needs torch and safetensors; pip install 'nacre[torch]'") from error
    return load_pearl(folder)


class Shelf:
    """Codecs for files: finds the one that made a file, and loads each once. Safe to use from several threads."""

    def __init__(self, name: str | None = None, threads: int = 1) -> None:
        self._name, self._threads, self._lock = name, threads, Lock()
        self._codecs: dict[str, CodecContract] = {}

    def __call__(self, info: CodecInfo) -> CodecContract:
        """The codec named when this was made, or else the one that `info` names."""
        name = self._name or info.name
        if not self._name and name not in CATALOGUE:  # nor may a file say which folder is opened
            raise InputError(
                f"made by {name!r}, which does not come with nacre; name the folder of its model (--model)"
            )
        with self._lock:
            if name not in self._codecs:
                self._codecs[name] = load(name, threads=self._threads)
            return self._codecs[name]


def _folder(name: str) -> Path:
    if name in CATALOGUE:
        return BUNDLED / name
    if (Path(name) / ENCODER).is_file():
        return Path(name)
    raise InputError(
        f"no model {name!r}; expected one of {', '.join(CATALOGUE)} or a folder with {ENCODER}; see `nacre models`"
    )
