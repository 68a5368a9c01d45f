"""from_soundstream: AcademiCodec's codes and sound from its weights, against its network written down a second time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from plain_academicodec import SEANet, Weights, normed, random_weights

from nacre import Codes, DamagedError, InputError
from nacre.codecs.soundstream import PRESETS, SoundStream, SoundStreamConfig
from nacre.converters import from_soundstream as module
from nacre.converters.from_soundstream import from_soundstream, load_soundstream, to_soundstream

RATIOS = {"encodec-16k-320d": (8, 5, 4, 2), "soundstream-24k-240d": (6, 5, 4, 2), "encodec-24k-32d": (2, 2, 2, 4)}
NETS = {name: SEANet(4, 16, ratios, 2, 32) for name, ratios in RATIOS.items()}
NAME = "soundstream-24k-240d"


def small(name: str) -> SoundStreamConfig:
    config = PRESETS[name]
    return replace(config, seanet=replace(config.seanet, filters=4, dim=16), codebook_size=32)


def weights(name: str = NAME) -> Weights:
    return random_weights(NETS[name].shapes())


def noise(length: int, batch: int = 2) -> np.ndarray:
    return np.random.default_rng(length).normal(0, 0.3, (batch, 1, length)).astype(np.float32)


def compare(codec: SoundStream, net: SEANet, given: Weights, wave: np.ndarray) -> None:
    """Latents, codes and sound of ours and of theirs."""
    with torch.no_grad():
        z = net.encode(given, torch.from_numpy(wave))
        codes = net.codes(given, z)
        sound = net.decode(given, net.latents(given, codes)).numpy()[:, :, : wave.shape[2]]
        ours = codec.encoder(torch.from_numpy(wave))
    assert (ours - z).abs().max() < 1e-5 * z.abs().max()
    theirs = Codes(tuple(codes.numpy()), wave.shape[2], codec.info)
    assert codec.encode(wave) == theirs
    assert np.abs(codec.decode(theirs) - sound).max() < 1e-5 * np.abs(sound).max()


@pytest.mark.parametrize("name", NETS)
def test_codes_and_sound_are_those_of_the_network(name: str) -> None:
    net, hop = NETS[name], int(np.prod(RATIOS[name]))
    codec = from_soundstream(weights(name), small(name), name)
    assert codec.info.hop == hop and codec.info.levels == 2
    for length in (1, 3, hop - 1, hop, 3 * hop + 7, 2_001):
        compare(codec, net, weights(name), noise(length))


@pytest.mark.slow
@pytest.mark.parametrize("name", NETS)
def test_codes_and_sound_at_full_size(name: str) -> None:
    net = SEANet(32, 512, RATIOS[name], PRESETS[name].levels, 1024)
    given = random_weights(net.shapes())
    codec = from_soundstream(given, PRESETS[name], name)
    assert codec.config == PRESETS[name]
    compare(codec, net, given, noise(12_001, batch=1))


@pytest.mark.parametrize("fused", [True, False])
def test_there_and_back(fused: bool) -> None:
    given = weights()
    back = to_soundstream(from_soundstream(given, small(NAME), fused=fused))
    assert back.keys() == {f"module.{key}" for key in given}  # as AcademiCodec's loader wants them
    stripped = {key.removeprefix("module."): tensor for key, tensor in back.items()}
    for key, tensor in given.items():
        layer = key.rpartition(".")[0]
        if fused and key.endswith(("weight_g", "weight_v")):
            torch.testing.assert_close(normed(stripped, layer), normed(given, layer))
        else:
            assert torch.equal(back[f"module.{key}"], tensor) and back[f"module.{key}"].dtype == tensor.dtype


def parallel(given: Weights) -> Weights:
    return {f"module.{key}": tensor for key, tensor in given.items()}


def new_spelling(given: Weights) -> Weights:
    spelt = {"weight_g": "parametrizations.weight.original0", "weight_v": "parametrizations.weight.original1"}
    return {
        next((key.removesuffix(old) + new for old, new in spelt.items() if key.endswith(old)), key): tensor
        for key, tensor in given.items()
    }


@pytest.fixture
def small_presets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PRESETS", {**PRESETS, **{name: small(name) for name in NETS}})


@pytest.mark.usefixtures("small_presets")
@pytest.mark.parametrize("dress", [parallel, new_spelling, lambda given: {"epoch": 3, "soundstream": parallel(given)}])
def test_every_file_that_training_leaves_is_the_same_codec(dress: Callable[[Weights], Weights], tmp_path: Path) -> None:
    torch.save(dress(weights()), tmp_path / "best_50.pth")
    codec, expected = load_soundstream(tmp_path / "best_50.pth"), from_soundstream(weights(), small(NAME))
    assert codec.info == expected.info and len(codec.info.digest) == 16 and not codec.training
    assert codec.encode(noise(1_000)) == expected.encode(noise(1_000))


@pytest.mark.usefixtures("small_presets")
def test_a_file_of_ours_leads_back_to_ours(tmp_path: Path) -> None:
    codec = from_soundstream(weights(), small(NAME), fused=False)
    torch.save(to_soundstream(codec), tmp_path / "ours.pth")
    assert load_soundstream(str(tmp_path / "ours.pth")).info.digest == codec.info.digest


def test_levels_are_counted() -> None:
    net = replace(NETS[NAME], levels=15)  # training makes 15 where the test script expects 12
    codec = from_soundstream(random_weights(net.shapes()), small(NAME))
    assert codec.info.levels == 15 and codec.config.dropout == (1, 2, 4, 8, 12, 15)
    assert codec.info.frame_rate * 10 * codec.info.levels == 15_000  # bit/s, with entries of 10 bits


def test_what_codebooks_have_learnt_comes_along() -> None:
    given = weights()
    given["quantizer.vq.layers.1._codebook.cluster_size"] *= 3
    book = from_soundstream(given, small(NAME)).quantizer.levels[1].codebook  # type: ignore[union-attr, operator]
    assert torch.equal(book.sums, given["quantizer.vq.layers.1._codebook.embed_avg"])
    assert (book.counts == 3).all() and (book.hits == 3).all() and bool(book.started)


@pytest.mark.parametrize("change", ["drop", "add", "shape", "flag", "level"])
def test_weights_of_something_else_are_refused(change: str) -> None:
    given = weights()
    if change == "drop":
        del given["encoder.model.13.lstm.bias_hh_l1"]
    elif change == "add":
        given["encoder.model.16.conv.conv.bias"] = torch.zeros(4)
    elif change == "shape":
        given["encoder.model.15.conv.conv.bias"] = torch.zeros(4)
    elif change == "flag":
        given["quantizer.vq.layers.0._codebook.inited"] = torch.ones(2)
    else:
        del given["quantizer.vq.layers.0._codebook.embed"]
    with pytest.raises(DamagedError, match=r"missing|unknown|should have shape"):
        from_soundstream(given, small(NAME))


def test_other_networks_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DamagedError, match="no codebooks"):
        from_soundstream({"encoder.weight": torch.ones(1)})
    with pytest.raises(InputError, match="expected one of soundstream-16k-320d"):
        load_soundstream(tmp_path / "x.pth", "soundstream-24k")
    with torch.device("meta"):
        codec = SoundStream()
    with pytest.raises(InputError, match="the paper's SoundStream"):
        to_soundstream(codec)
