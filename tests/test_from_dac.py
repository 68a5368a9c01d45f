"""DAC's weights become ours: the package's codes and sound, from golden files and live; no key unused."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from makers import GOLDEN, beside_packages, script
from safetensors.torch import save_file

from nacre import DamagedError, InputError, MissingError
from nacre.codecs.dac import DAC, PRESETS, DACConfig
from nacre.converters.from_dac import load_dac, package_kwargs, rename, save_dac, to_dac
from nacre.converters.keys import coding_keys
from nacre.nn.weight_norm import NEW, OLD

HUGGING_FACE = {
    "sample_rate": "sampling_rate",
    "encoder_rates": "downsampling_ratios",
    "decoder_rates": "upsampling_ratios",
    "encoder_dim": "encoder_hidden_size",
    "decoder_dim": "decoder_hidden_size",
    "latent_dim": "hidden_size",
}


MAKE = script(GOLDEN / "dac" / "make.py")
ODD_FIRST = ["odd", pytest.param("even", marks=pytest.mark.slow)]  # the odd strides are the harder ones


def config_of(name: str) -> DACConfig:
    shape = MAKE.kwargs_of(name)
    rates = tuple(shape["encoder_rates"])
    latent = shape.get("latent_dim", shape["encoder_dim"] << len(rates))
    return DACConfig(shape["sample_rate"], rates, 4, 64, latent, shape["n_codebooks"], 64)


def package_weights(name: str, spelling: tuple[str, str] = OLD) -> dict[str, torch.Tensor]:
    """The state dict of the package's model, made without the package."""
    codec, table, weights = DAC(config_of(name)), rename(config_of(name)), {}
    state = codec.state_dict()
    for key in sorted(coding_keys(codec)):
        module = next(m for m in table if key.startswith(m + "."))
        leaf = key.removeprefix(module + ".")
        old = dict(zip(NEW, OLD, strict=True)).get(leaf, leaf).replace("entries", "weight")
        new = dict(zip(OLD, spelling, strict=True)).get(old, old)
        theirs = table[module][0]
        weights[f"{theirs}.{new}"] = torch.from_numpy(MAKE.weight_of(f"{theirs}.{old}", tuple(state[key].shape)))
    return weights


def save_package(path: Path, name: str, weights: dict[str, torch.Tensor]) -> Path:
    torch.save({"state_dict": weights, "metadata": {"kwargs": MAKE.kwargs_of(name)}}, path)
    return path


def save_folder(folder: Path, name: str) -> Path:
    """The same model as Hugging Face has it: other names, plain weights."""
    folder.mkdir()
    theirs = {package: hugging_face for package, hugging_face in rename(config_of(name)).values()}
    weights, plain = package_weights(name), {}
    for key, value in weights.items():
        module, _, leaf = key.rpartition(".")
        if leaf == "weight_v":
            size = value.norm(dim=tuple(range(1, value.ndim)), keepdim=True)
            plain[f"{theirs[module]}.weight"] = value * weights[f"{module}.weight_g"] / size
        elif leaf != "weight_g":
            plain[f"{theirs[module]}.{leaf}"] = value
    save_file(plain, folder / "model.safetensors")
    fields = {HUGGING_FACE.get(key, key): value for key, value in MAKE.kwargs_of(name).items()}
    fields.setdefault("hidden_size", config_of(name).latent)
    (folder / "config.json").write_text(json.dumps({"model_type": "dac", **fields}))
    return folder


def agree(codec: DAC, wave: np.ndarray, codes: np.ndarray, sound: np.ndarray, atol: float = 1e-5) -> None:
    """Same codes; same sound up to where the original is short."""
    ours = codec.encode(wave)
    assert np.array_equal(np.stack(ours.levels, 1), codes)
    padded = np.pad(wave, ((0, 0), (0, 0), (0, -wave.shape[2] % codec.info.hop)))
    heard = codec.decode(codec.encode(padded))
    end = padded.shape[2] - codec.decoder.lost
    assert np.abs(heard[: len(sound), :, :end][..., -sound.shape[2] :] - sound).max() < atol
    assert not heard[:, :, end:].any()


