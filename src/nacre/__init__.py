"""nacre: neural audio codecs to use like FLAC or Opus.

The public names, each loaded when it is first used: importing nacre costs nothing and never imports torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # for mypy and editors; at run time `__getattr__` finds the same names
    from .audio import AudioReader, AudioWriter, open_audio, read, resample, write
    from .codes import CodecInfo, Codes
    from .container.nac import NacReader, NacWriter
    from .contract import CodecContract, Stream
    from .errors import DamagedError, InputError, MissingError, NacreError
    from .files import DecodeOptions, EncodeOptions, decode_file, encode_file
    from .models import load
    from .onnx_runtime import OnnxCodec

__version__ = "0.1.0"

__all__ = [
    "AudioReader",
    "AudioWriter",
    "CodecContract",
    "CodecInfo",
    "Codes",
    "DamagedError",
    "DecodeOptions",
    "EncodeOptions",
    "InputError",
    "MissingError",
    "NacReader",
    "NacWriter",
    "NacreError",
    "OnnxCodec",
    "Stream",
    "__version__",
    "decode_file",
    "encode_file",
    "load",
    "open_audio",
    "read",
    "resample",
    "write",
]

_ROOMS: dict[str, tuple[str, ...]] = {
    "audio": ("read", "write", "open_audio", "resample", "AudioReader", "AudioWriter"),
    "codes": ("Codes", "CodecInfo"),
    "container.nac": ("NacReader", "NacWriter"),
    "contract": ("CodecContract", "Stream"),
    "errors": ("NacreError", "InputError", "DamagedError", "MissingError"),
    "files": ("encode_file", "decode_file", "EncodeOptions", "DecodeOptions"),
    "models": ("load",),
    "onnx_runtime": ("OnnxCodec",),
}
_ROOM_OF: dict[str, str] = {name: room for room, names in _ROOMS.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _ROOM_OF:
        raise AttributeError(f"nacre has no public name {name!r}; it has {', '.join(__all__)}")
    value = getattr(import_module(f".{_ROOM_OF[name]}", __name__), name)
    globals()[name] = value  # asked once, then an ordinary global
    return value


def __dir__() -> list[str]:
    return sorted(__all__)  # what stands in this file besides is nobody's business
