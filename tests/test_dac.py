"""DAC: sizes of the released models, the package's codes and sound, streams that are the file though it looks ahead."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lively import lively
from streamed import streamed

from nacre import CodecInfo, Codes, decode_file, encode_file, read, write
from nacre.codecs.dac import DAC, PRESETS, DACConfig
from nacre.container.dac_file import DAC_CODECS
from nacre.nn.weight_norm import fuse

COUNTS = {"dac-44k": 76_651_890, "dac-24k": 74_708_706, "dac-16k": 74_175_906, "dac-44k-16kbps": 64_213_250}
ODD = DACConfig(16_000, (2, 4, 5, 8), encoder_dim=2, decoder_dim=16, latent=8, levels=3, codebook_size=32)


def small_dac(config: DACConfig = ODD) -> DAC:
    """A DAC whose every part matters: weights not tiny, ripples not 1."""
    torch.manual_seed(0)
    return fuse(lively(DAC(config, name="small-dac"))).eval()


@pytest.fixture(scope="module")
def dac() -> DAC:
    return small_dac()


def noise(length: int, batch: int = 1) -> np.ndarray:
    return np.random.default_rng(length).normal(0, 0.2, (batch, 1, length)).astype(np.float32)


@pytest.mark.parametrize("name", PRESETS)
def test_released_models_have_their_size(name: str) -> None:
    with torch.device("meta"):
        codec = DAC(PRESETS[name], name)
    assert sum(p.numel() for p in codec.parameters()) == COUNTS[name]
    held, info = DAC_CODECS[name], codec.info
    assert CodecInfo(name, "", held.sample_rate, 1, held.hop, held.codebook_sizes, preroll=info.preroll) == info


def test_the_figures_of_44k_are_stated() -> None:
    info = DAC(DACConfig(encoder_dim=1, decoder_dim=16), "x").info
    assert (info.lookahead, info.preroll) == (8853, 10)
    assert info.latency == (512 + 8853) / 44_100
    assert info.bitrate() == pytest.approx(7751.95, abs=0.01)


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 14_000), st.lists(st.sampled_from([0, 1, 17, 320, 509, 3000]), max_size=12))
def test_stream_is_file(dac: DAC, length: int, sizes: list[int]) -> None:
    wave = noise(length)
    codes, sound = streamed(dac, wave, sizes)
    assert codes == dac.encode(wave)
    assert codes.frames == -(-length // 320)
    assert sound.shape == wave.shape
    assert np.abs(sound - dac.decode(codes)).max(initial=0) < 1e-5


def test_blocks_give_what_one_pass_over_the_whole_gives(dac: DAC) -> None:
    wave = noise(16_000 * 21 + 7, batch=2)  # three blocks of ten seconds
    codes = dac.encode(wave)
    padded = np.pad(wave, ((0, 0), (0, 0), (0, -wave.shape[2] % 320)))
    with torch.inference_mode():
        levels = dac.quantizer.encode(dac.encoder(torch.from_numpy(padded)))
        sound = dac.decoder(dac.quantizer.decode(levels)).numpy()
    flips = sum((a != b.numpy()).sum() for a, b in zip(codes.levels, levels, strict=True))
    assert flips <= 1e-3 * 3 * codes.levels[0].size  # of near ties: sums are rounded by their place
    whole = dac.decode(Codes(tuple(level.numpy() for level in levels), wave.shape[2], dac.info))
    assert np.abs(whole - sound[:, :, : wave.shape[2]]).max() < 1e-5


def test_a_stream_is_late_by_its_lookahead(dac: DAC) -> None:
    stream, frames = dac.stream(), 40
    codes = stream.encode(noise(frames * 320))
    sound = stream.decode(codes)
    assert sound.shape[2] == frames * 320 - dac.info.lookahead
    assert stream.encode(noise(320)).frames == 1  # and no later than that ever after


def test_the_lookahead_is_no_longer_than_it_must_be(dac: DAC) -> None:
    wave, at = noise(24_000), 12_000
    other = wave.copy()
    other[:, :, at:] += 0.3
    changed = np.abs(dac.decode(dac.encode(wave)) - dac.decode(dac.encode(other)))[0, 0] > 0
    first = int(changed.argmax())
    assert at - dac.info.lookahead - dac.info.hop <= first < at


def test_decoding_from_any_frame_gives_the_file_after_the_preroll(dac: DAC) -> None:
    codes, hop = dac.encode(noise(320 * 50)), dac.info.hop
    whole, skip = dac.decode(codes), dac.info.preroll * dac.info.hop
    for start in (1, 13, 30):
        part = dac.decode(codes.cut(start, codes.frames))
        assert np.abs(part[:, :, skip:] - whole[:, :, start * hop + skip :]).max() < 1e-5
        assert np.abs(part - whole[:, :, start * hop :])[:, :, skip - 2 * hop : skip].max() > 0


def test_what_lies_before_a_gap_is_paid_before_it(dac: DAC) -> None:
    wave = noise(320 * 60)
    codes = dac.encode(wave)
    lost = np.zeros(60, bool)
    lost[20:30] = True
    sound = dac.decode(Codes(codes.levels, codes.length, dac.info, lost=lost))[0, 0]
    assert sound.shape == (wave.shape[2],)
    assert np.array_equal(sound[: 20 * 320], dac.decode(codes.cut(0, 20))[0, 0])
    assert not sound[20 * 320 : 30 * 320].any()
    assert np.array_equal(sound[30 * 320 :], dac.decode(codes.cut(30, 60))[0, 0])


def test_odd_strides_end_in_zeros(dac: DAC) -> None:
    assert not dac.decode(dac.encode(noise(3200)))[0, 0, -8:].any()
    assert dac.decoder.lost == 8
    assert DAC(DACConfig(encoder_dim=1, decoder_dim=16)).decoder.lost == 0


def test_files_keep_length_and_place(dac: DAC, tmp_path: Path) -> None:
    source, coded, back = (str(tmp_path / name) for name in ("in.wav", "coded.nac", "out.wav"))
    wave = np.clip(noise(50_001), -1, 1)
    write(source, wave, 16_000)
    encode_file(dac, source, coded)
    decode_file(lambda info: dac, coded, back)
    given, expected = read(back).samples, dac.decode(dac.encode(read(source).samples))
    assert given.shape == wave.shape
    assert np.abs(given - np.clip(expected, -1, 1)).max() < 1e-4


def test_every_parameter_learns() -> None:
    codec = DAC(ODD).train()
    result = codec(torch.from_numpy(noise(3201, batch=2)))
    assert result.wave.shape == (2, 1, 3201)
    (result.wave.square().mean() + result.quantized.commitment + result.quantized.codebook).backward()
    for name, parameter in codec.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
