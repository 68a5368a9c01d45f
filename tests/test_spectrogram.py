from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from nacre.spectrogram import COLOURS, LETTERS, PAPER, SCALE, Picture, caption, spectrogram, stack, write_png


def tone(hz: float, seconds: float = 1.0, rate: int = 24000) -> np.ndarray:
    return np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate).astype(np.float32)


@pytest.mark.parametrize("hz", [1500, 6000, 10500])
def test_a_tone_is_a_bright_line_at_its_height(hz: float) -> None:
    picture = spectrogram(tone(hz), width=50, height=128)
    brightness = picture.astype(int).sum(axis=2)[:, 5:-5].mean(axis=1)
    assert abs(int(brightness.argmax()) - 128 * (1 - hz / 12000)) <= 1.5
    assert brightness.max() > 2 * np.median(brightness)


def test_time_runs_to_the_right() -> None:
    wave = np.concatenate([np.zeros(24000, np.float32), tone(3000)])
    bright = spectrogram(wave, width=100, height=64).astype(int).sum(axis=(0, 2))
    assert bright[60:].min() > bright[:45].max()


@pytest.mark.parametrize("samples", [0, 1, 500])
def test_sounds_shorter_than_a_window_and_silence_are_drawn_too(samples: int) -> None:
    assert spectrogram(np.zeros(samples, np.float32), 30, 20).shape == (20, 30, 3)


def test_captions_are_letters_on_paper_above_the_picture() -> None:
    picture = np.zeros((10, 90, 3), np.uint8)
    blank, written = caption(picture, "~~"), caption(picture, "1.5 kbps and more than fits")
    assert blank.shape == written.shape == (10 + 9 * SCALE, 90, 3)
    assert (blank[:-10] == PAPER).all() and np.array_equal(written[-10:], picture)
    one = (written[:-10, : 6 * SCALE] == COLOURS[0]).all(axis=2)[SCALE : 8 * SCALE : SCALE, : 5 * SCALE : SCALE]
    assert ["".join("#" if dot else "." for dot in row) for row in one] == [
        "..#..", ".##..", "..#..", "..#..", "..#..", "..#..", ".###."
    ]  # fmt: skip
    assert set("original 0123456789. kbps") <= LETTERS.keys()
    assert all(len(rows.split()) == 7 and max(int(row, 16) for row in rows.split()) < 32 for rows in LETTERS.values())


def test_pictures_stack_with_paper_between() -> None:
    black = np.zeros((2, 3, 3), np.uint8)
    whole = stack([black, black], gap=4)
    assert whole.shape == (8, 3, 3)
    assert (whole[2:6] == PAPER).all() and not whole[:2].any() and not whole[6:].any()


def read_png(path: Path) -> Picture:
    """What a reader of the specification makes of the file."""
    data, at, chunks = path.read_bytes(), 8, {}
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        body = data[at + 8 : at + 8 + size]
        assert struct.unpack_from(">I", data, at + 8 + size)[0] == zlib.crc32(kind + body)
        chunks[kind] = body
        at += 12 + size
    width, height, depth, colour, *rest = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    assert (depth, colour, *rest) == (8, 2, 0, 0, 0) and chunks[b"IEND"] == b""
    lines = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, 1 + 3 * width)
    assert not lines[:, 0].any()
    return lines[:, 1:].reshape(height, width, 3)


def test_a_png_holds_the_picture(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (7, 5, 3)).astype(np.uint8)
    write_png(tmp_path / "a.png", picture)
    assert np.array_equal(read_png(tmp_path / "a.png"), picture)
