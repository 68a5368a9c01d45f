"""Lyra v2's `.lyra`: packets of 8, 15 or 23 bytes, one every 20 ms, and nothing else, not even which of these.

A packet holds the codes of one frame, four bits each, the first level in the upper half of the first byte.
"""

from __future__ import annotations

import numpy as np

from ..codes import CodecInfo, Codes
from ..errors import InputError
from .fields import check_whole

LYRA_CODEC = CodecInfo(
    name="lyra-v2",
    digest="",
    sample_rate=16_000,
    channels=1,
    hop=320,
    codebook_sizes=(16,) * 46,
    preroll=25,  # dilated convolutions at 100 Hz hear 13 frames, those at 200 Hz 7, the others a few more
)
BITRATES = {3_200: 16, 6_000: 30, 9_200: 46}  # bit/s: levels


def read_lyra(data: bytes, bitrate: int) -> Codes:
    """The codes in a `.lyra` file of 3200, 6000 or 9200 bit/s; bytes that fill no packet at the end are ignored."""
    levels = BITRATES.get(bitrate)
    if levels is None:
        raise InputError(f"Lyra has 3200, 6000 and 9200 bit/s, got {bitrate}; its files do not say which they are")
    size = levels // 2
    frames = len(data) // size
    octets = np.frombuffer(data, np.uint8, frames * size).reshape(frames, size)
    codes = np.stack([octets >> 4, octets & 15], axis=2).reshape(1, frames, levels).astype(np.int64)
    return Codes(tuple(codes.transpose(2, 0, 1)), frames * LYRA_CODEC.hop, LYRA_CODEC)


def write_lyra(codes: Codes) -> bytes:
    """One packet a frame; the samples of a last frame that is not whole come back with zeros behind them."""
    check_whole(codes, (LYRA_CODEC.name,), ".lyra")
    if codes.batch != 1 or len(codes.levels) not in BITRATES.values():
        raise InputError(
            f"a .lyra file holds one sound in 16, 30 or 46 levels of lyra-v2, got {codes!r}; take fewer by codes.head()"
        )
    nibbles = np.stack([level[0] for level in codes.levels], axis=1)
    if nibbles.size and nibbles.max() > 15:
        raise InputError(f"the codes of a .lyra file run from 0 to 15, got {nibbles.max()}; Lyra made no such codes")
    octets = (nibbles[:, ::2] << 4 | nibbles[:, 1::2]).astype(np.uint8)
    return bytes(octets)
