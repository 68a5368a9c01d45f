"""Pictures of sound, as PNG, with numpy and zlib alone: for people who would rather look than read."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .atomic import write_whole

Picture = NDArray[np.uint8]  # [height, width, 3]
WINDOW, FLOOR = 1024, -80.0  # samples of a spectrum; decibels below the loudest that are still drawn
PAPER = 255
SCALE = 2  # pixels a dot of a letter
# dark blue to pale yellow over purple and orange: light grows evenly, so that it also reads in grey
COLOURS = np.array([[8, 8, 32], [64, 16, 104], [152, 40, 112], [224, 88, 72], [248, 168, 72], [252, 248, 200]])
# The letters that captions need: seven rows of five dots, a hexadecimal number a row, the left dot worth 16.
LETTERS = {
    "0": "0e 11 13 15 19 11 0e", "1": "04 0c 04 04 04 04 0e", "2": "0e 11 01 02 04 08 1f", "3": "1f 02 04 02 01 11 0e",
    "4": "02 06 0a 12 1f 02 02", "5": "1f 10 1e 01 01 11 0e", "6": "06 08 10 1e 11 11 0e", "7": "1f 01 02 04 08 08 08",
    "8": "0e 11 11 0e 11 11 0e", "9": "0e 11 11 0f 01 02 0c", ".": "00 00 00 00 00 0c 0c", "a": "00 00 0e 01 0f 11 0f",
    "b": "10 10 16 19 11 11 1e", "g": "00 00 0f 11 0f 01 06", "i": "04 00 0c 04 04 04 0e", "k": "10 10 12 14 18 14 12",
    "l": "0c 04 04 04 04 04 0e", "n": "00 00 16 19 11 11 11", "o": "00 00 0e 11 11 11 0e", "p": "00 00 1e 11 1e 10 10",
    "r": "00 00 16 19 10 10 10", "s": "00 00 0e 10 0e 01 1e", " ": "00 00 00 00 00 00 00",
}  # fmt: skip


def spectrogram(wave: NDArray[np.float32], width: int = 900, height: int = 256) -> Picture:
    """A picture of `wave` `[T]`: time to the right, zero Hz at the bottom, half the sample rate at the top."""
    starts = np.linspace(0, max(0, len(wave) - WINDOW), width).astype(int)
    padded = np.pad(wave, (0, WINDOW))
    frames = np.stack([padded[s : s + WINDOW] for s in starts]) * np.hanning(WINDOW)
    power = np.abs(np.fft.rfft(frames)) ** 2
    rows = np.linspace(0, power.shape[1], height + 1).astype(int)
    bands = np.add.reduceat(power, rows[:-1], axis=1) / np.diff(rows)
    level = 10 * np.log10(bands + 1e-12)
    place = np.clip((level - level.max() - FLOOR) / -FLOOR, 0, 1).T[::-1] * (len(COLOURS) - 1)
    below = np.minimum(place.astype(int), len(COLOURS) - 2)
    part = (place - below)[..., None]
    return np.asarray(COLOURS[below] * (1 - part) + COLOURS[below + 1] * part, np.uint8)


def caption(picture: Picture, text: str) -> Picture:
    """The picture with a line of text above it; letters that are not in `LETTERS` stay blank."""
    dots = np.zeros((9, picture.shape[1] // SCALE), np.bool_)
    for i, letter in enumerate(text[: dots.shape[1] // 6]):
        numbers = np.array([[int(row, 16)] for row in LETTERS.get(letter, LETTERS[" "]).split()])
        dots[1:8, 6 * i : 6 * i + 5] = numbers >> np.arange(4, -1, -1) & 1
    line = np.full((9 * SCALE, picture.shape[1], 3), PAPER, np.uint8)
    line[:, : dots.shape[1] * SCALE][dots.repeat(SCALE, 0).repeat(SCALE, 1)] = COLOURS[0]
    return np.concatenate([line, picture])


def stack(pictures: list[Picture], gap: int = 8) -> Picture:
    """Pictures of one width, one under another."""
    space = np.full((gap, pictures[0].shape[1], 3), PAPER, np.uint8)
    return np.concatenate([part for picture in pictures for part in (picture, space)][:-1])


def write_png(path: str | Path, picture: Picture) -> None:
    """Write a picture as a PNG file."""
    height, width, _ = picture.shape
    lines = np.concatenate([np.zeros((height, 1), np.uint8), picture.reshape(height, -1)], axis=1)  # 0: unfiltered
    chunks = {
        b"IHDR": struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0),
        b"IDAT": zlib.compress(lines.tobytes(), 9),
        b"IEND": b"",
    }
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks.items()
    )
    write_whole(path, b"\x89PNG\r\n\x1a\n" + body, overwrite=True)
