"""Reads the files of earlier codecs into `Codes`: the 2023 `.nac` (version 0), EnCodec's `.ecdc`, DAC's `.dac`.

One file a format stands beside this one; what the bytes mean is in docs/legacy.md. They store integer codes, so
reading and writing them needs no model, and codes go from container to container as long as the codec is the same.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from ..codes import CodecInfo, Codes
from ..errors import InputError
from .dac_file import DAC_CODECS, read_dac, write_dac
from .ecdc import ECDC_CODECS, LanguageModel, read_ecdc, write_ecdc
from .nac0 import NAC0_CODEC, read_nac0, write_nac0

__all__ = [
    "CODECS",
    "MAX_FILE",
    "Kind",
    "LegacyFile",
    "Plain",
    "read",
    "sniff",
    "write_dac",
    "write_ecdc",
    "write_nac0",
]

Kind = Literal["nac0", "ecdc", "dac"]
Plain = str | int | float | bool | tuple[float, ...] | None

MAX_FILE = 1 << 28  # bytes of a whole file: a day of EnCodec at 24 kbit/s
_STEP = 1 << 20  # bytes read at once

CODECS: dict[str, CodecInfo] = {
    info.name: info for info in (*ECDC_CODECS.values(), *DAC_CODECS.values(), NAC0_CODEC)
}  # by our names


@dataclass(frozen=True)
class LegacyFile:
    """A legacy file as read: its codes, and what its header says that `Codes` has no room for.

    `metadata` holds m, al, nc, lm for "ecdc"; bitrate (kbit/s) and the plain values of the JSON for "nac0"; the
    fields of `DacMetadata` for "dac".
    """

    codes: Codes
    kind: Kind
    metadata: Mapping[str, Plain]

    @property
    def window(self) -> int:
        """Frames of each window of a `.dac` coded in overlapping windows, 0 for one run of codes.

        Windows are decoded one by one without padding and their outputs set end to end, so such codes are not those
        of the whole wave and do not belong in a container that has no room for this number.
        """
        chunk = self.metadata.get("chunk_length")
        return chunk if isinstance(chunk, int) and self.metadata.get("padding") is False else 0


def sniff(first: bytes) -> Kind | None:
    """Which kind of file starts with these bytes (6 are enough), None for any other."""
    starts: dict[bytes, Kind] = {b"ECDC": "ecdc", b"\x93NUMPY": "dac", b"NAC\x00": "nac0"}
    return next((kind for magic, kind in starts.items() if first.startswith(magic)), None)


def read(
    source: str | os.PathLike[str] | BinaryIO, codec: str | None = None, model: LanguageModel | None = None
) -> LegacyFile:
    """Read a legacy file from a path or an open binary file.

    `model` is the language model of an `.ecdc` that was packed with one.
    `codec` names the model of a `.dac`, which the file does not; without it the one whose frame count fits is taken.
    """
    data = _read_all(source)
    kind = sniff(data[:6])
    if kind == "ecdc":
        codes, header = read_ecdc(data, model)
        return LegacyFile(codes, kind, {**header})
    if kind == "nac0":
        codes, metadata = read_nac0(data)
        return LegacyFile(codes, kind, {**metadata})
    if kind == "dac":
        codes, fields = read_dac(data, codec)
        return LegacyFile(codes, kind, asdict(fields))
    raise InputError(f"expected a .nac of 2023, an .ecdc or a .dac file, got one that starts with {data[:6]!r}")


def _read_all(source: str | os.PathLike[str] | BinaryIO) -> bytes:
    if not isinstance(source, str | os.PathLike):
        return _read_open(source)
    try:
        with Path(source).open("rb") as file:
            return _read_open(file)
    except OSError as error:
        raise InputError(f"cannot read {os.fspath(source)}: {error.strerror or error}") from None


def _read_open(file: BinaryIO) -> bytes:
    parts: list[bytes] = []
    size = 0
    while part := file.read(_STEP):
        parts.append(part)
        size += len(part)
        if size > MAX_FILE:
            raise InputError(f"expected a file of at most {MAX_FILE >> 20} MiB, got a larger one; cut it first")
    return b"".join(parts)
