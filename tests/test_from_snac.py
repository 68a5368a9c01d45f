"""SNAC's weights become ours and go back: the package's codes, and its sound with its noise or without."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from small_snac import SMALL, small_snac

from nacre import DamagedError, InputError, MissingError
from nacre.codecs.snac import PRESETS, SNAC
from nacre.converters.from_snac import load_snac, rename, save_snac, to_snac
from nacre.converters.keys import coding_keys
from nacre.nn.noise import normal_at

NEW = "parametrizations.weight.original"


def package() -> Any:
    return pytest.importorskip("snac")


def random_model(name: str, folder: Path) -> Any:
    """The package's model of the size `name`, with weights of its own, saved where it would load it from."""
    save_snac(small_snac(name), folder)
    model = package().SNAC.from_config(folder / "config.json").eval()
    torch.manual_seed(1)
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if key.endswith(("alpha", "norm.weight")):
                parameter.uniform_(0.5, 1.5)  # a scale of 0 or 1 would leave much untested
            elif key.endswith(NEW + "0"):
                parameter.uniform_(0.4, 0.8)
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    return model


def noise(length: int, batch: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(length).normal(0, 0.2, (batch, 1, length)).astype(np.float32))


def decode(model: Any, codes: list[torch.Tensor], seed: int | None, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """The package's sound, its noise replaced by ours of `seed`, or by none."""
    frames = codes[0].shape[1] * model.vq_strides[0]

    def draw(shape: tuple[int, ...], **_: Any) -> torch.Tensor:
        return torch.zeros(shape) if seed is None else normal_at(torch.arange(shape[2]), seed, shape[2] // frames)

    with monkeypatch.context() as patch, torch.no_grad():
        patch.setattr("snac.layers.torch.randn", draw)
        sound: np.ndarray = model.decode(codes).numpy()
    return sound


@pytest.mark.parametrize(("name", "lengths"), [("small-speech", (1, 6001)), ("small-music", (12_289,))])
def test_the_packages_codes_and_sound(
    name: str, lengths: tuple[int, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = random_model(name, tmp_path)
    codec = load_snac(tmp_path)
    for length in lengths:
        wave = noise(length, batch=2)
        ours = codec.encode(wave.numpy())
        with torch.no_grad():
            theirs = model.encode(wave)
        assert len(ours.levels) == len(theirs)
        for level, codes in zip(ours.levels, theirs, strict=True):
            assert np.array_equal(level, codes.numpy())
        for seed in (None, 0, 5):
            codec.seed = seed
            expected = decode(model, theirs, seed, monkeypatch)[..., :length]
            assert np.abs(codec.decode(ours) - expected).max() < 1e-4 * np.abs(expected).max()


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_lengths_and_batches(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = random_model(name, tmp_path)
    codec = load_snac(tmp_path)
    flips = total = 0
    for length, batch in ((1, 1), (383, 3), (384, 1), (16_000, 4), (100_001, 1)):
        wave = noise(length, batch)
        ours = codec.encode(wave.numpy())
        with torch.no_grad():
            theirs = model.encode(wave)
        flips += sum(int((a != b.numpy()).sum()) for a, b in zip(ours.levels, theirs, strict=True))
        total += sum(level.size for level in ours.levels)
        codec.seed = None
        ours = type(ours)(tuple(level.numpy() for level in theirs), length, codec.info)
        expected = decode(model, theirs, None, monkeypatch)[..., :length]
        assert np.abs(codec.decode(ours) - expected).max() < 1e-4 * np.abs(expected).max()
    assert flips < 1e-3 * total  # of near ties


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("fused", [True, False])
def test_there_and_back(name: str, fused: bool, tmp_path: Path) -> None:
    model = random_model(name, tmp_path)
    codec = load_snac(tmp_path, fused=fused)
    assert codec.config == SMALL[name]
    weights, held = to_snac(codec), model.state_dict()
    assert weights.keys() == held.keys()
    model.load_state_dict(weights)  # strict
    if not fused:
        assert all(torch.equal(weights[key], held[key]) for key in held)
    wave = noise(5000, batch=1)
    save_snac(codec, tmp_path / "again")
    again = package().SNAC.from_pretrained(str(tmp_path / "again"))
    with torch.no_grad():
        for one, two in zip(again.encode(wave), model.encode(wave), strict=True):
            assert torch.equal(one, two)


def test_files_of_weights_alone_are_of_the_preset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PRESETS, "snac-24k", SMALL["small-speech"])
    weights = to_snac(small_snac("small-speech"))
    old = {key.replace(NEW + "0", "weight_g").replace(NEW + "1", "weight_v"): value for key, value in weights.items()}
    codes = []
    for k, given in enumerate((weights, old, {f"module.{key}": value for key, value in weights.items()})):
        path = tmp_path / f"{k}.safetensors"
        save_file({key: value.contiguous() for key, value in given.items()}, path)
        codec = load_snac(path)
        assert codec.info.name == "snac-24k"
        codes.append(codec.encode(noise(4000, 1).numpy()))
    assert codes[0] == codes[1] == codes[2]  # and the digest too


@pytest.mark.parametrize("name", PRESETS)
def test_every_key_of_the_released_models_has_one_place(name: str) -> None:
    with torch.device("meta"):
        codec = SNAC(PRESETS[name])
    table = rename(PRESETS[name])
    assert {next(m for m in table if key.startswith(m + ".")) for key in coding_keys(codec)} == set(table)
    assert len(set(table.values())) == len(table)
    ours = {theirs: here for here, theirs in table.items()}
    if name == "snac-24k":  # SPECS
        shapes = {
            "encoder.block.0": (48, 1, 7),
            "encoder.block.1.block.0.block.1": (48, 1, 7),
            "encoder.block.1.block.4": (96, 48, 4),
            "quantizer.quantizers.0.in_proj": (8, 768, 1),
            "decoder.model.2.block.1": (1024, 512, 16),
            "decoder.model.2.block.2.linear": (512, 512, 1),
            "decoder.model.7": (1, 64, 7),
        }
        for theirs, shape in shapes.items():
            assert tuple(codec.get_submodule(ours[theirs]).weight.shape) == shape
    else:
        assert "encoder.block.5.to_qkv" in ours and "decoder.model.2.to_out" in ours


def test_the_released_configs_are_the_presets(tmp_path: Path) -> None:
    package()
    for name, config in PRESETS.items():
        with torch.device("meta"):
            model = package().SNAC(
                sampling_rate=config.sample_rate,
                encoder_dim=config.encoder_dim,
                encoder_rates=list(config.strides),
                decoder_dim=config.decoder_dim,
                decoder_rates=list(config.strides[::-1]),
                attn_window_size=config.window,
                vq_strides=list(config.level_strides),
            )
            ours = SNAC(config, name)
        assert sum(p.numel() for p in model.parameters()) == sum(p.numel() for p in ours.parameters())


def test_files_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    save_snac(small_snac("small-music"), tmp_path)
    path, weights = tmp_path / "pytorch_model.bin", to_snac(small_snac("small-music"))
    key, speeds = "decoder.model.9.bias", "decoder.model.2.rel_pos.inv_freq"
    key = next(k for k, v in weights.items() if k.endswith("bias") and v.shape == (1,))
    for given, words in (
        ({k: v for k, v in weights.items() if k != key}, " missing"),
        ({**weights, "extra": torch.zeros(1)}, "extra unknown"),
        ({**weights, key: torch.zeros(2)}, r"should have shape \[1\], got \[2\]"),
        ({**weights, speeds: weights[speeds] * 2}, "inv_freq is another than"),
    ):
        torch.save(given, path)
        with pytest.raises(DamagedError, match=words):
            load_snac(tmp_path)
    torch.save({k: v for k, v in weights.items() if "rel_pos" not in k}, path)
    load_snac(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    for change, words in (({"decoder_rates": [2, 3, 8, 8]}, "backwards"), ({"latent_dim": 7}, "64 latents")):
        (tmp_path / "config.json").write_text(json.dumps(config | change))
        with pytest.raises(InputError, match=words):
            load_snac(tmp_path)
    for text in ("{", "[]", json.dumps(config | {"vq_strides": 3})):
        (tmp_path / "config.json").write_text(text)
        with pytest.raises(DamagedError, match="does not describe"):
            load_snac(tmp_path)
    with pytest.raises(InputError, match="expected one of snac-24k"):
        load_snac(tmp_path, "snac-8k")
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingError, match=r"no model\.safetensors or pytorch_model\.bin"):
        load_snac(tmp_path / "empty")
    with pytest.raises(MissingError, match="no file"):
        load_snac(tmp_path / "none.bin")
