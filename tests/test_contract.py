"""Stream: chunks of any size are the file, for a codec whose every sample can be checked by hand."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nacre import CodecContract, CodecInfo, Codes, DamagedError, InputError
from nacre.codes import Level
from nacre.contract import Wave

HOP, DELAY = 4, 3


@dataclass
class Memory:
    """What the toy codec remembers: the last samples that went out."""

    late: np.ndarray = field(default_factory=lambda: np.zeros((1, 1, DELAY), np.float32))
    calls: int = 0


class Toy(CodecContract):
    """Codes are sums of whole samples, sounds are the sums spread over their frame, three samples late."""

    info = CodecInfo("toy", "01", 8, 1, HOP, (1 << 20,), delay=DELAY, preroll=1)

    def new_state(self) -> Memory:
        return Memory()

    def encode_frames(self, wave: Wave, state: Memory, levels: int) -> tuple[Level, ...]:
        state.calls += 1
        total = wave.reshape(wave.shape[0], -1, HOP).sum(-1).astype(np.int64)
        return (total,) * levels

    def decode_frames(self, levels: tuple[Level, ...], state: Memory) -> Wave:
        sound = np.repeat(levels[0][:, None], HOP, axis=2).astype(np.float32)
        late = np.broadcast_to(state.late, (sound.shape[0], 1, DELAY))
        sound = np.concatenate([late, sound], axis=2)
        state.late = sound[:, :, -DELAY:]
        return sound[:, :, :-DELAY]


def ramp(length: int, batch: int = 1) -> Wave:
    return np.arange(batch * length, dtype=np.float32).reshape(batch, 1, length) % 1000


def chunks(wave: Wave, sizes: list[int]) -> list[Wave]:
    edges = np.minimum(np.cumsum([0, *sizes]), wave.shape[2]).tolist()
    return [wave[:, :, a:b] for a, b in zip(edges, [*edges[1:], wave.shape[2]], strict=True)]


@settings(max_examples=60)
@given(st.integers(0, 300), st.lists(st.integers(0, 40), max_size=12), st.lists(st.integers(0, 9), max_size=12))
def test_any_chunks_give_the_codes_and_the_sound_of_the_file(length: int, sizes: list[int], frames: list[int]) -> None:
    toy, wave = Toy(), ramp(length)
    whole = toy.encode(wave)
    stream, parts = toy.stream(), chunks(wave, sizes)
    pieces = [stream.encode(part, last=i == len(parts) - 1) for i, part in enumerate(parts)]
    assert Codes.join(pieces) == whole
    edges = np.minimum(np.cumsum([0, *frames]), whole.frames).tolist()
    sounds = [stream.decode(whole.cut(a, b)) for a, b in zip(edges, [*edges[1:], whole.frames], strict=True)]
    assert [sound.shape[2] for sound in sounds] == [
        whole.cut(a, b).length for a, b in zip(edges, [*edges[1:], whole.frames], strict=True)
    ]
    assert np.array_equal(np.concatenate(sounds, axis=2), toy.decode(whole))
    assert toy.decode(whole).shape == wave.shape


def test_sound_is_aligned_and_as_long_as_what_went_in() -> None:
    toy, wave = Toy(), ramp(11)
    # frames of 4, so 6, 22 and 27 (8 + 9 + 10, the rest is silence); a fourth frame brings out what lags
    assert toy.encode(wave).levels[0].tolist() == [[6, 22, 27, 0]]
    assert toy.decode(toy.encode(wave))[0, 0].tolist() == [6] * 4 + [22] * 4 + [27] * 3


def test_a_long_file_is_coded_in_blocks_and_gives_the_same() -> None:
    toy, wave = Toy(), ramp(8 * 25)  # 25 seconds, coded 10 at a time
    stream = toy.stream()
    whole = stream.encode(wave, last=True)
    assert stream._encoder.calls == 3
    assert np.array_equal(whole.levels[0][0, :50], wave.reshape(-1, HOP).sum(1))


def test_lost_frames_are_silent_and_the_decoder_begins_anew() -> None:
    toy = Toy()
    codes = toy.encode(ramp(24) + 1)
    lost = np.zeros(codes.frames, bool)
    lost[2:4] = True
    sound = toy.decode(replace(codes, lost=lost))[0, 0]
    clean = toy.decode(codes)[0, 0]
    begin, end = 2 * HOP - DELAY, 4 * HOP - DELAY
    assert sound.shape == clean.shape
    assert np.array_equal(sound[:begin], clean[:begin])
    assert not sound[begin:end].any()
    assert not sound[end : end + DELAY].any()  # what lagged was lost with the gap
    assert np.array_equal(sound[end + DELAY :], clean[end + DELAY :])


def test_a_piece_from_the_middle_gives_the_samples_of_its_place() -> None:
    toy = Toy()
    codes = toy.encode(ramp(40))
    sound, piece = toy.decode(codes), codes.cut(3, 7)
    begin = codes.info.span(0, 3)
    preroll = codes.info.preroll * HOP
    part = toy.decode(piece)
    assert part.shape[2] == piece.length == 4 * HOP
    assert np.array_equal(part[0, 0, preroll:], sound[0, 0, begin + preroll : begin + part.shape[2]])


def test_two_streams_on_one_codec_do_not_disturb_each_other() -> None:
    toy, one, two = Toy(), ramp(30), ramp(30) + 7
    a, b = toy.stream(), toy.stream()
    pieces = [
        (a.encode(one[:, :, i : i + 5], i == 25), b.encode(two[:, :, i : i + 5], i == 25)) for i in range(0, 30, 5)
    ]
    assert Codes.join([p[0] for p in pieces]) == toy.encode(one)
    assert Codes.join([p[1] for p in pieces]) == toy.encode(two)


def test_a_batch_is_its_items() -> None:
    toy, wave = Toy(), ramp(22, batch=3)
    together = toy.encode(wave).levels[0]
    assert [toy.encode(item[None]).levels[0][0].tolist() for item in wave] == together.tolist()


@pytest.mark.parametrize(
    ("wave", "message"),
    [
        (
            np.zeros((1, 2, 9), np.float32),
            r"expects float samples \[batch, 1, sample\] at 8 Hz, got float32 of shape \[1, 2, 9\]",
        ),
        (np.zeros(9, np.float32), r"got float32 of shape \[9\]"),
        (np.zeros((0, 1, 9), np.float32), r"got float32 of shape \[0, 1, 9\]"),
        (np.zeros((1, 1, 9), np.int16), "got int16"),
        (np.full((1, 1, 9), np.nan, np.float32), "NaN or infinite"),
    ],
)
def test_waves_that_do_not_fit_are_refused(wave: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Toy().encode(wave)


def test_misuse_of_a_stream_is_told() -> None:
    toy = Toy()
    stream, codes = toy.stream(), toy.encode(ramp(40))
    stream.encode(ramp(4), last=True)
    with pytest.raises(InputError, match="this stream has ended"):
        stream.encode(ramp(4))
    stream.decode(codes.cut(0, 2))
    with pytest.raises(InputError, match="expected codes that start at frame 2, got frame 5"):
        stream.decode(codes.cut(5, 6))
    with pytest.raises(InputError, match="made by other"):
        toy.decode(replace(codes, info=replace(toy.info, name="other")))
    with pytest.raises(InputError, match="has 1 to 1 levels, got 2"):
        toy.encode(ramp(4), levels=2)
    for levels in ("1", 1.0):
        with pytest.raises(InputError, match=f"has 1 to 1 levels, got {levels!r}"):
            toy.encode(ramp(4), levels=levels)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="takes the Codes that encode gives, got ndarray"):
        toy.decode(ramp(4))  # type: ignore[arg-type]
    stream = toy.stream()
    stream.encode(ramp(3))
    stream.decode(codes.cut(0, 2))
    two = Codes(tuple(np.repeat(level, 2, axis=0) for level in codes.levels), codes.length, codes.info)
    with pytest.raises(InputError, match="began with a batch of 1, got 2"):
        stream.encode(np.concatenate([ramp(3), ramp(3)]))
    with pytest.raises(InputError, match="began with a batch of 1, got 2"):
        stream.decode(two.cut(2, 4))


@pytest.mark.parametrize("lie", [{"hop": 8}, {"sample_rate": 16}, {"channels": 2}, {"codebook_sizes": (1 << 19,)}])
def test_a_name_and_a_digest_do_not_make_codes_of_ours(lie: dict[str, Any]) -> None:
    codes = Toy().encode(ramp(40))
    with pytest.raises(DamagedError, match="call themselves those of toy"):
        Toy().decode(Codes(codes.levels, 40, replace(Toy.info, **lie)))


def test_numbers_beyond_float32_are_no_samples() -> None:
    with pytest.raises(InputError, match="NaN or infinite"):
        Toy().encode(np.full((1, 1, 4), 1e300))


class Filler(Toy):
    """A toy that makes up to two lost frames up: they sound like 100."""

    info = replace(Toy.info, conceals=2)

    def decode_frames(self, levels: tuple[Level, ...], state: Memory) -> Wave:
        return super().decode_frames(tuple(np.where(level < 0, 100, level) for level in levels), state)


def heard(codes: Codes, chunk: int) -> np.ndarray:
    stream = Filler().stream()
    return np.concatenate(
        [stream.decode(codes.cut(i, min(i + chunk, codes.frames))) for i in range(0, codes.frames, chunk)], axis=2
    )[0, 0]


@pytest.mark.parametrize("chunk", [1, 2, 3, 100])
def test_a_gap_is_made_up_then_fades_then_is_silent_in_chunks_of_any_size(chunk: int) -> None:
    codes = Filler().encode(ramp(48))
    lost = np.zeros(codes.frames, bool)
    lost[2:7] = True
    sound, clean = heard(replace(codes, lost=lost), chunk), Filler().decode(codes)[0, 0]
    begin = 2 * HOP
    assert np.array_equal(sound[: begin - DELAY], clean[: begin - DELAY])
    assert np.array_equal(sound[begin - DELAY : begin], clean[begin - DELAY : begin])  # what lagged still comes
    assert (sound[begin : begin + 2 * HOP - DELAY] == 100).all()
    fade = sound[begin + 2 * HOP - DELAY : begin + 3 * HOP - DELAY]
    assert np.allclose(fade, [100, 200 / 3, 100 / 3, 0])
    assert not sound[begin + 3 * HOP - DELAY : 7 * HOP].any()
    assert np.array_equal(sound[7 * HOP :], clean[7 * HOP :])


def test_a_short_gap_leaves_the_decoder_as_it_was_and_a_gap_before_the_first_frame_is_silent() -> None:
    codes = Filler().encode(ramp(48))
    lost = np.zeros(codes.frames, bool)
    lost[[0, 4, 5]] = True
    sound, clean = Filler().decode(replace(codes, lost=lost))[0, 0], Filler().decode(codes)[0, 0]
    assert not sound[: HOP - DELAY].any()
    assert (sound[4 * HOP : 6 * HOP] == 100).all()
    assert np.array_equal(sound[6 * HOP :], clean[6 * HOP :])
