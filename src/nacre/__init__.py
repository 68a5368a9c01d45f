"""nacre: neural audio codecs to use like FLAC or Opus.

The public names, each loaded when it is first used: importing nacre costs nothing and never imports torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # for mypy and editors; at run time `__getattr__` finds the same names
    from .codes import CodecInfo, Codes
    from .contract import CodecContract, Stream
    from .errors import DamagedError, InputError, MissingError, NacreError

__version__ = "0.1.0"

__all__ = [
    "CodecContract",
    "CodecInfo",
    "Codes",
    "DamagedError",
    "InputError",
    "MissingError",
    "NacreError",
    "Stream",
    "__version__",
]

_ROOMS: dict[str, tuple[str, ...]] = {
    "codes": ("Codes", "CodecInfo"),
    "contract": ("CodecContract", "Stream"),
    "errors": ("NacreError", "InputError", "DamagedError", "MissingError"),
}
_ROOM_OF: dict[str, str] = {name: room for room, names in _ROOMS.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _ROOM_OF:
        raise AttributeError(f"nacre has no public name {name!r}; it has {', '.join(__all__)}")
    value = getattr(import_module(f".{_ROOM_OF[name]}", __name__), name)
    globals()[name] = value  # asked once, then an ordinary global
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
