"""writer: the same bytes however the codes come, and never half a file."""

from __future__ import annotations

import io
import resource
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_codes import CODECS, ENCODEC_48K, PEARL, SNAC, packed, random_codes

from nacre.codes import CodecInfo
from nacre.container import nac
from nacre.container.writer import NacWriter
from nacre.errors import InputError

CODES = random_codes(PEARL, 3, 200)


@settings(max_examples=30)
@given(st.sampled_from(CODECS), st.lists(st.integers(0, 400), max_size=6), st.booleans())
def test_pieces_of_any_size_make_the_same_file(info: CodecInfo, sizes: list[int], raw: bool) -> None:
    codes = random_codes(info, min(3, info.levels), 1000, calm=20)
    unit = nac.Header(info, 1).unit
    sink, at = io.BytesIO(), 0
    with NacWriter(sink, info, len(codes.levels), raw=raw) as writer:
        for size in sizes:
            stop = min(at + size // unit * unit, codes.frames // unit * unit)
            writer.write(codes.cut(at, stop))
            at = stop
        writer.write(codes.cut(at, codes.frames))
    assert sink.getvalue() == packed(codes, raw)


def test_packets_leave_as_soon_as_they_are_full() -> None:
    sink = io.BytesIO()
    writer = NacWriter(sink, PEARL, 8, raw=True)
    codes = random_codes(PEARL, 8, 76)
    writer.write(codes.cut(0, 75))
    assert sink.getvalue() == writer.header.packed
    writer.write(codes.cut(75, 76))
    assert len(sink.getvalue()) == len(writer.header.packed) + 753


def test_more_levels_than_wanted_are_left_out() -> None:
    sink = io.BytesIO()
    with NacWriter(sink, PEARL, 2) as writer:
        writer.write(CODES)
    assert nac.read(sink.getvalue()) == CODES.head(2)


def test_what_does_not_fit_is_refused() -> None:
    writer = NacWriter(io.BytesIO(), PEARL, 3)
    two = replace(CODES, levels=tuple(np.repeat(level, 2, axis=0) for level in CODES.levels))
    for codes, message in (
        (replace(CODES, info=replace(PEARL, name="other")), "holds codes of"),
        (two, "batch of 2"),
        (CODES.cut(100, 200), "start at frame 0, got frame 100"),
        (CODES.head(2), "holds 3 levels, got 2"),
        (replace(CODES, scale=np.ones((1, 1), np.float32)), "no scales"),
        (replace(CODES, length=1 << 49), "at most"),
    ):
        with pytest.raises(InputError, match=message):
            writer.write(codes)
    codes = random_codes(ENCODEC_48K, 2, 300)
    for scale in (None, np.ones((1, 1), np.float32), np.full((1, 2), np.nan, np.float32)):
        with pytest.raises(InputError):
            NacWriter(io.BytesIO(), ENCODEC_48K, 2).write(replace(codes, scale=scale))
    with pytest.raises(InputError, match="1 to 12 levels"):
        NacWriter(io.BytesIO(), PEARL, 13)


def test_nothing_is_left_after_an_exception(tmp_path: Path) -> None:
    path = tmp_path / "x.nac"
    path.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), NacWriter(path, PEARL, 3, overwrite=True) as writer:
        writer.write(CODES)
        raise KeyboardInterrupt
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.nac"]
    assert path.read_bytes() == b"old"
    with pytest.raises(InputError, match="finished"):
        writer.write(CODES)
    with pytest.raises(InputError), NacWriter(tmp_path / "y.nac", PEARL, 3) as writer:
        writer.write(CODES.head(1))
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.nac"]
    nac.write(path, CODES, overwrite=True)
    assert nac.read(path) == CODES
    (tmp_path / "z").touch()
    assert path.stat().st_mode == (tmp_path / "z").stat().st_mode  # as any new file, not hidden from the group


def test_an_existing_file_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "x.nac"
    path.write_bytes(b"old")
    with pytest.raises(InputError, match=r"x\.nac exists; choose another name"):
        nac.write(path, CODES)
    writer = NacWriter(tmp_path / "y.nac", PEARL, 3)
    (tmp_path / "y.nac").write_bytes(b"came between")
    with pytest.raises(InputError, match="exists; choose another name"):
        writer.close()
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["x.nac", "y.nac"]
    assert (tmp_path / "y.nac").read_bytes() == b"came between"
    with pytest.raises(InputError, match=r"the folder .* does not exist"):
        nac.write(tmp_path / "no" / "x.nac", CODES)


def test_stdout_and_plain_objects_take_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stdout:
        buffer = io.BytesIO()

    monkeypatch.setattr(sys, "stdout", Stdout())
    nac.write("-", CODES)
    assert Stdout.buffer.getvalue() == packed(CODES)

    class Slow(io.BytesIO):
        def write(self, data: memoryview) -> int:  # type: ignore[override]
            return super().write(data[:5])

    sink = Slow()
    nac.write(sink, CODES)
    assert sink.getvalue() == packed(CODES)


@pytest.mark.parametrize("size", [40, 4000], ids=["tags", "packets"])
def test_a_full_disk_is_a_sentence_and_leaves_nothing(tmp_path: Path, size: int) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))  # no file may grow beyond
    try:
        with pytest.raises(InputError, match=r"a\.nac cannot be written: File too large"):
            nac.write(tmp_path / "a.nac", random_codes(SNAC, 3, 4000), {"title": "x" * 100})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(tmp_path.iterdir())


def test_lost_packets_stay_lost() -> None:
    header = nac.Header(SNAC, 3)
    codes = random_codes(SNAC, 3, 4 * header.packet_frames)
    lost = np.zeros(codes.frames, np.bool_)
    lost[header.packet_frames : 2 * header.packet_frames] = True
    silent = tuple(
        np.where(np.repeat(lost, 1)[::s], 0, level[0])[None] for s, level in zip((4, 2, 1), codes.levels, strict=True)
    )
    codes = replace(codes, levels=silent, lost=lost)
    data = packed(codes)
    assert len(data) < len(packed(replace(codes, lost=None), raw=True)) - 100
    assert nac.read(data) == codes
    (damage,) = nac.summary(data).damage
    assert (damage.packet, damage.reason) == (1, "lost before the file was written")


@pytest.mark.parametrize("gone", [(3, 9), (80, 81), (165, 170)], ids=["inside", "first", "last packet"])
def test_frames_that_were_lost_never_come_back_as_sound(gone: tuple[int, int]) -> None:
    codes = random_codes(PEARL, 2, 170)
    full = nac.Header(PEARL, 2).packet_frames
    assert full == 80
    lost = np.zeros(170, np.bool_)
    lost[slice(*gone)] = True
    back = nac.read(packed(replace(codes, lost=lost)))
    packet = gone[0] // full
    expected = np.zeros(170, np.bool_)
    expected[packet * full : (packet + 1) * full] = True
    assert back.lost is not None and np.array_equal(back.lost, expected)
    assert back.length == codes.length
    for level, sent in zip(back.levels, codes.levels, strict=True):
        assert np.array_equal(level[0, ~expected], sent[0, ~expected])
