"""NAC of 2023: blocks that are the file whatever the chunks, its old files as sound, sizes as published."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from streamed import assert_batch_is_its_items

from nacre import CodecInfo, Codes, InputError, decode_file, encode_file, read, write
from nacre.codecs.dac import DAC, DACConfig
from nacre.codecs.encodec import EnCodec, EnCodecConfig
from nacre.codecs.nac2023 import NAC2023, NAC2023Config
from nacre.container import legacy
from nacre.container.nac0 import NAC0_CODEC, read_nac0, write_nac0
from nacre.nn.seanet import SEANetConfig

HOP, BLOCK = 320, 5  # samples a frame, frames of a block of the small codec
GOLDEN = Path(__file__).parent / "golden" / "legacy"
VECTORS = Path(__file__).parents[2] / "shared" / "vectors"


@cache
def small() -> NAC2023:
    """A narrow codec of 4 levels with blocks of 5 frames, whose entries are as large as what they code."""
    torch.manual_seed(0)
    codec = NAC2023(
        NAC2023Config(filters=2, dim=8, block=BLOCK, levels=4, codebook_size=16, dropout=(1, 2, 4)), "small"
    )
    with torch.no_grad():
        for name, parameter in codec.named_parameters():
            if name.endswith("original0"):
                parameter.mul_(2)
    return codec.eval()


@cache
def narrow() -> NAC2023:
    """All 48 levels of 1024 entries and blocks of 2 s, on a narrow network."""
    torch.manual_seed(0)
    return NAC2023(NAC2023Config(filters=2, dim=8), digest="00ff").eval()


def noise(length: int, batch: int = 1) -> np.ndarray:
    return np.random.default_rng(length).normal(0, 0.2, (batch, 1, length)).astype(np.float32)


def streamed(wave: np.ndarray, sizes: list[int]) -> tuple[list[Codes], list[np.ndarray]]:
    stream, edges = small().stream(), np.minimum(np.cumsum([0, *sizes]), wave.shape[2]).tolist()
    pieces, sounds = [], []
    for i, (a, b) in enumerate(zip(edges, [*edges[1:], wave.shape[2]], strict=True)):
        pieces.append(stream.encode(wave[:, :, a:b], last=i == len(sizes)))
        sounds.append(stream.decode(pieces[-1], last=i == len(sizes)))
    return pieces, sounds


def test_nac_2023_is_the_published_one() -> None:
    with torch.device("meta"):
        codec = NAC2023()
    assert sum(parameter.numel() for parameter in codec.parameters()) == 14_675_810
    assert replace(codec.info, preroll=0) == NAC0_CODEC
    assert [codec.info.levels_for(500 * k) for k in range(1, 49)] == list(range(1, 49))
    assert (codec.info.latency, codec.info.frame_rate) == (2.0, 50)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 6_000), st.lists(st.sampled_from([0, 1, 17, 320, 509, 1_600, 1_601]), max_size=8))
@example(3_200, [1_600])
@example(3_201, [1_600, 1_600])
@example(1, [0])
def test_stream_is_file_to_the_last_bit(length: int, sizes: list[int]) -> None:
    wave = noise(length)
    pieces, sounds = streamed(wave, sizes)
    whole = small().encode(wave)
    assert Codes.join(pieces) == whole
    assert (whole.frames, whole.length) == (-(-length // HOP), length)
    assert np.array_equal(np.concatenate(sounds, axis=2), small().decode(whole))


def test_a_stream_gives_a_block_when_it_is_whole() -> None:
    pieces, sounds = streamed(noise(12 * HOP), [HOP] * 11)
    assert [piece.frames for piece in pieces] == [0, 0, 0, 0, 5, 0, 0, 0, 0, 5, 0, 2]
    assert [sound.shape[2] // HOP for sound in sounds] == [0, 0, 0, 0, 5, 0, 0, 0, 0, 5, 0, 2]


def test_no_block_hears_another_and_all_of_a_block_hears_all() -> None:
    wave = noise(15 * HOP)
    other = wave.copy()
    other[:, :, 9 * HOP] += 1  # in the last frame of the second block
    with torch.no_grad():
        a, b = (small().encoder(torch.from_numpy(x)) for x in (wave, other))
    changed = (a != b).any(dim=1)[0].tolist()
    assert changed[:5] == [False] * 5 and changed[10:] == [False] * 5
    assert all(changed[6:10])


def test_a_batch_is_its_items() -> None:
    assert_batch_is_its_items(small(), noise(4_000, batch=3), 1e-5)


@pytest.mark.parametrize("start", [0, 1, 4, 5, 7, 13])
@pytest.mark.parametrize("chunk", [1, 3, 100])
def test_decoding_from_any_frame_gives_the_file_after_the_preroll(start: int, chunk: int) -> None:
    codes = small().encode(noise(22 * HOP))
    whole, stream = small().decode(codes), small().stream()
    parts = [
        stream.decode(codes.cut(i, min(i + chunk, 22)), last=i + chunk >= 22) for i in range(start, codes.frames, chunk)
    ]
    sound = np.concatenate(parts, axis=2)
    begin = -(-start // BLOCK) * BLOCK  # the next block
    assert sound.shape[2] == (22 - start) * HOP
    assert begin - start <= small().info.preroll == BLOCK - 1
    assert np.array_equal(sound[:, :, (begin - start) * HOP :], whole[:, :, begin * HOP :])


def test_after_a_gap_the_next_block_is_the_files() -> None:
    codes = small().encode(noise(22 * HOP))
    lost = np.isin(np.arange(22), [6, 7])
    sound, whole = small().decode(replace(codes, lost=lost)), small().decode(codes)
    assert sound.shape == whole.shape
    assert not sound[:, :, 6 * HOP : 8 * HOP].any() and sound[:, :, 8 * HOP : 10 * HOP].any()
    assert np.array_equal(sound[:, :, : 5 * HOP], whole[:, :, : 5 * HOP])
    assert np.array_equal(sound[:, :, 10 * HOP :], whole[:, :, 10 * HOP :])


def test_fewer_levels_are_the_first_ones() -> None:
    wave = noise(4_000)
    assert small().encode(wave, levels=2) == small().encode(wave).head(2)
    assert np.abs(small().decode(small().encode(wave, 1)) - small().decode(small().encode(wave))).max() > 1e-3


@pytest.mark.parametrize("length", [1, 321, 4_001])
def test_forward_is_encode_then_decode(length: int) -> None:
    wave = noise(length)
    with torch.no_grad():
        passed = small()(torch.from_numpy(wave))
    codes = small().encode(wave)
    assert all(np.array_equal(a.numpy(), b) for a, b in zip(passed.quantized.levels, codes.levels, strict=True))
    assert np.array_equal(passed.wave.numpy(), small().decode(codes))


def test_every_parameter_learns() -> None:
    codec = NAC2023(small().config).train()
    result = codec(torch.from_numpy(noise(4_000, batch=2)))
    (result.wave.square().mean() + result.quantized.commitment).backward()
    for name, parameter in codec.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all() and parameter.grad.any(), name


def test_a_nac_file_holds_all_of_it_and_can_be_sought(tmp_path: Path) -> None:
    write(tmp_path / "in.wav", noise(60_001).clip(-1, 1), 16_000)
    encode_file(small(), tmp_path / "in.wav", tmp_path / "coded.nac")
    decode_file(lambda info: small(), tmp_path / "coded.nac", tmp_path / "out.wav")
    sound = read(tmp_path / "out.wav").samples
    expected = small().decode(small().encode(read(tmp_path / "in.wav").samples))
    assert sound.shape == expected.shape
    assert np.abs(sound - expected.clip(-1, 1)).max() < 1e-4


# Files of 2023.


@pytest.mark.parametrize("length", [1, 320, 31_999, 32_000, 33_000])
def test_what_goes_into_an_old_file_comes_out_of_it(length: int) -> None:
    codec = narrow()
    codes = codec.encode(noise(length), codec.info.levels_for(3_000))
    held, metadata = read_nac0(write_nac0(codes))
    assert (len(held.levels), metadata["bitrate"], held.info.digest) == (6, 3, "")
    with pytest.raises(InputError, match="decode them with the codec that made them"):
        codec.decode(held)
    assert held.made_by(codec.info) == codes
    assert np.array_equal(codec.decode(held.made_by(codec.info)), codec.decode(codes))


@pytest.mark.parametrize(("name", "length"), [("null.nac", 64_000), ("length.nac", 33_000)])
def test_golden_files_decode_to_sound(name: str, length: int) -> None:
    sound = narrow().decode(legacy.read(GOLDEN / name).codes.made_by(narrow().info))
    assert sound.shape == (1, 1, length) and np.isfinite(sound).all() and sound.any()


@pytest.mark.parametrize("name", ["8kn.nac", "pianon.nac"])
def test_real_files_of_2023_decode_to_sound(name: str) -> None:
    if not (VECTORS / name).exists():
        pytest.skip("the 2023 files are not here")
    codes = legacy.read(VECTORS / name).codes.made_by(narrow().info)
    sound = narrow().decode(codes)
    assert sound.shape == (1, 1, 26 * 32_000) and np.isfinite(sound).all()
    block = narrow().decode(codes.cut(700, 800))  # blocks were coded one by one
    assert np.array_equal(block, sound[:, :, 7 * 32_000 : 8 * 32_000])


def test_files_of_encodec_and_dac_decode_the_same_way() -> None:
    encodec = EnCodec(EnCodecConfig(seanet=SEANetConfig(filters=2, dim=8)), digest="00ff").eval()
    dac = DAC(DACConfig(encoder_dim=1, decoder_dim=16, latent=8), digest="00ff").eval()
    for codec, name in ((encodec, "24k-6000.ecdc"), (dac, "padded.dac")):
        codes = legacy.read(GOLDEN / name).codes
        assert codes.info.digest == ""
        sound = codec.decode(codes.made_by(codec.info))
        assert sound.shape == (1, 1, codes.length) and np.isfinite(sound).all() and sound.any()
    other: CodecInfo = replace(dac.info, name="dac-24k")
    with pytest.raises(InputError, match="load the model that made them"):
        codes.made_by(other)