@pytest.mark.parametrize("name", MAKE.SHAPES)
@pytest.mark.parametrize("kind", ["old", "new", "folder", "unfused"])
def test_the_packages_codes_and_sound(name: str, kind: str, tmp_path: Path) -> None:
    if kind == "folder":
        codec = load_dac(save_folder(tmp_path / "hf", name))
    else:
        weights = package_weights(name, NEW if kind == "new" else OLD)
        codec = load_dac(save_package(tmp_path / "w.pth", name, weights), fused=kind != "unfused")
    assert codec.config == config_of(name)
    held = np.load(GOLDEN / "dac" / f"{name}.npz")
    for length in MAKE.LENGTHS[name]:
        agree(codec, MAKE.wave_of(length), held[f"codes{length}"], held[f"sound{length}"])


@pytest.fixture
def package() -> Iterator[ModuleType]:
    """Golden's maker, beside the package."""
    with beside_packages("dac"):
        yield MAKE


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ODD_FIRST)
def test_the_package_and_we_agree(name: str, package: Any, tmp_path: Path) -> None:
    model = package.official(name)
    path = save_package(tmp_path / "w.pth", name, dict(model.state_dict()))
    assert set(model.state_dict()) == set(package_weights(name))
    codec = load_dac(path)
    for length in (1, codec.info.hop - 1, codec.info.hop, codec.info.hop + 1, 16_000, 33_000):
        wave = package.wave_of(length)
        agree(codec, wave, *package.says(model, wave), atol=1e-4)
    z = torch.randn(2, codec.config.latent, 21, dtype=torch.float64)
    x = torch.randn(2, 1, 21 * codec.info.hop, dtype=torch.float64)
    codec = load_dac(path, fused=False).double()  # the fused weights are rounded
    model.double()
    with torch.no_grad():  # with rounding out of the way, hardly anything is left
        assert (model.encoder(x) - codec.encoder(x)).abs().max() < 1e-7
        sound = model.decoder(z)
        assert (sound - codec.decoder(z)[..., : sound.shape[-1]]).abs().max() < 1e-7


@pytest.mark.parametrize("name", PRESETS)
def test_every_key_of_the_released_models_has_one_place(name: str) -> None:
    with torch.device("meta"):
        codec = DAC(PRESETS[name])
    table = rename(PRESETS[name])
    assert {next(m for m in table if key.startswith(m + ".")) for key in coding_keys(codec)} == set(table)
    for theirs in zip(*table.values(), strict=True):
        assert len(set(theirs)) == len(table)
    assert table["encoder.1.body.1"] == ("encoder.block.1.block.0.block.1", "encoder.block.0.res_unit1.conv1")
    assert table["encoder.5"] == ("encoder.block.1.block.4", "encoder.block.0.conv1")
    assert table["decoder.2"] == ("decoder.model.1.block.1", "decoder.block.0.conv_t1")
    assert table["decoder.22"] == ("decoder.model.6", "decoder.conv2")


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("name", ODD_FIRST)
def test_weights_go_back(name: str, fused: bool, tmp_path: Path) -> None:
    weights = package_weights(name)
    codec = load_dac(save_package(tmp_path / "w.pth", name, weights), fused=fused)
    back = to_dac(codec)
    assert back.keys() == weights.keys()
    assert fused or all(torch.equal(back[key], weights[key]) for key in weights)
    wave = MAKE.wave_of(4000)
    codes = codec.encode(wave)
    for path in (tmp_path / "again.pth", tmp_path / "folder"):
        save_dac(codec, path)
        again = load_dac(path)
        assert again.config == codec.config
        assert again.encode(wave).levels[0].tolist() == codes.levels[0].tolist()
        same = again.decode(dataclasses.replace(codes, info=again.info))
        assert np.abs(same - codec.decode(codes)).max() < 1e-4  # rounded by the way


