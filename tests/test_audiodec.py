"""AudioDec: sizes as published, chunks are the file through every decoder, parts that are held stay to the bit."""

from __future__ import annotations

import copy
import queue
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from small_audiodec import CONFIGS, small_audiodec

from nacre import Codes, InputError, OnnxCodec
from nacre.codecs.audiodec import PRESETS, AudioDec
from nacre.converters.to_onnx import export

HOP = 300


def noise(length: int, batch: int = 1) -> np.ndarray:
    return np.random.default_rng(length).normal(0, 0.3, (batch, 1, length)).astype(np.float32)


def near(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal up to the rounding of sums."""
    return a.shape == b.shape and bool(np.abs(a - b).max(initial=0) < 1e-5 * max(1, np.abs(b).max(initial=0)))


@pytest.fixture(scope="module")
def codecs() -> dict[str, AudioDec]:
    return {kind: small_audiodec(kind) for kind in CONFIGS}


# parameters of encoder with projector, and decoder; frames a second; kbps; latency in ms; frames before a seek
SIZES = {
    "audiodec-48k-sym": (3_904_672, 4_035_264, 160, 12.8, 6.25, 28),
    "audiodec-48k-sym-free": (3_904_672, 4_035_264, 160, 12.8, 6.25, 28),
    "audiodec-48k-asym": (3_904_672, 15_680_896, 160, 12.8, 6.25, 28),  # a decoder of our choice
    "audiodec-48k-c16": (4_687_008, 4_817_600, 150, 24.0, 20 / 3, 20),
    "audiodec-48k-univ": (3_904_672, 4_035_264, 160, 12.8, 6.25, 28),
    "audiodec-48k-activated": (3_908_608, 4_039_617, 160, 12.8, 6.25, 28),
    "audiodec-48k-v0": (3_904_672, 12_932_610, 160, 12.8, 6.25, 38),
    "audiodec-48k-v1": (3_904_672, 19_461_090, 160, 12.8, 6.25, 38),
    "audiodec-48k-v2": (3_904_672, 6_927_330, 160, 12.8, 6.25, 14),
    "audiodec-48k-v3": (3_904_672, 19_461_090, 160, 12.8, 6.25, 38),
    "audiodec-24k-sym": (3_904_672, 4_035_264, 80, 6.4, 12.5, 28),
    "audiodec-24k-v0": (3_904_672, 12_932_610, 80, 6.4, 12.5, 38),
    "audiodec-24k-v1": (3_904_672, 19_461_090, 80, 6.4, 12.5, 38),
    "audiodec-24k-v2": (3_904_672, 6_927_330, 80, 6.4, 12.5, 14),
}


@pytest.mark.parametrize("name", PRESETS)
def test_presets_have_the_published_sizes(name: str) -> None:
    with torch.device("meta"):
        codec = AudioDec(PRESETS[name], name)
    encoder, decoder, frame_rate, kbps, latency, preroll = SIZES[name]
    assert sum(p.numel() for p in codec.encoder.parameters()) == encoder
    assert sum(p.numel() for p in codec.decoder.parameters()) == decoder
    assert sum(p.numel() for p in codec.parameters()) == encoder + decoder  # entries are no parameters
    assert (codec.info.frame_rate, codec.info.bitrate()) == (frame_rate, pytest.approx(1000 * kbps))
    assert codec.info.latency == pytest.approx(latency / 1000)
    assert (codec.info.preroll, codec.info.delay, codec.info.lookahead) == (preroll, 0, 0)


chunks = st.lists(st.sampled_from([0, 1, 17, 300, 509, 1_500]), max_size=8)


@pytest.mark.parametrize("kind", CONFIGS)
@settings(max_examples=4)
@given(length=st.integers(0, 2_000), sizes=chunks, frames=st.lists(st.integers(0, 5), max_size=8))
@example(length=1_501, sizes=[300] * 5, frames=[1] * 6)
@example(length=301, sizes=[1] * 300, frames=[3])
@example(length=1, sizes=[1], frames=[1])
def test_stream_is_file(
    codecs: dict[str, AudioDec], kind: str, length: int, sizes: list[int], frames: list[int]
) -> None:
    codec, wave = codecs[kind], noise(length)
    whole = codec.encode(wave)
    hop = codec.info.hop
    assert whole.frames == (length - 1) // hop + 1
    stream, edges = codec.stream(), np.minimum(np.cumsum([0, *sizes]), length).tolist()
    pieces = [
        stream.encode(wave[:, :, a:b], last=i == len(sizes))
        for i, (a, b) in enumerate(zip(edges, [*edges[1:], length], strict=True))
    ]
    assert Codes.join(pieces) == whole
    sound = codec.decode(whole)
    stream, edges = codec.stream(), np.minimum(np.cumsum([0, *frames]), whole.frames).tolist()
    sounds = [
        stream.decode(whole.cut(a, b), last=i == len(frames))
        for i, (a, b) in enumerate(zip(edges, [*edges[1:], whole.frames], strict=True))
    ]
    assert sound.shape == wave.shape and near(np.concatenate(sounds, axis=2), sound)


@pytest.mark.parametrize("kind", ["sym", "v0", "v1"])
def test_a_batch_is_its_items(codecs: dict[str, AudioDec], kind: str) -> None:
    codec, wave = codecs[kind], noise(1_000, batch=3)
    together = codec.encode(wave)
    for i, item in enumerate(wave):
        alone = codec.encode(item[None])
        assert all(np.array_equal(a[0], b[i]) for a, b in zip(alone.levels, together.levels, strict=True))
        assert near(codec.decode(alone)[0], codec.decode(together)[i])


def test_a_frame_hears_the_first_of_its_samples_and_the_past(codecs: dict[str, AudioDec]) -> None:
    encoder, wave = codecs["sym"].encoder, torch.from_numpy(noise(12 * HOP))
    with torch.no_grad():
        whole = encoder(wave)
        for at, frame in ((0, 0), (1, 1), (5 * HOP, 5), (5 * HOP + 1, 6), (6 * HOP - 1, 6)):
            other = wave.clone()
            other[:, :, at] += 1
            changed = (encoder(other) != whole).any(dim=1)[0]
            assert changed.any() and int(changed.int().argmax()) == frame


@pytest.mark.parametrize("kind", ["sym", "c16", "v0", "v2"])
def test_a_seek_costs_just_the_preroll(kind: str) -> None:
    codec = small_audiodec(kind)
    preroll, hop = codec.info.preroll, codec.info.hop
    z = torch.randn(1, 8, preroll + 2, dtype=torch.float64, requires_grad=True)
    codec.decoder.double()(z)[0, 0, (preroll + 1) * hop].backward()
    assert z.grad is not None
    assert z.grad.any(dim=1)[0].tolist() == [False] + [True] * (preroll + 1)


def test_fewer_levels_are_the_first_ones(codecs: dict[str, AudioDec]) -> None:
    assert codecs["sym"].encode(noise(900), levels=2) == codecs["sym"].encode(noise(900)).head(2)


@pytest.mark.parametrize("kind", ["sym", "activated", "v1"])
def test_forward_is_encode_then_decode(codecs: dict[str, AudioDec], kind: str) -> None:
    codec, wave = codecs[kind], noise(1_001)
    with torch.no_grad():
        passed = codec(torch.from_numpy(wave))
    codes = codec.encode(wave)
    assert all(np.array_equal(a.numpy(), b) for a, b in zip(passed.quantized.levels, codes.levels, strict=True))
    assert near(passed.wave.numpy(), codec.decode(codes))


@pytest.mark.parametrize("kind", ["v0", "v1", "activated"])
def test_every_parameter_learns(kind: str) -> None:
    codec = small_audiodec(kind, fused=False).train()
    result = codec(torch.from_numpy(noise(1_500, batch=2)))
    (result.wave.square().mean() + result.quantized.commitment).backward()
    for name, parameter in codec.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all() and parameter.grad.any(), name


STAGES = [(), ("encoder", "quantizer"), ("quantizer", "decoder"), ("encoder", "quantizer", "decoder")]


@pytest.mark.parametrize("held", STAGES, ids="+".join)
@pytest.mark.parametrize("kind", ["sym", "v1"])
def test_what_is_frozen_stays_to_the_bit(kind: str, held: tuple[str, ...]) -> None:
    codec = small_audiodec(kind, fused=False).train()
    optimizer = torch.optim.AdamW(codec.parameters(), 1e-2, weight_decay=0.1)
    step(codec, optimizer)  # leaves gradients and momentum behind
    codec.freeze(*held)
    assert codec.frozen == held and codec.training
    codec.train()  # as trainers do after every validation
    before = copy.deepcopy(codec.state_dict())
    for _ in range(2):
        step(codec, optimizer)
    learnt = {name for name, _ in codec.named_parameters()} | {key for key in before if key.endswith("entries")}
    for part in ("encoder", "quantizer", "decoder"):
        same = {key: torch.equal(before[key], now) for key, now in codec.state_dict().items() if key.startswith(part)}
        assert all(same.values()) if part in held else not any(same[key] for key in same.keys() & learnt), part


def step(codec: AudioDec, optimizer: torch.optim.Optimizer) -> None:
    """One step of training, as far as anything learns."""
    optimizer.zero_grad()
    result = codec(torch.from_numpy(noise(900, batch=2)))
    loss = result.wave.square().mean() + result.quantized.commitment
    if loss.requires_grad:
        loss.backward()
    optimizer.step()


def test_what_was_held_learns_again() -> None:
    codec = small_audiodec(fused=False)
    codec.freeze("encoder", "quantizer")
    codec.freeze("decoder")
    assert codec.frozen == ("decoder",) and not codec.training
    assert next(name for name, p in codec.named_parameters() if not p.requires_grad).startswith("decoder")
    codec.freeze()
    codec.train()
    assert all(p.requires_grad for p in codec.parameters()) and all(m.training for m in codec.modules())
    with pytest.raises(InputError, match="has the parts encoder, quantizer, decoder, got projector"):
        codec.freeze("projector")


def test_encoder_and_decoder_run_in_threads_of_their_own(codecs: dict[str, AudioDec]) -> None:
    """A transmitter and a receiver, a queue of Codes between them, on one codec and on a copy of it."""
    for receiver in (codecs["v1"], copy.deepcopy(codecs["v1"])):
        codec, wave = codecs["v1"], noise(20 * HOP + 7)
        line: queue.Queue[Codes | None] = queue.Queue()
        heard: list[np.ndarray] = []

        def transmit(codec: AudioDec = codec, wave: np.ndarray = wave, line: queue.Queue[Codes | None] = line) -> None:
            stream = codec.stream()
            for at in range(0, wave.shape[2], 509):
                line.put(stream.encode(wave[:, :, at : at + 509], last=at + 509 >= wave.shape[2]))
            line.put(None)

        def receive(
            codec: AudioDec = receiver,
            heard: list[np.ndarray] = heard,
            line: queue.Queue[Codes | None] = line,
        ) -> None:
            stream = codec.stream()
            while (codes := line.get(timeout=60)) is not None:
                heard.append(stream.decode(codes))

        threads = [threading.Thread(target=transmit), threading.Thread(target=receive)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert near(np.concatenate(heard, axis=2), codec.decode(codec.encode(wave)))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU beside the CPU")
@pytest.mark.parametrize("part", ["encoder", "quantizer", "decoder"])
def test_parts_run_on_devices_of_their_own(codecs: dict[str, AudioDec], part: str) -> None:
    codec, wave = copy.deepcopy(codecs["v1"]), noise(3_001)
    expected = codec.encode(wave)
    codec.get_submodule(part).to("cuda")
    codes = codec.encode(wave)
    wrong = sum(int((a != b).sum()) for a, b in zip(codes.levels, expected.levels, strict=True))
    assert wrong < 0.01 * sum(level.size for level in codes.levels)  # a GPU rounds otherwise
    assert np.abs(codec.decode(expected) - codecs["v1"].decode(expected)).max() < 1e-3


@pytest.mark.parametrize("kind", [pytest.param("sym", marks=pytest.mark.slow), "v2"])
def test_exported_graphs_start_and_go_on_as_torch_does(kind: str, tmp_path: Path) -> None:
    codec = small_audiodec(kind)
    export(codec, tmp_path)  # rounds the weights of both to 16 bits
    graphs, wave = OnnxCodec(tmp_path), noise(15 * HOP + 1)
    codes = codec.encode(wave)
    stream = graphs.stream()
    pieces = [stream.encode(wave[:, :, at : at + HOP], last=at + HOP >= wave.shape[2]) for at in range(0, 4_501, HOP)]
    assert Codes.join(pieces) == codes
    sound = np.concatenate([stream.decode(piece) for piece in pieces], axis=2)
    expected = codec.decode(codes)
    assert np.abs(sound - expected).max() < 1e-4 * max(1, np.abs(expected).max())
