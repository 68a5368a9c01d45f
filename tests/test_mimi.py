"""Mimi: sizes as published, chunks are the file, memory does not grow, parts that learn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from small_mimi import CONFIG, small_mimi
from streamed import assert_batch_is_its_items, streamed

from nacre import Codes, decode_file, encode_file, read, write
from nacre.codecs.mimi import PRESETS, Mimi

HOP = 1_920


@pytest.fixture(scope="module")
def codec() -> Mimi:
    return small_mimi()


def noise(length: int, batch: int = 1) -> np.ndarray:
    return np.random.default_rng(length).normal(0, 0.3, (batch, 1, length)).astype(np.float32)


def test_mimi_24k_is_the_published_one() -> None:
    with torch.device("meta"):
        codec = Mimi()
    assert sum(parameter.numel() for parameter in codec.parameters()) == 79_308_609
    info = codec.info
    assert (codec.config, info.name) == (PRESETS["mimi-24k"], "mimi-24k")
    assert (info.sample_rate, info.hop, info.frame_rate, info.levels) == (24_000, HOP, 12.5, 32)
    assert (info.bitrate(8), info.bitrate(), info.levels_for(1_100)) == (1_100, 4_400, 8)
    assert (info.latency, info.lookahead, info.delay) == (0.08, 0, 0)
    assert info.preroll == 1_001  # 8 layers reach back 249 positions each


@settings(max_examples=15)
@given(st.integers(0, 12_000), st.lists(st.sampled_from([0, 1, 17, 320, 509, 1_920, 4_001]), max_size=8))
@example(2 * HOP, [HOP, HOP, 0])
@example(HOP - 1, [1])
@example(0, [0])
def test_stream_is_file(codec: Mimi, length: int, sizes: list[int]) -> None:
    wave = noise(length)
    codes, sound = streamed(codec, wave, sizes)
    assert codes == codec.encode(wave)
    assert codes.frames == -(-length // HOP)
    whole = codec.decode(codes)
    assert sound.shape == whole.shape == wave.shape
    assert np.abs(sound - whole).max(initial=0) < 2e-6


def test_a_long_file_in_blocks_is_one_pass(codec: Mimi) -> None:
    wave = noise(125 * HOP + 1_000)  # the second block ends with a piece of a frame
    with torch.inference_mode():
        once = [level.numpy() for level in codec.quantizer.encode(codec.encoder(torch.from_numpy(wave)))]
        sound = codec.decoder(codec.quantizer.decode([torch.from_numpy(level) for level in once])).numpy()
    codes = codec.encode(wave)
    assert all(np.array_equal(a, b) for a, b in zip(codes.levels, once, strict=True))
    assert all(len(np.unique(level)) > 4 for level in once)  # else equal codes would say little
    assert np.abs(codec.decode(codes) - sound[:, :, : wave.shape[2]]).max() < 2e-6


@pytest.mark.parametrize("length", [1, HOP + 1, 10_000])
def test_a_batch_is_its_items(codec: Mimi, length: int) -> None:
    assert_batch_is_its_items(codec, noise(length, batch=3), 2e-6)


def test_memory_of_a_stream_does_not_grow(codec: Mimi) -> None:
    encoder, decoder, sizes = codec.new_state(), codec.new_state(), set()
    for _ in range(40):
        levels = codec.encode_frames(noise(HOP), encoder, 5)
        codec.decode_frames(levels, decoder)
        sizes.add(sum(tensor.numel() for state in (encoder, decoder) for tensor in state.tensors()))
    assert len(sizes) == 1


def test_no_frame_hears_the_future(codec: Mimi) -> None:
    wave, frame = noise(30 * HOP), 17
    other = wave.copy()
    other[:, :, frame * HOP :] += 0.5
    codes, changed = codec.encode(wave), codec.encode(other)
    assert codes.cut(0, frame) == changed.cut(0, frame)
    assert any(a[0, frame] != b[0, frame] for a, b in zip(codes.levels, changed.levels, strict=True))
    place = (codec.decode(codes) != codec.decode(changed))[0, 0].argmax()
    assert frame * HOP <= place < (frame + 1) * HOP


def test_the_first_sound_comes_after_one_frame(codec: Mimi) -> None:
    stream = codec.stream()
    codes = stream.encode(noise(HOP))
    assert codes.frames == 1 and stream.decode(codes).shape == (1, 1, HOP)


def test_decoding_from_a_place_is_exact_after_the_preroll_and_no_sooner(codec: Mimi) -> None:
    codes, start = codec.encode(noise(40 * HOP)), 11
    part, whole = codec.decode(codes.cut(start, 40)), codec.decode(codes)[:, :, start * HOP :]
    off = np.abs(part - whole).reshape(-1, HOP).max(1)
    assert CONFIG.preroll == 11
    assert off[CONFIG.preroll :].max() < 2e-6 < off[CONFIG.preroll - 1]


def test_levels_are_the_first_ones(codec: Mimi) -> None:
    wave = noise(4_000)
    for levels in (1, 2, 4):
        assert codec.encode(wave, levels) == codec.encode(wave).head(levels)


@pytest.mark.parametrize("length", [1, HOP, 4_001])
def test_forward_is_encode_then_decode(codec: Mimi, length: int) -> None:
    wave = noise(length)
    with torch.no_grad():
        passed = codec(torch.from_numpy(wave))
    codes = codec.encode(wave)
    assert all(np.array_equal(a.numpy(), b) for a, b in zip(passed.quantized.levels, codes.levels, strict=True))
    assert np.abs(passed.wave.numpy() - codec.decode(codes)).max() < 2e-6


def test_a_nac_file_holds_all_of_it(codec: Mimi, tmp_path: Path) -> None:
    source, coded, back = (str(tmp_path / name) for name in ("in.wav", "coded.nac", "out.wav"))
    write(source, np.clip(noise(50_001), -1, 1), 24_000)
    encode_file(codec, source, coded)
    decode_file(lambda info: codec, coded, back)
    sound, expected = read(back).samples, codec.decode(codec.encode(read(source).samples))
    assert sound.shape == (1, 1, 50_001)
    assert np.abs(sound - np.clip(expected, -1, 1)).max() < 1e-4


def test_every_parameter_learns() -> None:
    codec = Mimi(CONFIG).train()
    result = codec(torch.from_numpy(noise(6_000, batch=2)))
    (result.wave.square().mean() + result.quantized.commitment).backward()
    for name, parameter in codec.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all() and parameter.grad.any(), name


def test_a_lost_frame_is_silent_and_what_follows_is_heard(codec: Mimi) -> None:
    codes = codec.encode(noise(6 * HOP))
    lost = np.arange(6) == 2
    sound = codec.decode(Codes(codes.levels, codes.length, codec.info, lost=lost)).reshape(6, HOP)
    assert not sound[2].any() and sound[[0, 1, 3, 4, 5]].any(axis=1).all()
