"""SNAC: sizes of the released models, streams that are the file though it looks ahead, noise that keeps its place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_snac import SMALL, small_snac
from streamed import streamed

from nacre import Codes, InputError, contract, decode_file, encode_file, read, write
from nacre.codecs.snac import PRESETS, SNAC

# parameters, Hz of each level, bit/s, samples of look-ahead, frames of preroll
FIGURES = {
    "snac-24k": (19_842_914, (11.72, 23.44, 46.88), 984, 10_901, 10),
    "snac-32k": (54_546_338, (10.42, 20.83, 41.67, 83.33), 1875, 27_023, 41),
    "snac-44k": (54_546_338, (14.36, 28.71, 57.42, 114.84), 2584, 27_023, 41),
    "snac-44k-early": (50_339_746, (12.5, 25, 50, 100), 2250, 31_487, 42),
}
TURNS = {"small-speech": 2048, "small-music": 12_288}  # samples that a sound is filled up to


@pytest.fixture(scope="module", params=TURNS)
def snac(request: pytest.FixtureRequest) -> SNAC:
    return small_snac(request.param)


def noise(length: int, batch: int = 1) -> np.ndarray:
    return np.random.default_rng(length).normal(0, 0.2, (batch, 1, length)).astype(np.float32)


@pytest.mark.parametrize("name", PRESETS)
def test_released_models_have_their_figures(name: str) -> None:
    with torch.device("meta"):
        codec = SNAC(PRESETS[name], name)
    parameters, rates, bitrate, lookahead, preroll = FIGURES[name]
    info = codec.info
    assert sum(p.numel() for p in codec.parameters()) == parameters
    assert tuple(round(info.frame_rate / stride, 2) for stride in info.strides) == rates
    assert round(info.bitrate()) == bitrate
    assert (info.lookahead, info.preroll, info.bits) == (lookahead, preroll, (12,) * len(rates))


@settings(max_examples=10)
@given(st.integers(0, 30_000), st.lists(st.sampled_from([0, 1, 17, 512, 3333, 12_288]), max_size=10))
def test_stream_is_file(snac: SNAC, length: int, sizes: list[int]) -> None:
    wave, turn = noise(length), TURNS[snac.info.name]
    codes, sound = streamed(snac, wave, sizes)
    assert codes == snac.encode(wave)
    assert codes.frames == -(-length // turn) * turn // snac.info.hop
    assert [level.shape[1] for level in codes.levels] == [codes.frames // stride for stride in snac.info.strides]
    assert sound.shape == wave.shape
    assert np.abs(sound - snac.decode(codes)).max(initial=0) < 1e-5


def test_blocks_give_what_one_pass_over_the_whole_gives(snac: SNAC, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contract, "BLOCK_SECONDS", 1)
    wave = noise(16_000 * 3 + 7, batch=2)
    codes, turn = snac.encode(wave), TURNS[snac.info.name]
    padded = np.pad(wave, ((0, 0), (0, 0), (0, -wave.shape[2] % turn)))
    with torch.inference_mode():
        levels = snac.quantizer.encode(snac.encoder(torch.from_numpy(padded)))
        sound = snac.decoder(snac.quantizer.decode(levels)).numpy()
    flips = sum((a != b.numpy()).sum() for a, b in zip(codes.levels, levels, strict=True))
    assert flips <= 1e-3 * sum(level.size for level in codes.levels)  # of near ties: sums are rounded by their place
    whole = snac.decode(Codes(tuple(level.numpy() for level in levels), wave.shape[2], snac.info))
    assert np.abs(whole - sound[:, :, : wave.shape[2]]).max() < 1e-5
    alone = snac.decode(Codes(tuple(level.numpy()[1:] for level in levels), wave.shape[2], snac.info))
    assert np.abs(whole[1:] - alone).max() < 1e-5  # the noise too is the same


def test_a_stream_is_late_by_its_lookahead_and_no_more(snac: SNAC) -> None:
    stream, info, late, given = snac.stream(), snac.info, [], 0
    for turn in range(40):
        wave = noise(info.hop * info.stride)
        given += stream.decode(stream.encode(wave)).shape[2]
        late.append((turn + 1) * wave.shape[2] - given)
    assert max(late[20:]) == info.lookahead


def test_decoding_from_any_place_gives_the_file_after_the_preroll(snac: SNAC) -> None:
    info = snac.info
    codes = snac.encode(noise(info.hop * 128))
    whole, skip = snac.decode(codes), info.preroll * info.hop
    for start in (info.stride, 5 * info.stride, 8 * info.stride):  # in windows and between them
        part = snac.decode(codes.cut(start, codes.frames))
        assert np.abs(part[:, :, skip:] - whole[:, :, start * info.hop + skip :]).max() < 1e-5


@pytest.mark.parametrize(("name", "starts"), [("small-speech", (4, 8)), ("small-music", (8, 16))])
def test_the_preroll_is_no_longer_than_it_must_be(name: str, starts: tuple[int, ...]) -> None:
    codec, reach = small_snac(name), []
    info = codec.info
    codes = codec.encode(noise(info.hop * 96))
    whole = codec.decode(codes)
    for start in starts:
        change = np.abs(codec.decode(codes.cut(start, 96)) - whole[:, :, start * info.hop :])[0, 0]
        reach.append(int(np.flatnonzero(change > 1e-5).max()) // info.hop + 1)
    assert info.preroll - info.stride - 3 <= max(reach) <= info.preroll


def test_noise_belongs_to_its_place_and_seed(snac: SNAC) -> None:
    codes = snac.encode(noise(30_000, batch=2))
    assert snac.seed == 0
    sound = snac.decode(codes)
    assert np.array_equal(sound, snac.decode(codes))
    try:
        snac.seed = 1
        other = snac.decode(codes)
        snac.seed = None
        clean = snac.decode(codes)
    finally:
        snac.seed = 0
    peak = np.abs(clean).max()
    assert min(np.abs(sound - other).max(), np.abs(sound - clean).max(), np.abs(other - clean).max()) > 0.01 * peak
    assert np.array_equal(sound, snac.decode(codes))


def test_a_snac_without_noise_has_no_seed() -> None:
    codec = small_snac("small-dense")
    codec.seed = 3
    assert codec.seed is None


@pytest.mark.parametrize("name", SMALL)
def test_files_keep_length_levels_and_sound(name: str, tmp_path: Path) -> None:
    codec = small_snac(name)
    source, coded, back = (str(tmp_path / file) for file in ("in.wav", "coded.nac", "out.wav"))
    wave = np.clip(noise(50_001), -1, 1)
    write(source, wave, 16_000)
    encode_file(codec, source, coded)
    decode_file(lambda info: codec, coded, back)
    given, expected = read(back).samples, codec.decode(codec.encode(read(source).samples))
    assert given.shape == wave.shape
    assert np.abs(given - np.clip(expected, -1, 1)).max() < 1e-4


def test_fewer_levels_are_the_first_ones(snac: SNAC) -> None:
    wave = noise(20_000)
    assert snac.encode(wave, levels=2) == snac.encode(wave).head(2)
    assert snac.decode(snac.encode(wave, levels=1)).shape == wave.shape


def test_a_gap_is_silent_and_what_follows_keeps_its_place(snac: SNAC) -> None:
    info = snac.info
    codes = snac.encode(noise(info.hop * 96))
    lost = np.zeros(96, bool)
    lost[24:40] = True
    sound = snac.decode(Codes(codes.levels, codes.length, info, lost=lost))[0, 0]
    assert sound.shape == (codes.length,)
    assert not sound[24 * info.hop : 40 * info.hop].any()
    assert np.array_equal(sound[40 * info.hop :], snac.decode(codes.cut(40, 96))[0, 0])


@pytest.mark.parametrize("name", SMALL)
def test_every_parameter_learns(name: str) -> None:
    torch.manual_seed(0)
    codec = SNAC(SMALL[name]).train()
    result = codec(torch.from_numpy(noise(3201, batch=2)))
    assert result.wave.shape == (2, 1, 3201)
    (result.wave.square().mean() + result.quantized.commitment + result.quantized.codebook).backward()
    for key, parameter in codec.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), key


def test_noise_in_training_is_new_every_time(snac: SNAC) -> None:
    wave = torch.from_numpy(noise(4096))
    with torch.no_grad():
        assert torch.equal(snac(wave).wave, snac(wave).wave)
        snac.train()
        try:
            assert not torch.equal(snac(wave).wave, snac(wave).wave)
        finally:
            snac.eval()


def test_other_codecs_codes_are_refused(snac: SNAC) -> None:
    with pytest.raises(InputError, match="were made by small-dense"):
        snac.decode(small_snac("small-dense").encode(noise(2000)))
