"""from_hificodec: HiFi-Codec's codes and sound from its weights, against its network written down a second time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from plain_academicodec import HiFi, Weights, random_weights

from nacre import Codes, DamagedError, InputError
from nacre.codecs.hificodec import PRESETS, HiFiCodec, HiFiCodecConfig
from nacre.converters import from_hificodec as module
from nacre.converters.from_hificodec import PARTS, from_hificodec, load_hificodec, to_hificodec

NETS = {
    "hificodec-16k-320d": HiFi((8, 5, 4, 2), (16, 11, 8, 4), 2, 2, 32, fewest=2),
    "hificodec-24k-240d": HiFi((8, 5, 3, 2), (16, 11, 7, 4), 2, 2, 32, fewest=2),
}
NAME = "hificodec-16k-320d"


def small(name: str) -> HiFiCodecConfig:
    return replace(PRESETS[name], filters=2, normed=2)


def parts(net: HiFi = NETS[NAME]) -> dict[str, Weights]:
    made = {part: random_weights(shapes, seed) for seed, (part, shapes) in enumerate(net.shapes().items())}
    for key, tensor in made["generator"].items():
        if key.startswith("conv_post.weight_g"):
            tensor.mul_(0.1)  # or the sound is all but clipped
    return made


def noise(length: int, batch: int = 2) -> np.ndarray:
    return np.random.default_rng(length).normal(0, 0.3, (batch, 1, length)).astype(np.float32)


def compare(codec: HiFiCodec, net: HiFi, given: dict[str, Weights], wave: np.ndarray) -> None:
    """Latents, codes and sound of ours and of theirs."""
    with torch.no_grad():
        z = net.encode(given["encoder"], torch.from_numpy(wave))
        codes = net.codes(given["quantizer"], z)
        sound = net.decode(given["generator"], net.latents(given["quantizer"], codes)).numpy()
        ours = codec.encoder(torch.from_numpy(wave))
    assert (ours - z).abs().max() < 1e-5 * z.abs().max()
    theirs = Codes(tuple(codes.permute(2, 0, 1).numpy()), wave.shape[2], codec.info)
    assert codec.encode(wave) == theirs
    assert np.abs(codec.decode(theirs) - sound).max() < 1e-5 * np.abs(sound).max()
    assert np.abs(sound).max() > 0.05 and np.median(np.abs(sound)) < 0.9


@pytest.mark.parametrize("name", NETS)
def test_codes_and_sound_are_those_of_the_network(name: str) -> None:
    net = NETS[name]
    codec = from_hificodec(parts(net), small(name), name)
    assert codec.info.hop == np.prod(net.rates) and codec.info.codebook_sizes == (32,) * 4
    for frames in (1, 2, 9):
        compare(codec, net, parts(net), noise(frames * codec.info.hop))


@pytest.mark.slow
@pytest.mark.parametrize("name", PRESETS)
def test_codes_and_sound_at_full_size(name: str) -> None:
    kernels = PRESETS[name].kernels[::-1]
    net = HiFi(PRESETS[name].strides[::-1], kernels, 32, 2, 1024)
    codec = from_hificodec(parts(net), PRESETS[name], name)
    assert codec.config == PRESETS[name]
    compare(codec, net, parts(net), noise(25 * codec.info.hop, batch=1))


def test_there_and_back() -> None:
    given = parts()
    back = to_hificodec(from_hificodec(given, small(NAME), fused=False))
    assert list(back) == list(PARTS)
    for part in PARTS:
        assert back[part].keys() == given[part].keys()
        assert all(torch.equal(back[part][key], given[part][key]) for key in given[part])


@pytest.fixture
def small_presets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PRESETS", {name: small(name) for name in PRESETS})


@pytest.mark.usefixtures("small_presets")
def test_files_load_in_every_spelling(tmp_path: Path) -> None:
    expected = from_hificodec(parts(), small(NAME))
    spelt = {"weight_g": "parametrizations.weight.original0", "weight_v": "parametrizations.weight.original1"}
    new = {
        part: {
            next((key.removesuffix(old) + new for old, new in spelt.items() if key.endswith(old)), key): tensor
            for key, tensor in weights.items()
        }
        for part, weights in parts().items()
    }
    parallel = {part: {f"module.{key}": t for key, t in weights.items()} for part, weights in parts().items()}
    for held in (parts(), new, parallel, to_hificodec(from_hificodec(parts(), small(NAME), fused=False))):
        torch.save(held, tmp_path / "g_00400000")
        codec = load_hificodec(str(tmp_path / "g_00400000"))
        assert codec.info == expected.info and len(codec.info.digest) == 16 and not codec.training
    fused = to_hificodec(expected)
    torch.save(fused, tmp_path / "g_00400000")
    wave = noise(960)
    again = load_hificodec(tmp_path / "g_00400000").encode(wave)
    assert all(np.array_equal(a, b) for a, b in zip(again.levels, expected.encode(wave).levels, strict=True))


def test_groups_and_entries_are_counted() -> None:
    net = replace(NETS[NAME], groups=4, size=16)
    codec = from_hificodec(parts(net), small(NAME))
    assert codec.config.groups == 4 and codec.info.codebook_sizes == (16,) * 8
    compare(codec, net, parts(net), noise(960))


@pytest.mark.parametrize("change", ["drop", "add", "shape", "books"])
def test_weights_of_something_else_are_refused(change: str) -> None:
    given = parts()
    if change == "drop":
        del given["encoder"]["normalize.11.bias"]
    elif change == "add":
        given["generator"]["normalize.0.bias"] = torch.zeros(4)
    elif change == "shape":
        given["encoder"]["conv_post.weight"] = torch.zeros(32, 32, 5)
    else:
        del given["quantizer"]["quantizer_modules.0.embedding.weight"]
    with pytest.raises(DamagedError, match=r"missing|unknown|should have shape"):
        from_hificodec(given, small(NAME))


@pytest.mark.usefixtures("small_presets")
def test_other_files_are_refused(tmp_path: Path) -> None:
    torch.save({"mpd": {}, "msd": {}}, tmp_path / "do_00400000")
    with pytest.raises(DamagedError, match="generator, encoder, quantizer"):
        load_hificodec(tmp_path / "do_00400000")
    torch.save({part: {"x": torch.ones(1)} for part in PARTS}, tmp_path / "odd")
    with pytest.raises(DamagedError, match="no codebooks"):
        load_hificodec(tmp_path / "odd")
    with pytest.raises(InputError, match="expected one of hificodec-16k-320d"):
        load_hificodec(tmp_path / "odd", "hificodec-48k")
    with pytest.raises(InputError, match="another split"):
        to_hificodec(HiFiCodec(replace(small(NAME), layers=3)))
