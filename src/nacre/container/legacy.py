"""Reads the files of earlier codecs into `Codes`: the `.nac` of 2023, EnCodec's `.ecdc`, DAC's `.dac`, `.lyra`.

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
from ..opening import open_file, unreadable
from .dac_file import DAC_CODECS, read_dac, write_dac
from .ecdc import ECDC_CODECS, LanguageModel, read_ecdc, read_header, write_ecdc
from .lyra_file import LYRA_CODEC, read_lyra, write_lyra
from .nac0 import NAC0_CODEC, read_nac0, write_nac0

__all__ = [
    "CODECS",
    "MAX_FILE",
    "Kind",
    "LanguageModel",
    "LegacyFile",
    "Plain",
    "kind_of",
    "lyra_bitrate",
    "packed_header",
    "read",
    "read_all",
    "sniff",
    "write_dac",
    "write_ecdc",
    "write_lyra",
    "write_nac0",
]

Kind = Literal["nac0", "ecdc", "dac", "lyra"]
Plain = str | int | float | bool | tuple[float, ...] | None

MAX_FILE = 1 << 28  # bytes of a whole file: a day of EnCodec at 24 kbit/s
_STEP = 1 << 20  # bytes read at once

CODECS: dict[str, CodecInfo] = {
    info.name: info for info in (*ECDC_CODECS.values(), *DAC_CODECS.values(), NAC0_CODEC, LYRA_CODEC)
}  # by our names


@dataclass(frozen=True)
class LegacyFile:
    """A legacy file as read: its codes, and what its header says that `Codes` has no room for.

    `metadata` holds m, al, nc, lm for "ecdc"; bitrate (kbit/s) and the plain values of the JSON for "nac0"; the
    fields of `DacMetadata` for "dac"; the bitrate that the caller named for "lyra".
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


def kind_of(source: str | os.PathLike[str], first: bytes) -> Kind | None:
    """Which kind the file of this name is that starts with these bytes: nothing but its name tells a `.lyra`."""
    return sniff(first) or ("lyra" if Path(source).suffix.lower() == ".lyra" else None)


def lyra_bitrate(kind: Kind, bitrate: float | None) -> int | None:
    """The bitrate of a `.lyra`, which a person must name; None for other kinds."""
    if kind != "lyra":
        return None
    if bitrate is None:
        raise InputError("a .lyra file does not say its bitrate; name it: --bitrate 3200, 6000 or 9200")
    return round(bitrate)


def packed_header(data: bytes) -> tuple[CodecInfo, dict[str, str | int | bool]] | None:
    """Whose codes an `.ecdc` holds that a language model packed, and its header; None for any other file."""
    if sniff(data[:6]) != "ecdc":
        return None
    info, header, _ = read_header(data)
    return (info, header) if header["lm"] else None


def read(
    source: str | os.PathLike[str] | BinaryIO,
    codec: str | None = None,
    model: LanguageModel | None = None,
    bitrate: int | None = None,
) -> LegacyFile:
    """Read a legacy file from a path or an open binary file.

    `model` is the language model of an `.ecdc` that was packed with one. `bitrate` is that of a `.lyra`, in bit/s.
    `codec` names the model of a `.dac`, which the file does not; without it the one whose frame count fits is taken.
    """
    data = read_all(source)
    kind = sniff(data[:6])
    if kind is None and bitrate is not None:
        return LegacyFile(read_lyra(data, bitrate), "lyra", {"bitrate": bitrate})
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


def read_all(source: str | os.PathLike[str] | BinaryIO) -> bytes:
    """The bytes of a file that is not too large."""
    if not isinstance(source, str | os.PathLike):
        return _read_open(source, "the stream")
    with open_file(source) as file:
        return _read_open(file, os.fspath(source))


def _read_open(file: BinaryIO, name: str) -> bytes:
    parts: list[bytes] = []
    size = 0
    try:
        while part := file.read(_STEP):
            parts.append(part)
            size += len(part)
            if size > MAX_FILE:
                raise InputError(f"expected a file of at most {MAX_FILE >> 20} MiB, got a larger one; cut it first")
    except OSError as error:
        raise unreadable(name, error) from error
    return b"".join(parts)
