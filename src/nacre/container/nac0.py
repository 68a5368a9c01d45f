"""The `.nac` file of 2023, version 0: no length, no checksum, blocks of 2 s. The bytes are in docs/legacy.md."""

from __future__ import annotations

import json
import struct

import numpy as np

from ..codes import CodecInfo, Codes
from ..errors import DamagedError, InputError
from .bits import pack, packed_size, unpack
from .fields import check_whole, split_header, whole

NAC0_CODEC = CodecInfo("nac-2023", "", 16000, 1, 320, (1024,) * 48)
BLOCK = 100  # frames coded together, by an encoder that looks both ways inside: 2 s
_BLOCK_SAMPLES = BLOCK * NAC0_CODEC.hop
_WIDTH = 10


def read_nac0(data: bytes) -> tuple[Codes, dict[str, str | int | float | None]]:
    """The codes in the bytes of a version 0 file, and its metadata with `bitrate` in kbit/s.

    The length is the one in our metadata, else that of all frames; what fills the last block up is left out. A file of
    less than a block, which the writer of 2023 made from sounds of up to 2 s, has one shorter block.
    """
    (_, _, bitrate), header, body = split_header(data, "!3xBIB")
    if header is not None and not isinstance(header, dict):
        raise DamagedError(f"the metadata should be null or a JSON object, got a {type(header).__name__}")
    levels = 2 * whole(bitrate, 1, NAC0_CODEC.levels // 2, "the bitrate in kbit/s")
    block = BLOCK
    size = packed_size(levels * BLOCK, _WIDTH)
    blocks, rest = divmod(len(body), size)
    if rest and not blocks:
        block, blocks = 8 * rest // (levels * _WIDTH), 1
        rest -= packed_size(levels * block, _WIDTH)
    if rest:
        raise DamagedError(f"expected blocks of {size} bytes, got {len(body)} bytes: cut short")
    metadata = {key: value for key, value in (header or {}).items() if isinstance(value, str | int | float | None)}
    if (metadata.get("sample_rate", 16000), metadata.get("channels", 1)) != (16000, 1):
        raise DamagedError("the codec of 2023 is mono at 16000 Hz, the metadata of this file says otherwise")
    least, most = _lengths(blocks)
    most -= (BLOCK - block) * NAC0_CODEC.hop
    length = whole(metadata.get("length", most), least, most, "the length in samples, of the blocks that are here,")
    values = unpack(body, blocks * levels * block, _WIDTH).reshape(blocks, levels, block)
    codes = Codes(tuple(values.transpose(1, 0, 2).reshape(levels, 1, -1)), length, NAC0_CODEC)
    return codes.cut(0, NAC0_CODEC.frames(length)), {**metadata, "bitrate": bitrate}


def write_nac0(codes: Codes) -> bytes:
    """The version 0 file of one item of nac-2023 codes; the last block is filled up with code 0.

    The length stands in the metadata slot, which readers of 2023 skip.
    """
    check_whole(codes, (NAC0_CODEC.name,), "a .nac of 2023")
    levels, blocks = len(codes.levels), -(-codes.frames // BLOCK)
    if codes.batch != 1 or levels % 2:
        raise InputError(
            f"a .nac of 2023 holds one item with an even number of levels, got {codes.batch} with {levels}"
        )
    least, most = _lengths(blocks)
    if not least <= codes.length <= most:
        raise InputError(f"{codes.frames} frames do not code {codes.length} samples; give one whole file's codes")
    values = np.zeros((levels, blocks * BLOCK), np.int64)
    values[:, : codes.frames] = np.concatenate(codes.levels)
    by_block = values.reshape(levels, blocks, BLOCK).transpose(1, 0, 2)
    header = json.dumps({"length": codes.length, "sample_rate": 16000, "channels": 1}).encode()
    return struct.pack("!3sBIB", b"NAC", 0, len(header), levels // 2) + header + pack(by_block, _WIDTH)


def _lengths(blocks: int) -> tuple[int, int]:
    """The least and the most samples that take so many blocks."""
    return max(0, (blocks - 1) * _BLOCK_SAMPLES + 1) if blocks else 0, blocks * _BLOCK_SAMPLES
