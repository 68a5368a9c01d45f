"""Codes are cut, joined and counted as a stream needs it."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nacre import CodecInfo, Codes, InputError

INFO = CodecInfo("test", "00ff", 24_000, 1, 320, (512, 1024), delay=320, preroll=3)
SNAC = CodecInfo("snac", "", 24_000, 1, 512, (4096,) * 3, strides=(4, 2, 1))


def codes(frames: int, info: CodecInfo = INFO, seed: int = 0, start: int = 0, batch: int = 1) -> Codes:
    random = np.random.default_rng(seed)
    levels = tuple(
        random.integers(0, size, (batch, -(-frames // s)))
        for size, s in zip(info.codebook_sizes, info.strides, strict=True)
    )
    return Codes(levels, info.span(start, start + frames), info, start)


def test_rates_of_the_published_codecs() -> None:
    pearl = CodecInfo("pearl", "", 24_000, 1, 320, (512,) * 9)
    assert pearl.bitrate(2) == 1350
    assert pearl.bitrate() == 6075
    assert SNAC.bitrate() == pytest.approx(984.375)
    dac = CodecInfo("dac", "", 44_100, 1, 512, (1024,) * 9)
    assert dac.bitrate() == pytest.approx(7751.95, abs=0.01)
    assert CodecInfo("hac", "", 24_000, 1, 320, (1 << 18,)).bits == (18,)
    assert CodecInfo("odd", "", 24_000, 1, 320, (513, 2)).bits == (10, 1)


def test_levels_for_a_bitrate_never_exceed_it() -> None:
    pearl = CodecInfo("pearl", "", 24_000, 1, 320, (512,) * 9)
    assert [pearl.levels_for(rate) for rate in (675, 1350, 2699, 2700, 99_000)] == [1, 2, 3, 4, 9]
    with pytest.raises(InputError, match=r"needs at least 0\.675 kbps, got 0\.5"):
        pearl.levels_for(500)


def test_latency_counts_frame_and_delay() -> None:
    assert INFO.latency == pytest.approx(640 / 24_000)
    assert SNAC.latency == pytest.approx(4 * 512 / 24_000)


@pytest.mark.parametrize(("length", "frames"), [(0, 0), (1, 2), (320, 2), (321, 3), (24_000, 76)])
def test_frames_leave_room_for_the_delay(length: int, frames: int) -> None:
    assert INFO.frames(length) == frames
    assert INFO.span(0, frames) >= length


@given(st.integers(0, 40), st.lists(st.integers(0, 40), max_size=6))
def test_cut_pieces_join_to_the_whole(frames: int, cuts: list[int]) -> None:
    whole = codes(frames)
    whole = replace(whole, length=max(0, whole.length - 7))  # the last frame is not full, as in most files
    edges = sorted({0, frames, *(min(cut, frames) for cut in cuts)})
    pieces = [whole.cut(a, b) for a, b in itertools.pairwise(edges)] or [whole]
    assert Codes.join(pieces) == whole
    assert sum(piece.length for piece in pieces) == whole.length
    assert [piece.start for piece in pieces] == (edges[:-1] or [0])


@given(st.integers(1, 8), st.data())
def test_multi_scale_codes_are_cut_where_all_levels_begin(units: int, data: st.DataObject) -> None:
    whole = codes(4 * units, SNAC)
    at = 4 * data.draw(st.integers(0, units))
    assert Codes.join([whole.cut(0, at), whole.cut(at, 4 * units)]) == whole
    with pytest.raises(InputError, match="cut at multiples of 4"):
        whole.cut(0, 4 * units - 1)


def test_scale_and_lost_follow_their_frames() -> None:
    info = replace(INFO, segment=5)
    scale, lost = np.arange(4, dtype=np.float32)[None], np.arange(20) % 3 == 0
    whole = replace(codes(20, info), scale=scale, lost=lost)
    piece = whole.cut(5, 15)
    assert piece.scale is not None and piece.scale.tolist() == [[1, 2]]
    assert piece.lost is not None and piece.lost.tolist() == lost[5:15].tolist()
    assert Codes.join([whole.cut(0, 5), piece, whole.cut(15, 20)]) == whole


def test_head_is_the_same_audio_at_a_lower_rate() -> None:
    whole = codes(10)
    assert whole.head(1).levels[0] is whole.levels[0]
    assert (whole.head(1).length, len(whole.head(1).levels)) == (whole.length, 1)
    assert (whole.packed_bits, whole.head(1).packed_bits) == (190, 90)


def test_equality_sees_every_field() -> None:
    one = codes(6)
    assert one == codes(6)
    others = [
        codes(6, seed=1),
        replace(one, length=1),
        replace(one, start=1),
        one.head(1),
        replace(one, info=replace(INFO, name="x")),
    ]
    others += [replace(one, lost=np.zeros(6, bool)), replace(one, scale=np.ones((1, 1), np.float32))]
    assert all(one != other for other in others)
    assert one != "codes"


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        ((np.zeros((1, 3)), np.zeros((1, 3), int)), "integer array"),
        ((np.zeros(3, int), np.zeros((1, 3), int)), "integer array"),
        ((np.zeros((1, 3), int), np.zeros((1, 2), int)), r"level 1 should have shape \(1, 3\), got \(1, 2\)"),
        ((np.zeros((1, 3), int), np.zeros((2, 3), int)), r"level 1 should have shape \(1, 3\), got \(2, 3\)"),
        ((np.full((1, 3), 512),), "level 0 holds codes from 512 to 512, expected 0 to 511"),
        ((np.full((1, 3), -1),), "holds codes from -1"),
        ((np.zeros((1, 3), int),) * 3, "has 1 to 2 levels, got 3"),
        ((), "has 1 to 2 levels, got 0"),
    ],
)
def test_codes_that_do_not_fit_are_refused(levels: tuple[np.ndarray, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Codes(levels, 100, INFO)


@pytest.mark.parametrize(
    "field",
    [
        {"sample_rate": 0},
        {"hop": 0},
        {"delay": -1},
        {"codebook_sizes": ()},
        {"codebook_sizes": (1,)},
        {"codebook_sizes": ((1 << 20) + 1,)},
        {"codebook_sizes": (512,), "strides": (1, 1)},
        {"strides": (1, 0)},
    ],
)
def test_a_codec_that_cannot_be_is_refused(field: dict[str, object]) -> None:
    with pytest.raises(InputError):
        CodecInfo(**{**vars(INFO), **field})  # type: ignore[arg-type]


def test_pieces_out_of_order_do_not_join() -> None:
    whole = codes(6)
    with pytest.raises(InputError, match="expected frame 3 of test, got 0"):
        Codes.join([whole.cut(0, 3), whole.cut(0, 3)])
    with pytest.raises(InputError, match="nothing to join"):
        Codes.join([])


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"length": -1}, "length and start must fit the frames, got length -1, start 0"),
        ({"start": -1}, "length and start must fit the frames, got length 1600, start -1"),
        ({"lost": np.zeros(5, bool)}, r"lost should mark 6 frames, got shape \(5,\)"),
        ({"lost": np.zeros((1, 6), bool)}, r"lost should mark 6 frames, got shape \(1, 6\)"),
    ],
)
def test_a_place_that_does_not_fit_the_frames_is_refused(bad: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        replace(codes(6), **bad)


def test_no_piece_begins_inside_a_turn_of_all_levels() -> None:
    assert replace(codes(8, SNAC), start=4).start == 4
    with pytest.raises(InputError, match="must fit the frames, got length 4096, start 1"):
        replace(codes(8, SNAC), start=1)


def test_pieces_of_different_batches_do_not_join() -> None:
    with pytest.raises(InputError, match="one batch size, got 1 and 2"):
        Codes.join([codes(3), codes(3, start=3, batch=2)])


def test_codes_show_themselves_in_a_line() -> None:
    assert repr(codes(75)) == "Codes(test, 2 levels, 75 frames, 0.99 s)"
    part = replace(codes(10, start=5, batch=2), lost=np.arange(10) < 3)
    assert repr(part) == "Codes(test, 2 levels, 10 frames, 0.13 s, from frame 5, 3 lost, batch of 2)"


def test_codes_without_a_digest_can_be_vouched_for() -> None:
    unknown = codes(4, replace(INFO, digest="", preroll=0))
    mine = unknown.made_by(INFO)
    assert mine.info == INFO
    assert replace(mine, info=unknown.info) == unknown
    assert mine.made_by(INFO) == mine
    assert unknown.head(1).made_by(replace(INFO, codebook_sizes=(512, 64))).info.codebook_sizes == (512, 64)


@pytest.mark.parametrize(
    "other",
    [
        replace(INFO, name="other"),  # encodec-24k and dac-24k have the same shape
        replace(INFO, digest="11ff"),
        replace(INFO, hop=640),
        replace(INFO, sample_rate=48_000),
        replace(INFO, channels=2),
        replace(INFO, delay=0),
        replace(INFO, segment=4),
        replace(INFO, codebook_sizes=(512, 64)),
        replace(INFO, strides=(2, 1)),
        replace(INFO, codebook_sizes=(512,), strides=(1,)),
    ],
)
def test_nobody_vouches_for_codes_of_another_codec(other: CodecInfo) -> None:
    with pytest.raises(InputError, match="load the model that made them"):
        codes(4).made_by(other)
