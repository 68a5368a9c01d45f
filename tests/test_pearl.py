"""pearl: sizes it promises, chunks that are the file, latency and pre-roll as stated, parts that learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_pearl import small_pearl
from streamed import assert_batch_is_its_items, streamed
from torch.utils.flop_counter import FlopCounterMode

from nacre.codecs.pearl import PRESETS, Pearl, lose

RATE = 24_000


@pytest.fixture(scope="module")
def pearl() -> Pearl:
    return small_pearl()


def noise(seconds: float, batch: int = 1, seed: int = 0) -> np.ndarray:
    samples = np.random.default_rng(seed).normal(0, 0.1, (batch, 1, round(seconds * RATE)))
    return samples.astype(np.float32)


def test_pearl_24k_keeps_its_promises_of_size() -> None:
    codec = Pearl()
    entries = sum(level.codebook.entries.numel() for level in codec.quantizer.levels)  # type: ignore[union-attr, operator]
    total = sum(p.numel() for p in codec.parameters()) + entries
    assert total <= 4_000_000
    assert total == 3_654_403
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        codec.eval().decoder(codec.quantizer.decode(codec.quantizer.encode(codec.encoder(torch.zeros(1, 1, RATE)))))
    assert counter.get_total_flops() / 2 <= 0.6e9  # multiply-adds a second of audio
    assert codec.info.latency <= 0.030
    assert (codec.info.frame_rate, codec.info.bitrate(2), codec.info.bitrate()) == (75, 1350, 6075)
    assert PRESETS["pearl-24k"] == codec.config


@settings(max_examples=15)
@given(st.lists(st.sampled_from([1, 17, 320, 509, 4000, 44_100]), min_size=1, max_size=30))
def test_stream_is_file(pearl: Pearl, sizes: list[int]) -> None:
    wave = noise(1.0)
    codes, sound = streamed(pearl, wave, sizes)
    assert codes == pearl.encode(wave)
    assert sound.shape == wave.shape
    assert np.abs(sound - pearl.decode(codes)).max() < 1e-5


@pytest.mark.parametrize("chunk", [1, 17, 320, 509])
def test_chunks_of_one_size_are_the_file(pearl: Pearl, chunk: int) -> None:
    wave = noise(0.3, seed=1)
    codes, _ = streamed(pearl, wave, [chunk] * (wave.shape[2] // chunk))
    assert codes == pearl.encode(wave)


def test_a_batch_is_its_items(pearl: Pearl) -> None:
    assert_batch_is_its_items(pearl, noise(0.5, batch=3), 1e-5)


@pytest.mark.parametrize("length", [0, 1, 319, 320, 321, 24_000, 24_001])
def test_length_out_is_length_in(pearl: Pearl, length: int) -> None:
    codes = pearl.encode(noise(1.1)[:, :, :length])
    assert codes.frames == (-(-(length + 320) // 320) if length else 0)
    assert pearl.decode(codes).shape == (1, 1, length)


def test_nothing_is_heard_before_its_time(pearl: Pearl) -> None:
    wave, at = noise(0.5), 6_000
    other = wave.copy()
    other[:, :, at:] = 0.3
    a, b = pearl.encode(wave), pearl.encode(other)
    first = next(
        f for f in range(a.frames) if any((x[:, f] != y[:, f]).any() for x, y in zip(a.levels, b.levels, strict=True))
    )
    assert first >= at // 320  # the frame that holds the sample: no look-ahead beyond it
    changed = np.abs(pearl.decode(a) - pearl.decode(b))[0, 0] > 0
    assert changed.argmax() >= at // 320 * 320 - pearl.info.delay


def test_decoding_from_any_frame_gives_the_file_after_the_preroll(pearl: Pearl) -> None:
    codes = pearl.encode(noise(1.0))
    whole, info = pearl.decode(codes), pearl.info
    for start in (1, 20, 40):
        part = pearl.decode(codes.cut(start, codes.frames))
        place, skip = info.span(0, start), info.preroll * info.hop
        gap = np.abs(part[:, :, skip:] - whole[:, :, place + skip :])
        assert gap.max() < 1e-5
    short = np.abs(pearl.decode(codes.cut(20, codes.frames))[0, 0] - whole[0, 0, info.span(0, 20) :])
    assert short[: info.hop].max() > 1e-4  # the pre-roll is needed: without it the first frame differs


def test_fewer_levels_decode_too(pearl: Pearl) -> None:
    wave = noise(0.4)
    codes = pearl.encode(wave)
    assert pearl.encode(wave, levels=2) == codes.head(2)
    sounds = [pearl.decode(codes.head(k)) for k in (1, 2, 3)]
    assert all(sound.shape == wave.shape for sound in sounds)
    assert np.abs(sounds[0] - sounds[2]).max() > 1e-3


def test_training_loses_whole_frames_and_use_none() -> None:
    torch.manual_seed(0)
    kept = lose(torch.ones(500, 3, 200), 0.05, 12)
    gone = kept[:, 0] == 0
    assert gone[:, 30:].float().mean() == pytest.approx(0.05, abs=0.01)  # a run may have begun before
    assert torch.equal(kept, (~gone[:, None]).float().expand(-1, 3, -1))
    codec, z = small_pearl(), torch.randn(2, 16, 400)
    assert codec.transmit(z) is z
    assert not torch.equal(codec.train().transmit(z), z)


def test_every_parameter_learns() -> None:
    codec = small_pearl().train()
    wave = torch.from_numpy(noise(0.5, batch=4))
    result = codec(wave)
    assert result.wave.shape == wave.shape
    (result.wave.square().mean() + (result.wave - wave).abs().mean() + result.quantized.commitment).backward()
    for name, parameter in codec.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all() and parameter.grad.any(), name


def test_forward_is_encode_then_decode() -> None:
    codec, wave = small_pearl(), noise(0.5)
    with torch.no_grad():
        passed = codec(torch.from_numpy(wave)).wave.numpy()
    assert np.abs(passed - codec.decode(codec.encode(wave))).max() < 1e-5
