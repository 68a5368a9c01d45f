"""EnCodec: chunks are the file from the mirrored start to the last sample, sizes as published, parts that learn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from small_encodec import CONFIG, small_encodec
from streamed import assert_batch_is_its_items

from nacre import Codes, InputError, decode_file, encode_file, read, write
from nacre.codecs.encodec import PRESETS, EnCodec, EnCodecConfig
from nacre.container.ecdc import ECDC_CODECS
from nacre.container.reader import NacReader

HOP, WAIT, PEAK = 320, 7, 300.0  # samples a frame, frames the start is held back, about the loudest sample here


@pytest.fixture(scope="module")
def codec() -> EnCodec:
    return small_encodec()


def noise(length: int, batch: int = 1) -> np.ndarray:
    return np.random.default_rng(length).normal(0, 0.2, (batch, 1, length)).astype(np.float32)


def coded(codec: EnCodec, wave: np.ndarray, sizes: list[int]) -> list[Codes]:
    """What a stream gives for chunks of these sizes, and for what they leave of the wave."""
    stream, edges = codec.stream(), np.minimum(np.cumsum([0, *sizes]), wave.shape[2]).tolist()
    places = zip(edges, [*edges[1:], wave.shape[2]], strict=True)
    return [stream.encode(wave[:, :, a:b], last=i == len(sizes)) for i, (a, b) in enumerate(places)]


def decoded(codec: EnCodec, codes: Codes, sizes: list[int]) -> list[np.ndarray]:
    """What a stream gives for pieces of so many frames, and for the rest."""
    stream, edges = codec.stream(), np.minimum(np.cumsum([0, *sizes]), codes.frames).tolist()
    places = zip(edges, [*edges[1:], codes.frames], strict=True)
    return [stream.decode(codes.cut(a, b), last=i == len(sizes)) for i, (a, b) in enumerate(places)]


def test_encodec_24k_is_the_published_one() -> None:
    with torch.device("meta"):
        codec = EnCodec()
    assert sum(parameter.numel() for parameter in codec.parameters()) == 14_851_810
    assert codec.config == PRESETS["encodec-24k"]
    assert replace(codec.info, preroll=0) == ECDC_CODECS["encodec_24khz"]  # its codes go into .ecdc
    assert [codec.info.levels_for(kbps * 1000) for kbps in (1.5, 3, 6, 12, 24)] == [2, 4, 8, 16, 32]
    assert codec.info.latency == WAIT * HOP / 24_000  # of the start


@settings(max_examples=25)
@given(
    st.integers(0, 5_000),
    st.lists(st.sampled_from([0, 1, 17, 320, 509, 2_240]), max_size=8),
    st.lists(st.integers(0, 8), max_size=12),
)
@example(3_000, [1] * 2_500, [1] * 9)
@example(2_239, [], [])
@example(2_240, [2_240], [7])
@example(2_241, [2_240], [6, 1, 1])
@example(1, [1], [1])
@example(0, [0], [0])
def test_stream_is_file(codec: EnCodec, length: int, sizes: list[int], frames: list[int]) -> None:
    wave = noise(length)
    whole = codec.encode(wave)
    assert whole.frames == -(-length // HOP) and whole.length == length
    assert Codes.join(coded(codec, wave, sizes)) == whole
    sound = codec.decode(whole)
    assert sound.shape == wave.shape
    joined = np.concatenate(decoded(codec, whole, frames), axis=2)
    assert joined.shape == sound.shape and np.abs(joined - sound).max(initial=0) < 1e-6 * PEAK


def test_frames_come_at_once_after_the_start(codec: EnCodec) -> None:
    wave = noise(12 * HOP)
    pieces = coded(codec, wave, [HOP] * 11)
    assert [piece.frames for piece in pieces] == [0] * 6 + [WAIT] + [1] * 5
    sounds = decoded(codec, Codes.join(pieces), [1] * 11)
    assert [sound.shape[2] // HOP for sound in sounds] == [0] * 6 + [WAIT] + [1] * 5


def test_the_first_frame_hears_the_start_and_later_frames_only_the_past(codec: EnCodec) -> None:
    wave = torch.from_numpy(noise(20 * HOP))
    with torch.no_grad():
        whole = codec.encoder(wave)

    def first_change(at: int) -> int:
        other = wave.clone()
        other[:, :, at] += 1
        with torch.no_grad():
            return int((codec.encoder(other) != whole).any(dim=1)[0].int().argmax())

    assert [first_change(frame * HOP) for frame in (0, 1, 6)] == [0, 0, 0]  # mirrored
    assert [first_change(frame * HOP) for frame in (7, 10, 15)] == [7, 10, 15]


def test_a_long_file_in_blocks_is_one_pass(codec: EnCodec) -> None:
    wave = noise(10 * 24_000 + 3 * HOP + 1)  # the second block ends the file with a few frames and a piece of one
    with torch.inference_mode():
        z = codec.encoder(torch.from_numpy(wave))
        once = [level.numpy() for level in codec.quantizer.encode(z)]
        sound = codec.decoder(codec.quantizer.decode([torch.from_numpy(level) for level in once])).numpy()
    codes = codec.encode(wave)
    assert all(np.array_equal(a, b) for a, b in zip(codes.levels, once, strict=True))
    assert np.abs(codec.decode(codes) - sound[:, :, : wave.shape[2]]).max() < 1e-6 * PEAK


@pytest.mark.parametrize("length", [1, 321, 4_000])
def test_a_batch_is_its_items(codec: EnCodec, length: int) -> None:
    assert_batch_is_its_items(codec, noise(length, batch=3), 1e-6 * PEAK)


@pytest.mark.parametrize("lost", [[0], [3], [5, 6, 14], [19], list(range(20))])
def test_after_a_gap_the_decoder_starts_anew_in_any_chunks(codec: EnCodec, lost: list[int]) -> None:
    mask = np.isin(np.arange(20), lost)
    codes = replace(codec.encode(noise(20 * HOP)), lost=mask)
    whole = codec.decode(codes)
    assert whole.shape[2] == codes.length
    assert not whole.reshape(20, HOP)[mask].any() and whole.reshape(20, HOP)[~mask].any(axis=1).all()
    begin = lost[-1] + 1
    after = codec.decode(codes.cut(begin, 20))
    assert np.abs(whole[:, :, begin * HOP :] - after).max(initial=0) < 1e-6 * PEAK
    for sizes in ([1] * 19, [4, 0, 3, 9], [6, 1]):
        joined = np.concatenate(decoded(codec, codes, sizes), axis=2)
        assert joined.shape == whole.shape and np.abs(joined - whole).max() < 1e-6 * PEAK


@pytest.mark.parametrize("length", [1, 5 * HOP, 60_001])
def test_a_nac_file_holds_all_of_it(codec: EnCodec, length: int, tmp_path: Path) -> None:
    write(tmp_path / "in.wav", noise(length), 24_000)
    encode_file(codec, tmp_path / "in.wav", tmp_path / "coded.nac")
    with NacReader(tmp_path / "coded.nac") as reader:
        coded = Codes.join(list(reader.packets()))
    expected = codec.encode(read(tmp_path / "in.wav").samples)
    assert all(np.array_equal(a, b) for a, b in zip(coded.levels, expected.levels, strict=True))
    outcome = decode_file(lambda info: codec, tmp_path / "coded.nac", tmp_path / "out.wav")
    assert outcome.samples == length
    sound = read(tmp_path / "out.wav").samples
    assert np.abs(sound - codec.decode(expected).clip(-1, 1)).max() < 1e-4


def test_what_does_not_fit_is_refused_at_once(codec: EnCodec) -> None:
    codes, stream = codec.encode(noise(3 * HOP)), codec.stream()
    with pytest.raises(InputError, match="decode them with the codec that made them"):
        stream.decode(replace(codes, info=replace(codes.info, digest="other")))
    stream.decode(codes.cut(0, 1))
    with pytest.raises(InputError, match="expected codes that start at frame 1"):
        stream.decode(codes.cut(2, 3))
    with pytest.raises(InputError, match="NaN"):
        stream.encode(np.full((1, 1, 4), np.nan, np.float32))
    stream.encode(noise(5), last=True)
    with pytest.raises(InputError, match="has ended"):
        stream.encode(noise(5))


@pytest.mark.parametrize(("segment", "overlap"), [(3200, 0), (3200, 1601), (3201, 32)])
def test_segments_that_cannot_be_are_refused(segment: int, overlap: int) -> None:
    with pytest.raises(InputError, match=f"got {segment} samples and an overlap of {overlap}"):
        EnCodecConfig(segment=segment, overlap=overlap)


def test_fewer_levels_are_the_first_ones(codec: EnCodec) -> None:
    wave = noise(4_000)
    assert codec.encode(wave, levels=2) == codec.encode(wave).head(2)


def test_decoding_from_a_place_nears_the_file_while_the_lstm_forgets(codec: EnCodec) -> None:
    codes = codec.encode(noise(120 * HOP))
    part, whole = codec.decode(codes.cut(15, 120)), codec.decode(codes)[:, :, 15 * HOP :]
    off = np.abs(part - whole).reshape(-1, HOP).max(1)
    assert off[0] > 1e-2 * PEAK
    assert off[CONFIG.preroll :].max() < 1e-3 * off[0]


@pytest.mark.parametrize("length", [1, 321, 4_001])
def test_forward_is_encode_then_decode(codec: EnCodec, length: int) -> None:
    wave = noise(length)
    with torch.no_grad():
        passed = codec(torch.from_numpy(wave))
    codes = codec.encode(wave)
    assert all(np.array_equal(a.numpy(), b) for a, b in zip(passed.quantized.levels, codes.levels, strict=True))
    assert np.abs(passed.wave.numpy() - codec.decode(codes)).max() < 1e-6 * PEAK


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of torch about itself
def test_compiled_it_says_the_same() -> None:
    """What docs/models.md offers those who code many files: other kernels, the same codes."""
    codec, compiled = small_encodec(), small_encodec()
    compiled.encoder.compile()
    compiled.decoder.compile()
    for length in (5 * HOP, 12_345):
        wave = noise(length)
        codes = codec.encode(wave)
        assert all(np.array_equal(*pair) for pair in zip(codes.levels, compiled.encode(wave).levels, strict=True))
        sound = codec.decode(codes)
        assert np.abs(compiled.decode(codes) - sound).max() < 1e-5 * np.abs(sound).max()


def test_every_parameter_learns() -> None:
    codec = small_encodec(fused=False).train()
    result = codec(torch.from_numpy(noise(4_000, batch=2)))
    (result.wave.square().mean() + result.quantized.commitment).backward()
    for name, parameter in codec.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all() and parameter.grad.any(), name
