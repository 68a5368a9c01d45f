"""from_mimi: the codes and the sound of `transformers` with its weights, there and back; Moshi's files too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from small_mimi import CONFIG, small_mimi

from nacre import Codes, DamagedError, InputError
from nacre.codecs.mimi import PRESETS, Mimi, MimiConfig
from nacre.converters import from_mimi as module
from nacre.converters.from_mimi import NESTED, from_mimi, load_mimi, to_mimi

Weights = dict[str, torch.Tensor]


def nested(weights: Weights) -> Weights:
    """As `transformers` 5 has them in memory."""
    return {
        next((deep + key.removeprefix(flat) for deep, flat in NESTED.items() if key.startswith(flat)), key): tensor
        for key, tensor in weights.items()
    }


def noise(length: int, batch: int = 1) -> np.ndarray:
    return np.random.default_rng(length).normal(0, 0.3, (batch, 1, length)).astype(np.float32)


@pytest.mark.parametrize("style", ["huggingface", "moshi"])
def test_there_and_back_is_every_bit(style: Any) -> None:
    codec = small_mimi()
    weights = to_mimi(codec, style)
    again = from_mimi(weights, CONFIG)
    for (name, a), b in zip(codec.state_dict().items(), again.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    back = to_mimi(again, style)
    assert back.keys() == weights.keys() and all(torch.equal(back[key], weights[key]) for key in weights)


def test_every_spelling_is_the_same_codec() -> None:
    flat = to_mimi(small_mimi())
    digests = {from_mimi(w, CONFIG).info.digest for w in (flat, nested(flat), to_mimi(small_mimi(), "moshi"))}
    assert len(digests) == 1 and len(digests.pop()) == 16
    flat["decoder.layers.0.conv.bias"] += 1
    assert from_mimi(flat, CONFIG).info.digest != from_mimi(nested(to_mimi(small_mimi())), CONFIG).info.digest


def test_names_in_the_other_houses() -> None:
    with torch.device("meta"):
        codec = Mimi()
    shapes = {key: tuple(tensor.shape) for key, tensor in nested(to_mimi(codec)).items()}
    assert shapes["encoder.encoder_seanet.layers.0.conv.weight"] == (64, 1, 7)
    assert shapes["encoder.encoder_transformer.layers.0.self_attn.q_proj.weight"] == (512, 512)
    assert shapes["encoder.downsample.conv.weight"] == (512, 512, 4)
    assert shapes["quantizer.semantic_residual_vector_quantizer.layers.0.codebook.embed_sum"] == (2048, 256)
    shapes = {key: tuple(tensor.shape) for key, tensor in to_mimi(codec, "moshi").items()}
    assert shapes["encoder.model.1.block.3.conv.conv.weight"] == (64, 32, 1)
    assert shapes["decoder.model.2.convtr.convtr.weight"] == (1024, 512, 16)
    assert shapes["upsample.convtr.convtr.convtr.weight"] == (512, 1, 4)
    assert shapes["downsample.conv.conv.conv.weight"] == (512, 512, 4)
    assert shapes["decoder_transformer.transformer.layers.7.self_attn.in_proj_weight"] == (1536, 512)
    assert shapes["encoder_transformer.transformer.layers.0.layer_scale_1.scale"] == (512,)
    assert shapes["quantizer.rvq_rest.vq.layers.30._codebook.embedding_sum"] == (2048, 256)
    assert shapes["quantizer.rvq_first.vq.layers.0._codebook._initialized"] == (1,)
    assert shapes["quantizer.rvq_first.input_proj.weight"] == (256, 512, 1)


def test_moshi_turns_neighbours() -> None:
    codec = small_mimi()
    layer = codec.encoder.transformer[0].attention  # type: ignore[index]
    heads, dim, length = CONFIG.heads, CONFIG.dim // CONFIG.heads, CONFIG.context
    weight = to_mimi(codec, "moshi")["encoder_transformer.transformer.layers.0.self_attn.in_proj_weight"]
    x = torch.randn(1, CONFIG.dim, length)
    q, k, v = (x[0].T @ weight.T).reshape(length, 3, heads, dim).permute(1, 2, 0, 3).double()
    speed = 10_000.0 ** (-torch.arange(0, dim, 2, dtype=torch.float64) / dim)
    turn = torch.polar(torch.ones(length, dim // 2, dtype=torch.float64), torch.arange(length)[:, None] * speed)
    q, k = (torch.view_as_complex(part.unflatten(2, (-1, 2)).contiguous()) * turn for part in (q, k))
    scores = (q @ k.mH).real / dim**0.5
    future = torch.ones(length, length, dtype=torch.bool).triu(1)
    mixed = scores.masked_fill(future, -torch.inf).softmax(-1) @ v
    expected = mixed.permute(1, 0, 2).flatten(1).float() @ layer.out.weight.T
    torch.testing.assert_close(layer(x)[0].T, expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("change", ["drop", "add", "shape", "counts", "started", "twice"])
def test_weights_of_something_else_are_refused(change: str) -> None:
    weights = to_mimi(small_mimi())
    book = "quantizer.acoustic_residual_vector_quantizer.layers.2.codebook"
    if change == "drop":
        del weights["decoder_transformer.layers.1.self_attn.k_proj.weight"]
    elif change == "add":
        weights["encoder.layers.16.conv.bias"] = torch.zeros(4)
    elif change == "shape":
        weights["encoder.layers.14.conv.bias"] = torch.zeros(4)
    elif change == "counts":
        weights[f"{book}.cluster_usage"] = torch.ones(3)
    elif change == "started":
        weights[f"{book}.initialized"] = torch.ones(2)
    else:
        weights |= nested(weights)
    with pytest.raises(DamagedError, match=r"not the weights|twice"):
        from_mimi(weights, CONFIG)


def test_files_and_folders_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PRESETS", {"mimi-24k": CONFIG})
    save_file(to_mimi(small_mimi()), tmp_path / "model.safetensors")
    save_file(to_mimi(small_mimi(), "moshi"), tmp_path / "tokenizer-e351c8d8-checkpoint125.safetensors")
    codec = load_mimi(tmp_path)
    assert codec.info.name == "mimi-24k" and not codec.training
    assert load_mimi(tmp_path / "tokenizer-e351c8d8-checkpoint125.safetensors").info == codec.info
    with pytest.raises(InputError, match="expected one of mimi-24k"):
        load_mimi(tmp_path, "mimi")


# Beside the package.


def transformers_model(config: MimiConfig) -> Any:
    """`MimiModel` of our sizes."""
    transformers = pytest.importorskip("transformers")
    sizes = transformers.MimiConfig(
        num_filters=config.filters,
        hidden_size=config.dim,
        upsample_groups=config.dim,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        num_key_value_heads=config.heads,
        intermediate_size=config.hidden,
        sliding_window=config.context,
        num_quantizers=config.levels,
        codebook_size=config.codebook_size,
        codebook_dim=config.code_dim,
        vector_quantization_hidden_dimension=config.code_dim,
    )
    return transformers.MimiModel(sizes).eval()


def agree(model: Any, codec: Mimi, wave: np.ndarray, levels: int) -> int:
    """The same sound from the same codes; gives how many frames have other codes because two entries tie."""
    with torch.no_grad():
        theirs = model.encode(torch.from_numpy(wave), num_quantizers=levels).audio_codes
        sound = model.decode(theirs).audio_values[..., : wave.shape[2]].numpy()
    codes = theirs.numpy()
    ours = codec.encode(wave, levels)
    assert np.stack(ours.levels, 1).shape == codes.shape
    heard = codec.decode(Codes(tuple(codes.transpose(1, 0, 2)), wave.shape[2], codec.info))
    assert np.abs(heard - sound).max() < 1e-5 * np.abs(sound).max()
    return int((np.stack(ours.levels, 1) != codes).any(axis=1).sum())


@pytest.mark.filterwarnings("ignore")
def test_transformers_and_we_agree() -> None:
    codec = small_mimi()
    model = transformers_model(CONFIG)
    model.load_state_dict(nested(to_mimi(codec)))
    for length in (1, 2, 959, 960, 961, 1_919, 1_920, 1_921, 2_880, 24_000, 48_001):
        assert agree(model, codec, noise(length), CONFIG.levels) == 0
    assert agree(model, codec, noise(10_000, batch=3), 1) == 0
    assert agree(model, codec, noise(10_000, batch=3), 4) == 0
    again = from_mimi(model.state_dict(), CONFIG, "small-mimi")
    assert again.encode(noise(10_000)).levels[4].tolist() == codec.encode(noise(10_000)).levels[4].tolist()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_transformers_and_we_agree_at_full_size() -> None:
    config = PRESETS["mimi-24k"]
    torch.manual_seed(0)
    codec = small_mimi(config)
    model = transformers_model(config)
    model.load_state_dict(nested(to_mimi(codec)))
    ties, count = 0, 0
    for length, batch, levels in ((1, 1, 32), (24_000, 2, 8), (100_001, 1, 32), (300_000, 1, 8)):
        ties += agree(model, codec, noise(length, batch), levels)
        count += batch * levels * -(-length // 1_920)
    assert ties < 1e-3 * count
