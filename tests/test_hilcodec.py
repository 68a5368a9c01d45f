"""HILCodec: published sizes, streams that are the file, folding that changes nothing, parts that learn."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import chain
from pathlib import Path

import hilcodec_reference as reference
import numpy as np
import onnx
import pytest
import torch
from accelerate import Accelerator
from hypothesis import example, given, settings
from hypothesis import strategies as st
from small_hilcodec import CONFIG, SIZES, small_hilcodec
from small_run import make_sound
from streamed import assert_batch_is_its_items, streamed

from nacre import OnnxCodec, decode_file, encode_file, read, write
from nacre.codecs.hilcodec import PIECE, PRESETS, HILCodec, HILCodecConfig, Spectrum, Unit, fourier, steady
from nacre.converters.from_safetensors import load_folder
from nacre.converters.to_onnx import export
from nacre.nn.state import State
from nacre.training.checkpoint import Checkpoints
from nacre.training.journal import Journal
from nacre.training.losses import MEL_LOSSES
from nacre.training.recipe import read_recipe
from nacre.training.run import Data, open_material, seed_all
from nacre.training.trainer import Trainer
from nacre.training.weights import finish

HOP = 320
RECIPES = Path(__file__).parents[1] / "recipes"


@pytest.fixture(scope="module")
def codec() -> HILCodec:
    return small_hilcodec()


def noise(length: int, batch: int = 1) -> np.ndarray:
    return np.random.default_rng(length).normal(0, 0.1, (batch, 1, length)).astype(np.float32)


@pytest.mark.parametrize(("name", "levels", "kbps"), [("hilcodec-speech", 8, 6.0), ("hilcodec-music", 12, 9.0)])
def test_presets_are_the_published_ones(name: str, levels: int, kbps: float) -> None:
    with torch.device("meta"):
        codec = HILCodec(PRESETS[name], name)
    counts = [sum(p.numel() for p in part.parameters()) for part in (codec, codec.encoder)]
    assert counts == [9_577_019, 2_989_773]
    info = codec.info
    assert (info.name, info.sample_rate, info.channels, info.hop, info.frame_rate) == (name, 24_000, 1, 320, 75.0)
    assert (info.levels, info.bitrate(), info.codebook_sizes[0]) == (levels, 1000 * kbps, 1024)
    assert (info.latency, info.delay, info.lookahead) == (320 / 24_000, 0, 0)
    assert [info.bitrate(n) for n in codec.config.dropout] == [1500.0, 3000.0, 6000.0, 9000.0][
        : len(codec.config.dropout)
    ]


def test_constants_are_the_published_ones() -> None:
    config = HILCodecConfig()
    assert [round(steady(config, j), 4) for j in range(4)] == [1.0, 0.8660, 0.7746, 0.7071]
    assert (config.memory, round(config.share**2, 12)) == (1023, round(1 / 3, 12))


def test_what_is_kept_between_chunks_is_the_published_list() -> None:
    codec, encoder, decoder = HILCodec().eval(), State(), State()
    with torch.inference_mode():
        codec.encoder(torch.zeros(1, 1, HOP), encoder)
        codec.decoder(torch.zeros(1, 128, 1), decoder)
    down = [[(c, 4)] * 4 + [(2 * c, s)] for c, s in ((64, 2), (128, 4), (256, 5), (512, 8))]
    up = [[(c, 1)] + [(c // 2, 4)] * 6 for c in (1536, 768, 384, 192)]
    assert shapes(encoder) == [(1, 1023), *chain(*down), (1024, 4)]
    assert shapes(decoder) == [(1536, 4), *chain(*up), (96, 4)]


def shapes(state: State) -> list[tuple[int, int]]:
    """Channels and positions of what a stream keeps."""
    return [(kept.shape[2], kept.shape[1]) for kept in state.tensors()]


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 6_000), st.lists(st.sampled_from([0, 1, 17, 320, 509, 2_240]), max_size=8))
@example(PIECE * HOP + 700, [PIECE * HOP - 1, 2])
@example(1, [1])
@example(0, [0])
def test_stream_is_file_to_the_last_bit(codec: HILCodec, length: int, sizes: list[int]) -> None:
    wave = noise(length)
    codes, sound = streamed(codec, wave, sizes)
    assert codes == codec.encode(wave)
    assert codes.frames == -(-length // HOP) and sound.shape == wave.shape
    assert np.abs(sound - codec.decode(codes)).max(initial=0) < 1e-6


def test_pieces_of_a_file_are_one_pass(codec: HILCodec) -> None:
    wave = noise((3 * PIECE + 5) * HOP, batch=2)
    with torch.inference_mode():
        levels = codec.quantizer.encode(codec.encoder(torch.from_numpy(wave)))
        sound = codec.decoder(codec.quantizer.decode(levels)).numpy()
    codes = codec.encode(wave)
    assert all(np.array_equal(a, b.numpy()) for a, b in zip(codes.levels, levels, strict=True))
    assert np.abs(codec.decode(codes) - sound).max() < 1e-6


@pytest.mark.parametrize("length", [1, 321, 4_000])
def test_a_batch_is_its_items(codec: HILCodec, length: int) -> None:
    assert_batch_is_its_items(codec, noise(length, batch=3), 1e-6)


def test_a_frame_hears_its_own_samples_and_none_after(codec: HILCodec) -> None:
    wave = torch.from_numpy(noise(20 * HOP))
    with torch.no_grad():
        whole = codec.encoder(wave)
        for at, first in ((0, 0), (5 * HOP - 1, 4), (5 * HOP, 5), (19 * HOP, 19)):
            other = wave.clone()
            other[:, :, at] += 1
            changed = (codec.encoder(other) != whole).any(dim=1)[0]
            assert int(changed.int().argmax()) == first


def test_the_preroll_is_enough_and_not_more_than_needed(codec: HILCodec) -> None:
    codes, preroll = codec.encode(noise(40 * HOP)), codec.info.preroll
    whole = codec.decode(codes)
    part = codec.decode(codes.cut(20, 40))
    off = np.abs(part - whole[:, :, 20 * HOP :])[0, 0].reshape(-1, HOP).max(axis=1)
    assert off[preroll:].max() < 1e-7 and off[preroll - 1] > 1e-7


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("quirks", [True, False])
def test_quirks_are_those_of_the_released_graphs(fused: bool, quirks: bool) -> None:
    weights = reference.made_up(SIZES)
    codec = HILCodec(replace(CONFIG, onnx_quirks=quirks))
    codec.load_state_dict(small_hilcodec(fused=False).state_dict())
    if fused:
        codec.fold()
    z = torch.randn(1, 8, 6, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(codec.decoder(z), reference.decode(weights, z, quirks), atol=1e-6, rtol=0)
        assert (codec.decoder(z) - reference.decode(weights, z, not quirks)).abs().max() > 1e-3


def test_folding_takes_every_constant_and_gives_it_back() -> None:
    codec, plain = small_hilcodec(fused=False), small_hilcodec(fused=False)
    wave = torch.from_numpy(noise(8 * HOP))

    def both(one: HILCodec) -> tuple[torch.Tensor, torch.Tensor]:
        with torch.no_grad():
            z = one.encoder(wave)
            return z, one.decoder(z)

    expected = both(plain)
    for step in (codec.fold, codec.fold, codec.unfold, codec.unfold, codec.fold):
        step()
        for got, wanted in zip(both(codec), expected, strict=True):
            torch.testing.assert_close(got, wanted, atol=2e-5, rtol=0)
    assert all(part.gain is None for part in codec.modules() if isinstance(part, Unit | Spectrum))


def test_the_fourier_basis_is_one_but_for_its_rounding() -> None:
    n = 256
    exact = np.exp(-2j * np.pi * np.outer(np.arange(n // 2 + 1), np.arange(n)) / n)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n) / n)
    gap = fourier(n)[:, 0].numpy() - np.concatenate([exact.real, exact.imag]) * window
    assert np.abs(gap).max() < 1e-4


def test_silence_and_full_scale_are_coded(codec: HILCodec) -> None:
    for wave in (np.zeros((1, 1, 1_000), np.float32), np.ones((1, 1, 1_000), np.float32)):
        sound = codec.decode(codec.encode(wave))
        assert np.isfinite(sound).all() and np.abs(sound).max() <= 1


@pytest.mark.parametrize("length", [1, 321, 4_001])
def test_forward_is_encode_then_decode(codec: HILCodec, length: int) -> None:
    wave = noise(length)
    with torch.no_grad():
        passed = codec(torch.from_numpy(wave))
    codes = codec.encode(wave)
    assert all(np.array_equal(a.numpy(), b) for a, b in zip(passed.quantized.levels, codes.levels, strict=True))
    assert np.abs(passed.wave.numpy() - codec.decode(codes)).max() < 1e-6


def test_every_parameter_learns() -> None:
    codec = small_hilcodec(fused=False).train()
    result = codec(torch.from_numpy(noise(4_000, batch=2)))
    (result.wave.square().mean() + result.quantized.commitment).backward()
    for name, parameter in codec.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all() and parameter.grad.any(), name


def test_a_fresh_encoder_keeps_power_at_one() -> None:
    torch.manual_seed(0)
    codec = HILCodec(replace(CONFIG, encoder_dim=32)).eval()
    powers: list[float] = []
    for unit in [part for part in codec.encoder.modules() if isinstance(part, Unit)]:
        unit.gain.data.fill_(1)
        unit.branch.register_forward_pre_hook(lambda _, given: powers.append(float(given[0].square().mean())))
    with torch.no_grad():
        z = codec.encoder(torch.from_numpy(noise(30 * HOP)))
    assert len(powers) == 8 and min(powers) > 0.4 and max(powers) < 2.5
    assert float(z.square().mean()) == pytest.approx(1)


def test_commitment_is_the_distance_to_the_sum() -> None:
    codec = small_hilcodec()
    z = torch.randn(2, 8, 5)
    with torch.no_grad():
        quantized = codec.quantizer(z)
        total = codec.quantizer.decode(quantized.levels)
    torch.testing.assert_close(quantized.commitment, (z - total).square().mean())


def test_graphs_stream_the_same_and_their_weights_come_back(tmp_path: Path) -> None:
    codec, wave = small_hilcodec(), noise(1_700, batch=2)
    export(codec, tmp_path)
    graphs = OnnxCodec(tmp_path)
    whole = graphs.decode(graphs.encode(wave))
    for chunk in (1, 320, 509):
        codes, sound = streamed(graphs, wave, [chunk] * (wave.shape[2] // chunk))
        assert codes == codec.encode(wave)
        assert np.array_equal(sound, whole)
        assert np.abs(sound - codec.decode(codes)).max() < 1e-5
    graph = onnx.load(tmp_path / "encoder.onnx", load_external_data=False).graph
    tables = [node.attribute[0].t for node in graph.node if node.op_type == "Constant"]
    held = sum(t.ByteSize() for t in [*tables, *graph.initializer] if not t.external_data)
    bases = sum(4 * basis.numel() for name, basis in codec.named_buffers() if name.endswith(".basis"))
    assert bases > 80_000 and held < bases / 4  # they are computed in the graph, not kept in it
    again = load_folder(tmp_path)
    assert again.info == codec.info and np.array_equal(again.decode(codes), codec.decode(codes))


def test_files_keep_length_and_place(codec: HILCodec, tmp_path: Path) -> None:
    source, coded, back = (str(tmp_path / name) for name in ("in.wav", "coded.nac", "out.wav"))
    wave = np.clip(noise(50_001), -1, 1)
    write(source, wave, 24_000)
    encode_file(codec, source, coded)
    decode_file(lambda info: codec, coded, back)
    given, expected = read(back).samples, codec.decode(codec.encode(read(source).samples))
    assert given.shape == wave.shape
    assert np.abs(given - np.clip(expected, -1, 1)).max() < 1e-4


TINY = (
    "steps=5",
    "batch=2",
    "crop=0.1",
    "warmup=1",
    "precision=fp32",
    "adversarial_on_cpu=true",
    "validation_clips=1",
    "log_every=1",
    "checkpoint_every=5",
    "codec.encoder_dim=4",
    "codec.decoder_dim=4",
    "codec.latent=8",
    "codec.codebook_size=16",
    "codec.levels=2",
    "codec.dropout=[1, 2]",
    "codec.n_fft=16",
)


@pytest.mark.parametrize("name", ["hilcodec-speech", "hilcodec-music"])
def test_its_recipe_is_the_papers(name: str) -> None:
    recipe = read_recipe(RECIPES / f"{name}.toml")
    assert recipe.codec == PRESETS[name] and recipe.mel == MEL_LOSSES["hilcodec"]
    assert (recipe.lr, recipe.betas, recipe.weight_decay, recipe.warmup) == (5e-4, (0.5, 0.9), 1e-5, 5_000)
    assert recipe.lr * recipe.final_lr == pytest.approx(1e-6)
    assert recipe.crop * recipe.codec.sample_rate == 24_000
    weights = recipe.weights
    assert weights.mel / weights.adversarial == pytest.approx(0.48 / 2.2) and weights.feature == weights.adversarial
    assert weights.commitment == pytest.approx(0.01 / (weights.mel + 2 * weights.feature), rel=0.03)


@pytest.mark.slow
@pytest.mark.parametrize("families", ["stft-hilcodec", "filter-bank-hilcodec"])
def test_a_tiny_one_trains_by_its_recipe(families: str, tmp_path: Path) -> None:
    sound = make_sound(tmp_path / "sound", files=1, seconds=1.0, rate=24_000)
    recipe = read_recipe(RECIPES / "hilcodec-speech.toml", [*TINY, f'discriminators=["{families}"]'])
    seed_all(0)
    codec, accelerator = recipe.build(), Accelerator()
    before = {name: parameter.detach().clone() for name, parameter in codec.named_parameters()}
    trainer = Trainer(recipe, codec, open_material(recipe, codec, Data(sound), accelerator), accelerator)
    journal = Journal(tmp_path)
    trainer.run(journal, Checkpoints(tmp_path))
    journal.close()
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    terms = [[row[name] for name in ("mel", "adversarial", "feature", "commitment")] for row in rows if "mel" in row]
    assert len(terms) == 5 and np.isfinite(terms).all()
    stuck = [name for name, parameter in codec.named_parameters() if torch.equal(before[name], parameter)]
    assert stuck == []
    info = finish(tmp_path, tmp_path / "weights")
    assert load_folder(tmp_path / "weights").info == OnnxCodec(tmp_path / "weights").info == info
