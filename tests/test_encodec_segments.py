"""encodec_segments: the package's codes and sound at 48 kHz; any chunks, cuts, gaps and pipes are the file."""

from __future__ import annotations

import io
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from small_encodec import MAKER, golden, small_encodec

from nacre import Codes, InputError, decode_file, encode_file, read, write
from nacre.codecs.encodec import PRESETS, EnCodec
from nacre.container.ecdc import ECDC_CODECS
from nacre.container.nac import NacReader, NacWriter

SIZE, STEP, FRAMES = 3_200, 2_720, 10  # samples of a segment, and between two; frames of one


@pytest.fixture(scope="module")
def codec() -> EnCodec:
    return small_encodec(kind="stereo")


def noise(length: int, batch: int = 1) -> np.ndarray:
    return np.random.default_rng(length).normal(0, 0.2, (batch, 2, length)).astype(np.float32)


def same(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two sounds are the same up to rounding."""
    return a.shape == b.shape and bool(np.abs(a - b).max(initial=0) <= 1e-5 * np.abs(b).max(initial=1))


def test_the_model_is_the_published_one() -> None:
    with torch.device("meta"):
        codec = EnCodec(PRESETS["encodec-48k"], "encodec-48k")
    assert sum(parameter.numel() for parameter in codec.parameters()) == 14_856_294
    assert codec.info == ECDC_CODECS["encodec_48khz"]
    assert [codec.info.levels_for(kbps * 1000) for kbps in (3, 6, 12, 24)] == [2, 4, 8, 16]
    assert codec.info.latency == 1 and codec.info.step == 47_520 and codec.info.frames(97_000) == 307


@pytest.mark.parametrize("length", MAKER.KINDS["stereo"][2])
def test_golden_codes_scales_and_sound_are_ours(codec: EnCodec, length: int) -> None:
    codes = codec.encode(MAKER.sound(length, 2))
    values = np.stack(codes.levels, axis=1)
    if length == 2_725:
        assert not values[:, :, 9].any()  # the first segment has 9 frames; the empty place says nothing
        values = np.delete(values, 9, axis=2)
    assert np.array_equal(values, golden("stereo")[f"codes-{length}"])
    assert codes.scale is not None and np.allclose(codes.scale[0], golden("stereo")[f"scale-{length}"], rtol=1e-6)
    assert same(codec.decode(codes), golden("stereo")[f"wave-{length}"])


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 9_000), st.lists(st.sampled_from([0, 1, 319, STEP, SIZE, 5_000]), max_size=5))
@example(SIZE, [SIZE])
@example(STEP + 160, [STEP, 1])
@example(STEP + 161, [SIZE])
@example(2 * STEP + 1, [SIZE, 0])
@example(0, [0])
def test_any_chunks_are_the_file(codec: EnCodec, length: int, sizes: list[int]) -> None:
    wave, stream, pieces = noise(length), codec.stream(), []
    for part in np.split(wave, np.minimum(np.cumsum(sizes), length), axis=2):
        pieces.append(stream.encode(part))
    pieces.append(stream.encode(wave[:, :, :0], last=True))
    whole = codec.encode(wave)
    assert Codes.join(pieces) == whole and whole.frames == codec.info.frames(length)
    for cuts in (pieces, [whole.cut(at, at + FRAMES) for at in range(0, max(1, whole.frames), FRAMES)]):
        stream = codec.stream()
        sounds = [stream.decode(cut, last=i == len(cuts) - 1) for i, cut in enumerate(cuts)]
        assert np.array_equal(np.concatenate(sounds, axis=2), codec.decode(whole))


def test_a_segment_comes_out_as_soon_as_it_is_whole_but_for_its_overlap(codec: EnCodec) -> None:
    wave, stream = noise(SIZE + STEP), codec.stream()
    assert stream.encode(wave[:, :, : SIZE - 1]).frames == 0
    first = stream.encode(wave[:, :, SIZE - 1 : SIZE])
    assert (first.frames, first.length) == (FRAMES, SIZE)
    assert stream.decode(first).shape[2] == STEP
    second = stream.encode(wave[:, :, SIZE:])
    assert (second.frames, second.length) == (FRAMES, STEP)
    assert stream.decode(second).shape[2] == STEP


def test_each_segment_is_heard_alone_and_fades_into_the_next(codec: EnCodec) -> None:
    codes = codec.encode(noise(2 * STEP))
    whole, alone = codec.decode(codes), codec.decode(codes.cut(0, FRAMES))
    assert np.array_equal(alone[:, :, :STEP], whole[:, :, :STEP]) and alone.shape[2] == SIZE
    later = codec.decode(codes.cut(FRAMES, 2 * FRAMES))
    assert np.array_equal(later, whole[:, :, SIZE:])
    share = np.arange(1, SIZE - STEP + 1) / (SIZE - STEP + 1)
    assert codes.scale is not None
    second = codec.decode_segment(tuple(level[:, FRAMES:] for level in codes.levels), codes.scale[:, 1])
    faded = alone[:, :, STEP:] * (1 - share) + second[:, :, : SIZE - STEP] * share
    assert same(whole[:, :, STEP:SIZE], faded.astype(np.float32))


@pytest.mark.parametrize("lost", [[0], [1], [2], [0, 1, 2, 3], [1, 3]])
def test_lost_segments_are_silent_and_what_follows_is_a_seek(codec: EnCodec, lost: list[int]) -> None:
    codes = codec.encode(noise(3 * STEP + 500))
    mask = np.isin(np.arange(codes.frames) // FRAMES, lost)
    sound = codec.decode(replace(codes, lost=mask))
    assert sound.shape[2] == codes.length
    for k in range(4):
        begin, end = codes.info.span(0, k * FRAMES), min(codes.info.span(0, (k + 1) * FRAMES), codes.length)
        middle = sound[:, :, begin : min(end, (k + 1) * STEP)]
        assert middle.any() == (k not in lost)
    after = max(lost) + 1
    if after < 4:
        assert np.array_equal(
            sound[:, :, codes.info.span(0, after * FRAMES) :], codec.decode(codes.cut(after * FRAMES, codes.frames))
        )


@pytest.mark.parametrize("length", [1, SIZE, STEP + 100, 3 * STEP + 7, 20_000])
def test_a_nac_file_and_a_pipe_hold_all_of_it(codec: EnCodec, length: int, tmp_path: Path) -> None:
    write(tmp_path / "in.wav", noise(length), 32_000)
    encode_file(codec, tmp_path / "in.wav", tmp_path / "coded.nac")
    expected = codec.encode(read(tmp_path / "in.wav").samples)
    for source in (tmp_path / "coded.nac", Pipe((tmp_path / "coded.nac").read_bytes())):
        with NacReader(source) as reader:  # type: ignore[arg-type]
            coded = Codes.join(list(reader.packets()))
        assert (coded.length, coded.info) == (length, codec.info)
        assert replace(coded, info=expected.info) == expected
    outcome = decode_file(lambda info: codec, tmp_path / "coded.nac", tmp_path / "out.wav")
    assert outcome.samples == length
    sound = read(tmp_path / "out.wav").samples
    assert np.abs(sound - codec.decode(expected).clip(-1, 1)).max() < 1e-4


class Pipe(io.BytesIO):
    """Bytes that cannot be gone back in."""

    def seekable(self) -> bool:
        return False


@pytest.mark.parametrize("length", [STEP + 100, 2 * STEP + 160, 3 * STEP + 479])
def test_a_pipe_of_packets_of_one_segment_knows_where_the_sound_ends(codec: EnCodec, length: int) -> None:
    info = replace(codec.info, sample_rate=3_200, codebook_sizes=(1024,) * 60, strides=())  # a packet is one segment
    codes, sink = codec.encode(noise(length)), io.BytesIO()
    many = Codes(codes.levels * 15, length, info, scale=codes.scale)
    with NacWriter(sink, info) as writer:
        assert writer.header.packet_frames == FRAMES
        writer.write(many)
    with NacReader(Pipe(sink.getvalue())) as reader:
        pieces = [Codes(p.levels[:4], p.length, codec.info, p.start, p.scale) for p in reader.packets()]
    stream = codec.stream()
    sounds = [stream.decode(piece, last=i == len(pieces) - 1) for i, piece in enumerate(pieces)]
    assert np.array_equal(np.concatenate(sounds, axis=2), codec.decode(codes))


@pytest.mark.parametrize("length", [100, SIZE, SIZE + 1])
def test_a_batch_is_its_items(codec: EnCodec, length: int) -> None:
    wave = noise(length, batch=3)
    together = codec.encode(wave)
    for i, item in enumerate(wave):
        alone = codec.encode(item[None])
        assert all(np.array_equal(a[0], b[i]) for a, b in zip(alone.levels, together.levels, strict=True))
        assert same(codec.decode(alone)[0], codec.decode(together)[i])


def test_loudness_is_in_the_scale_only(codec: EnCodec) -> None:
    wave = noise(2 * SIZE)
    loud, quiet = codec.encode(wave), codec.encode(wave / 8)  # a power of two, so that nothing is rounded
    assert all(np.array_equal(a, b) for a, b in zip(loud.levels, quiet.levels, strict=True))
    assert loud.scale is not None and quiet.scale is not None
    np.testing.assert_allclose(quiet.scale, loud.scale / 8, rtol=1e-6)
    silent = codec.encode(np.zeros_like(wave))
    assert np.isfinite(codec.decode(silent)).all() and np.abs(codec.decode(silent)).max() < 1e-5


def test_memory_does_not_grow_with_length(codec: EnCodec) -> None:
    block, peaks = noise(SIZE), []
    for count in (5, 50):
        stream = codec.stream()
        tracemalloc.start()
        for _ in range(count):
            stream.decode(stream.encode(block))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 10 * block.nbytes  # of 45 more


def test_training_takes_one_segment(codec: EnCodec) -> None:
    wave = noise(STEP)
    with torch.no_grad():
        passed = codec(torch.from_numpy(wave))
    codes = codec.encode(wave)
    assert all(np.array_equal(a.numpy(), b) for a, b in zip(passed.quantized.levels, codes.levels, strict=True))
    assert same(passed.wave.numpy(), codec.decode(codes))
    with pytest.raises(InputError, match="segments of up to 3200 samples, got 3201"):
        codec(torch.zeros(1, 2, SIZE + 1))


def test_what_does_not_fit_is_refused(codec: EnCodec) -> None:
    codes = codec.encode(noise(2 * STEP))
    with pytest.raises(InputError, match="multiples of 10 frames, got 5"):
        codec.decode(codes.cut(5, 20))
    with pytest.raises(InputError, match="a scale for each of 2 segments"):
        codec.decode(replace(codes, scale=None))
    with pytest.raises(InputError, match="cannot stream"):
        codec.encode_frames(noise(SIZE), codec.new_state(), 2)
    with pytest.raises(InputError, match="overlap by at most half"):
        replace(codec.info, overlap=1_601)
