"""The `.nac` file, version 1: read, write and look into it. The bytes are specified in docs/format.md."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO

from ..codes import CodecInfo, Codes
from .header import Header, parse_header
from .reader import NacReader
from .sequence import Damage
from .source import Readable
from .writer import NacWriter

__all__ = ["Damage", "Header", "NacReader", "NacWriter", "Summary", "parse_header", "read", "summary", "write"]


@dataclass(frozen=True)
class Summary:
    """What `nacre info` tells about a file."""

    info: CodecInfo
    levels: int
    tags: dict[str, str]
    length: int  # samples
    packets: int
    file_bytes: int
    code_bytes: float  # of the codes and scales at their true width
    damage: tuple[Damage, ...]

    @property
    def seconds(self) -> float:
        """Duration of the audio."""
        return self.length / self.info.sample_rate

    @property
    def nominal_bitrate(self) -> float:
        """Bits a second of the codes at their true width."""
        return self.info.bitrate(self.levels)

    @property
    def bitrate(self) -> float:
        """Bits a second that the file really takes, all included; 0 for no audio."""
        return 8 * self.file_bytes / self.seconds if self.length else 0.0

    @property
    def overhead_bytes(self) -> float:
        """Bytes beyond the raw codes; negative when entropy coding saved more."""
        return self.file_bytes - self.code_bytes


def read(source: Readable) -> Codes:
    """All codes of a `.nac` file; frames that damage took are zeros and marked `lost`."""
    with NacReader(source) as reader:
        return reader.read()


def write(
    sink: str | os.PathLike[str] | BinaryIO,
    codes: Codes,
    tags: Mapping[str, str] | None = None,
    raw: bool = False,
    overwrite: bool = False,
) -> None:
    """Write `codes` as a whole `.nac` file."""
    with NacWriter(sink, codes.info, len(codes.levels), tags, raw, overwrite) as writer:
        writer.write(codes)


def summary(source: Readable) -> Summary:
    """Read all of a file, check it, and tell what is in it."""
    with NacReader(source) as reader:
        packets, bits = 0, 0
        for piece in reader.packets():
            packets += 1
            bits += reader.header.code_bits(piece.frames)
        size = reader.size
        damage = tuple(reader.damage)
        return Summary(reader.info, reader.levels, reader.tags, reader.length or 0, packets, size, bits / 8, damage)
