"""ecdc: EnCodec's own files in and out, byte for byte, and every lie a header can tell."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nacre.codes import Codes
from nacre.container.ecdc import ECDC_CODECS, read_ecdc, segment_frames, segment_places, write_ecdc
from nacre.errors import DamagedError, InputError

GOLDEN = Path(__file__).parent / "golden" / "legacy"
MONO, STEREO = ECDC_CODECS["encodec_24khz"], ECDC_CODECS["encodec_48khz"]


def some_codes(name: str, levels: int, length: int, rounded: bool = False) -> Codes:
    """Random codes of a whole file, with code 0 in places that no segment fills."""
    info, rng = ECDC_CODECS[name], np.random.default_rng(length)
    layout = segment_frames(info, length, rounded)
    values = rng.integers(0, 1024, (levels, 1, segment_places(info, layout)))
    for i, frames in enumerate(layout[:-1]):
        values[:, :, i * 150 + frames : (i + 1) * 150] = 0
    scale = rng.random((1, len(layout)), np.float32) if info.segment else None
    return Codes(tuple(values), length, info, scale=scale)


def file(body: bytes = b"", version: int = 0, **header: Any) -> bytes:
    text = json.dumps({"m": "encodec_24khz", "al": 24000, "nc": 2, "lm": False, **header}).encode()
    return struct.pack("!4sBI", b"ECDC", version, len(text)) + text + body


@pytest.mark.parametrize("name", ["24k-1500.ecdc", "24k-6000.ecdc", "48k-stereo.ecdc", "48k-short-tail.ecdc"])
def test_golden_files_decode_to_their_codes_and_back(name: str) -> None:
    data, expected = (GOLDEN / name).read_bytes(), np.load(GOLDEN / f"{name}.npz")
    codes, metadata = read_ecdc(data)
    values = np.concatenate(codes.levels)
    if name == "48k-short-tail.ecdc":
        assert values[:, 299].sum() == 0  # 150, 149 and 1 frames: the second segment leaves a place empty
        values = np.delete(values, 299, axis=1)
    assert np.array_equal(values, expected["codes"])
    assert metadata["al"] == codes.length == expected["length"]
    assert (codes.scale is None) == (codes.info is MONO)
    if codes.scale is not None:
        assert np.array_equal(codes.scale[0], expected["scale"])
    assert write_ecdc(codes) == data


def test_bytes_that_the_specification_states() -> None:
    values = np.zeros((2, 1, 75), np.int64)
    values[:, 0, :2] = [[448, 448], [821, 0]]
    data = write_ecdc(Codes(tuple(values), 24000, MONO))
    assert len(data) == 254 == 9 + 57 + 188
    assert data[9:66] == b'{"m": "encodec_24khz", "al": 24000, "nc": 2, "lm": false}'
    assert data[66:69] == bytes.fromhex("c0d50c")


@given(st.sampled_from(sorted(ECDC_CODECS)), st.integers(1, 16), st.integers(0, 4 * 48000), st.booleans())
def test_what_we_write_comes_back(name: str, levels: int, length: int, rounded: bool) -> None:
    codes = some_codes(name, levels, length, rounded)
    read, metadata = read_ecdc(write_ecdc(codes))
    assert read == codes
    assert metadata == {"m": name, "al": length, "nc": levels, "lm": False}


def test_segments_are_those_that_the_official_model_makes() -> None:
    assert segment_frames(STEREO, 2 * 48000 + 1000) == (150, 150, 7)
    assert segment_frames(STEREO, 48000) == (150, 2)
    assert segment_frames(STEREO, 47520) == (149,)
    assert segment_frames(STEREO, 2 * 47520 + 100) == (150, 149, 1)
    assert segment_frames(STEREO, 0) == segment_frames(MONO, 0) == ()
    assert segment_frames(MONO, 100) == (1,)
    assert segment_frames(MONO, 24001) == (76,)


def test_rounding_of_the_old_reader_is_known_for_every_length() -> None:
    odd = [n for n in range(1, 47521) if segment_frames(STEREO, n) != segment_frames(STEREO, n, rounded=True)]
    assert odd[:5] == [6720, 13440, 16320, 26880, 32640]
    assert len([n for n in range(320, 240000, 320) if segment_frames(MONO, n) != segment_frames(MONO, n, True)]) == 37


@pytest.mark.parametrize("length", [6720, 13440, 47520 + 6720])
def test_a_file_with_the_frame_that_the_old_reader_expects_is_read(length: int) -> None:
    plain, longer = (write_ecdc(some_codes("encodec_48khz", 4, length, rounded)) for rounded in (False, True))
    assert len(longer) == len(plain) + 5
    assert read_ecdc(longer)[0].frames == read_ecdc(plain)[0].frames + 1


def test_each_segment_may_be_cut_out_with_its_own_scale() -> None:
    codes = some_codes("encodec_48khz", 2, 2 * 47520 + 100)
    assert codes.scale is not None
    pieces = [codes.cut(i, i + 150) for i in range(0, 301, 150)]
    assert [piece.scale.tolist() for piece in pieces if piece.scale is not None] == [[[s]] for s in codes.scale[0]]
    assert Codes.join(pieces) == codes


@pytest.mark.parametrize(
    "data",
    [
        file(b"x" * 187),
        file(b"x" * 189),
        file(),
        file(al=2**40),
        file(al=2**41),
        file(al=-1),
        file(al=24000.0),
        file(al=True),
        file(al=None),
        file(al=10**30),
        file(nc=0),
        file(nc=33),
        file(nc="2"),
        file(nc=2**31),
        file(lm=None),
        file(lm=0),
        file(m="encodec_48khz", nc=17),
        file(m="encodec_48khz", al=2**40, nc=1),
        file(struct.pack("!f", np.nan) + b"xxx", m="encodec_48khz", al=1),
        file(struct.pack("!f", np.inf) + b"xxx", m="encodec_48khz", al=1),
        file(struct.pack("!f", -1) + b"xxx", m="encodec_48khz", al=1),
    ],
)
def test_lies_are_damage(data: bytes) -> None:
    with pytest.raises(DamagedError):
        read_ecdc(data)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (file(b"x" * 188, lm=True), "language model"),
        (file(b"x" * 188, version=1), "version 0"),
        (file(b"x" * 188, m="encodec_16khz"), "encodec_16khz"),
        (file(b"x" * 188, m=[[[]]]), "no name"),
        (struct.pack("!4sBI", b"ECDC", 0, 4) + b"null", "JSON object"),
    ],
)
def test_what_we_cannot_read_is_said(data: bytes, words: str) -> None:
    with pytest.raises(InputError, match=words):
        read_ecdc(data)


class Guess:
    """A language model of whole numbers: it expects each level to say what it said, and remembers for one segment."""

    def predictor(self, levels: int) -> Callable[[np.ndarray | None], np.ndarray]:
        def predict(before: np.ndarray | None) -> np.ndarray:
            counts = np.full((levels, 1024), 4096, np.int64)
            if before is not None:
                counts[np.arange(levels), before] += 1 << 23
            return np.cumsum(counts, axis=1)

        return predict


@settings(max_examples=30)
@given(st.sampled_from(sorted(ECDC_CODECS)), st.integers(1, 4), st.integers(0, 110_000))
def test_a_language_model_packs_and_unpacks(name: str, levels: int, length: int) -> None:
    codes = some_codes(name, levels, length)
    calm = replace(codes, levels=tuple(level * 0 + 7 * (level.size > 0) for level in codes.levels))
    for each in (codes, calm):
        layout, places = segment_frames(each.info, length), np.zeros(each.frames, bool)
        for i, frames in enumerate(layout):
            places[i * 150 : i * 150 + frames] = True
        each = replace(each, levels=tuple(level * (places | (not each.info.segment)) for level in each.levels))
        data = write_ecdc(each, Guess())
        read, metadata = read_ecdc(data, Guess())
        assert read == each and metadata["lm"] is True
    if length > 48_000:
        assert len(data) < len(write_ecdc(each)) / 2


def test_packed_files_that_lie_are_damage() -> None:
    data = write_ecdc(some_codes("encodec_48khz", 2, 50_000), Guess())
    for broken in (data[:-1], data[:90], data + b"\0"):
        with pytest.raises(DamagedError, match=r"cut short|follow the codes|no symbol"):
            read_ecdc(broken, Guess())
    with pytest.raises(DamagedError, match="cannot hold codes for"):
        read_ecdc(file(b"x" * 100, lm=True, al=2**40), Guess())
    with pytest.raises(DamagedError, match="cannot hold codes for"):  # so many would fit, and fill the memory
        read_ecdc(file(b"x" * 2_500_000, lm=True, al=2**40), Guess())


def test_codes_that_do_not_fit_are_refused() -> None:
    mono, stereo = some_codes("encodec_24khz", 2, 3200), some_codes("encodec_48khz", 2, 48000)
    for codes, words in (
        (replace(mono, length=3201), "11 frames for 3201 samples"),
        (replace(stereo, scale=None), "one scale for each of 2"),
        (replace(stereo, scale=np.ones((1, 3), np.float32)), "one scale for each of 2"),
        (replace(mono, levels=(np.zeros((2, 10), np.int64),)), "one item"),
        (replace(mono, info=replace(MONO, name="pearl-24k")), "got pearl-24k"),
        (mono.cut(2, 10), "whole files"),
    ):
        with pytest.raises(InputError, match=words):
            write_ecdc(codes)