def test_the_sizes_are_said_as_the_package_says_them(tmp_path: Path) -> None:
    path = save_package(tmp_path / "w.pth", "odd", package_weights("odd"))
    given = torch.load(path, weights_only=True)["metadata"]["kwargs"]
    said = package_kwargs(load_dac(path))
    assert given and {key: said[key] for key in given} == given


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ODD_FIRST)
def test_transformers_and_we_agree(name: str, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    codec = load_dac(save_package(tmp_path / "w.pth", name, package_weights(name)))
    save_dac(codec, tmp_path)
    model, report = transformers.DacModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report.values())
    assert set(model.state_dict()) == set(to_dac(codec, "huggingface"))
    for length in (codec.info.hop * 3, 8000 // codec.info.hop * codec.info.hop):
        wave = MAKE.wave_of(length)
        with torch.no_grad():
            theirs = model.encode(torch.from_numpy(wave)).audio_codes
            sound = model.decode(audio_codes=theirs).audio_values.numpy()
        ours = codec.encode(wave)
        assert np.array_equal(np.stack(ours.levels, 1), theirs.numpy())
        heard = codec.decode(ours)[:, 0, : sound.shape[-1]]
        assert np.abs(heard - sound).max() < 1e-4 * np.abs(sound).max()


def test_the_digest_is_of_the_weights(tmp_path: Path) -> None:
    weights = package_weights("even")
    one = load_dac(save_package(tmp_path / "one.pth", "even", weights)).info
    weights["decoder.model.6.bias"] = weights["decoder.model.6.bias"] + 1
    two = load_dac(save_package(tmp_path / "two.pth", "even", weights)).info
    assert (one.name, two.name) == ("one", "two")
    assert len(one.digest) == 16 and one.digest != two.digest


def test_files_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    path, weights = tmp_path / "w.pth", package_weights("even")
    key = "decoder.model.6.bias"
    with pytest.raises(DamagedError, match=rf"{key} missing"):
        load_dac(save_package(path, "even", {k: v for k, v in weights.items() if k != key}))
    with pytest.raises(DamagedError, match="extra unknown"):
        load_dac(save_package(path, "even", {**weights, "extra": torch.zeros(1)}))
    with pytest.raises(DamagedError, match=rf"{key} should have shape \[1\], got \[2\]"):
        load_dac(save_package(path, "even", {**weights, key: torch.zeros(2)}))
    with pytest.raises(DamagedError, match="not the weights of w: "):
        load_dac(save_package(path, "even", {"a": torch.zeros(1)}))
    torch.save({"state_dict": weights}, path)
    with pytest.raises(InputError, match="expected state_dict and metadata"):
        load_dac(path)
    torch.save({"state_dict": weights, "metadata": {"kwargs": Path("x")}}, path)
    with pytest.raises(DamagedError, match=r"w\.pth is no file of plain weights"):
        load_dac(path)
    torch.save({"state_dict": weights, "metadata": {"kwargs": {"encoder_rates": [2, 4]}}}, path)
    with pytest.raises(InputError, match="expected state_dict and metadata"):
        load_dac(path)
    rates = [{"encoder_rates": each, "decoder_rates": each[::-1]} for each in (["a", "b"], [2.5, 4], [0, 2])]
    for change in (*rates, {"encoder_dim": 0}, {"encoder_dim": 1.5}, {"n_codebooks": float("inf")}):
        torch.save({"state_dict": weights, "metadata": {"kwargs": MAKE.kwargs_of("even") | change}}, path)
        with pytest.raises(InputError, match=r"w\.pth does not describe a DAC: "):
            load_dac(path)
    path.write_bytes(b"no zip")
    with pytest.raises(DamagedError, match=r"w\.pth is no file of plain weights"):
        load_dac(path)
    with pytest.raises(MissingError, match="no file"):
        load_dac(tmp_path / "none.pth")
    with pytest.raises(MissingError, match=r"no config\.json"):
        load_dac(tmp_path)
    for broken in ('{"downsampling_ratios": 3}', "[]", "{"):
        (tmp_path / "config.json").write_text(broken)
        with pytest.raises(DamagedError, match=r"a broken config\.json"):
            load_dac(tmp_path)
