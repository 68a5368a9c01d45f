"""Hostile .nac files end in a plain error or in codes that were really there: no crash, no hang, no memory."""

from __future__ import annotations

import time
import tracemalloc
from pathlib import Path

import pytest
from test_source import Pipe

from nacre.container.nac import NacReader
from nacre.errors import NacreError

FILES = sorted((Path(__file__).parent / "attacks" / "nac").glob("*.nac"))


def drain(data: bytes, pipe: bool) -> tuple[int, int, int]:
    """Pieces, frames not lost, and peak of memory after reading all."""
    tracemalloc.start()
    pieces = frames = 0
    try:
        with NacReader(Pipe(data) if pipe else data) as reader:  # type: ignore[arg-type]
            for piece in reader.packets():
                pieces += 1
                frames += 0 if piece.lost is not None else piece.frames
            assert reader.damage or frames == 0
    except NacreError:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return pieces, frames, peak


@pytest.mark.parametrize("pipe", [False, True])
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_hostile_file_costs_little(path: Path, pipe: bool) -> None:
    data = path.read_bytes()
    start = time.process_time()
    pieces, frames, peak = drain(data, pipe)
    assert time.process_time() - start < 15
    assert peak < 24 << 20
    assert pieces <= len(data) // 3 + 4097
    assert frames == 0 or path.stem == "one-byte-of-entropy-code"


def test_there_are_attacks() -> None:
    assert len(FILES) >= 20
