"""from_hilcodec: the codes and sound of a plain reference with the same weights, there and back, every lie refused."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hilcodec_reference as reference
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from small_hilcodec import CONFIG, SIZES, small_hilcodec

from nacre import Codes, DamagedError, InputError, MissingError
from nacre.codecs.hilcodec import HILCodec
from nacre.converters import from_hilcodec as module
from nacre.converters.from_hilcodec import from_hilcodec, load_hilcodec, rename, to_hilcodec

Weights = dict[str, Any]


def weights() -> Weights:
    return reference.made_up(SIZES)


def compare(codec: HILCodec, theirs: Weights, wave: np.ndarray, levels: int) -> int:
    """Latents, codes and sound against the reference; gives how many codes differ."""
    x = torch.from_numpy(wave)
    with torch.no_grad():
        z = reference.encode(theirs, x)
        codes = reference.quantize(theirs, z, levels)
        sound = reference.decode(theirs, reference.dequantize(theirs, codes)).numpy()
        assert (codec.encoder(x) - z).abs().max() < 1e-4
    ours = codec.encode(wave, levels)
    back = codec.decode(Codes(tuple(codes.permute(1, 0, 2).numpy()), wave.shape[2], codec.info))
    assert np.abs(back - sound).max() < 1e-5 * np.abs(sound).max()
    return int((np.stack(ours.levels, 1) != codes.numpy()).sum())


def noise(frames: int, batch: int = 1) -> np.ndarray:
    return np.random.default_rng(frames).normal(0, 0.1, (batch, 1, 320 * frames)).astype(np.float32)


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize(("frames", "batch"), [(1, 1), (2, 3), (31, 2)])
def test_the_references_codes_and_sound(frames: int, batch: int, fused: bool) -> None:
    for levels in (1, 3):
        assert compare(small_hilcodec(fused), weights(), noise(frames, batch), levels) == 0


def test_a_name_for_every_key_of_both_models() -> None:
    for books, preset in ((8, "hilcodec-speech"), (12, "hilcodec-music")):
        with torch.device("meta"):
            codec = HILCodec(module.PRESETS[preset])
        table, shapes = rename(codec), reference.shapes(reference.Sizes(books=books))
        assert {*table.values(), *module._bases(codec.config)} == set(shapes)
        state = codec.state_dict()
        assert {theirs: tuple(state[ours].shape) for ours, theirs in table.items()}.items() <= shapes.items()
    assert shapes["encoder.conv_pre.1.conv.conv.weight_v"] == (64, 1, 5)
    assert shapes["encoder.spec_blocks.0.layer.conv.conv.weight_v"] == (64, 33, 1)
    assert shapes["encoder.downsample.0.3.conv.conv.weight_v"] == (128, 1, 4)
    assert shapes["decoder.model.4.convtr.convtr.weight_v"] == (1536, 1, 16)
    assert shapes["decoder.model.32.conv.conv.weight_v"] == (1, 96, 5)


def test_there_and_back_is_every_bit() -> None:
    given, back = weights(), to_hilcodec(small_hilcodec(fused=False))
    assert back.keys() == given.keys()
    for key, value in given.items():
        assert value == back[key] if key.endswith("_extra_state") else torch.equal(value, back[key]), key


def test_folded_weights_leave_again() -> None:
    codec = small_hilcodec()
    back = to_hilcodec(codec)
    assert back.keys() == weights().keys()
    assert compare(from_hilcodec(back, CONFIG), back, noise(9), 3) == 0
    assert compare(codec, back, noise(9), 3) == 0


def new_spelling(given: Weights) -> Weights:
    spelt = {"weight_g": "parametrizations.weight.original0", "weight_v": "parametrizations.weight.original1"}
    return {
        next((key.removesuffix(old) + new for old, new in spelt.items() if key.endswith(old)), key): value
        for key, value in given.items()
    }


def parallel(given: Weights) -> Weights:
    return {f"module.{key}": value for key, value in given.items()}


def without_extra_state(given: Weights) -> Weights:
    return {key: value for key, value in given.items() if not key.endswith("_extra_state")}


@pytest.mark.parametrize("dress", [new_spelling, parallel, without_extra_state])
def test_every_spelling_is_the_same_codec(dress: Callable[[Weights], Weights]) -> None:
    codec, other = small_hilcodec(), from_hilcodec(dress(weights()), CONFIG, "small-hilcodec")
    assert other.info == codec.info and len(codec.info.digest) == 16
    assert all(torch.equal(a, b) for a, b in zip(codec.state_dict().values(), other.state_dict().values(), strict=True))


def test_folded_or_not_the_digest_is_that_of_the_weights() -> None:
    assert small_hilcodec(fused=True).info.digest == small_hilcodec(fused=False).info.digest
    other = weights()
    other["encoder.blocks.2.1.res_scale_param"] += 1
    assert from_hilcodec(other, CONFIG).info.digest != small_hilcodec().info.digest


def test_what_codebooks_have_learnt_comes_along() -> None:
    given = weights()
    given["quantizer.layers.2._extra_state"] = {"initted": False}
    codec = from_hilcodec(given, CONFIG)
    book = codec.quantizer.levels[1].codebook
    assert torch.equal(book.sums, given["quantizer.layers.1.ema_embed"])
    assert torch.equal(book.counts, given["quantizer.layers.1.ema_num"])
    assert bool(book.started) and not bool(codec.quantizer.levels[2].codebook.started)
    assert to_hilcodec(codec)["quantizer.layers.2._extra_state"] == {"initted": False}


@pytest.mark.parametrize("change", ["drop", "add", "shape", "basis", "window", "kind", "twice"])
def test_weights_of_something_else_are_refused(change: str) -> None:
    given = weights()
    if change == "drop":
        del given["encoder.spec_post.scale_param"]
    elif change == "add":
        given["decoder.model.33.scale"] = torch.zeros(1)
    elif change == "shape":
        given["encoder.conv_post.2.conv.conv.bias"] = torch.zeros(9)
    elif change == "basis":
        given["encoder.spec_blocks.3.spec.weight"] = torch.zeros(66, 1, 32)
    elif change == "window":
        given["encoder.spec_blocks.0.spec.weight"] *= 1.1
    elif change == "kind":
        given["encoder.conv_post.2.conv.conv.bias"] = [0.0] * 8
    else:
        given |= parallel(given)
    with pytest.raises(DamagedError, match=r"not the weights|should hold|should say|twice"):
        from_hilcodec(given, CONFIG)


class Hostile:
    """Runs when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (sys.exit, ("it ran",))


@pytest.fixture
def small_preset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PRESETS", {"hilcodec-speech": CONFIG})


@pytest.mark.usefixtures("small_preset")
def test_files_load(tmp_path: Path) -> None:
    digest = small_hilcodec().info.digest
    torch.save({"model": weights(), "epoch": 150}, tmp_path / "00150.pth")
    torch.save(weights(), tmp_path / "plain.pth")
    save_file(without_extra_state(weights()), tmp_path / "model.safetensors")
    for name in ("00150.pth", "plain.pth", "model.safetensors"):
        codec = load_hilcodec(tmp_path / name)
        assert codec.info.digest == digest and not codec.training
    assert load_hilcodec(tmp_path / "plain.pth", fused=False).encoder.spectrum.gain is not None


@pytest.mark.usefixtures("small_preset")
def test_files_that_hold_something_else_are_refused(tmp_path: Path) -> None:
    torch.save({"model": [1, 2]}, tmp_path / "list.pth")
    (tmp_path / "hostile.pth").write_bytes(pickle.dumps(Hostile(), protocol=2))
    for name in ("empty.pth", "empty.safetensors"):
        (tmp_path / name).touch()
    for path in sorted(tmp_path.iterdir()):
        with pytest.raises(DamagedError, match=path.name):
            load_hilcodec(path)
    torch.save({"model": {1: torch.zeros(1)}}, tmp_path / "numbered.pth")
    with pytest.raises(DamagedError, match=r"and \d+ more missing, 1 unknown$"):
        load_hilcodec(tmp_path / "numbered.pth")
    with pytest.raises(MissingError, match="no file"):
        load_hilcodec(tmp_path / "none.pth")
    with pytest.raises(InputError, match="expected one of hilcodec-speech"):
        load_hilcodec(tmp_path / "none.pth", "hilcodec")


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["hilcodec-speech", "hilcodec-music"])
def test_the_reference_and_we_agree_at_full_size(preset: str) -> None:
    sizes = reference.Sizes(books=module.PRESETS[preset].levels)
    theirs = reference.made_up(sizes)
    codec, differing = from_hilcodec(theirs, module.PRESETS[preset], preset), 0
    for frames in (1, 2, 75, 155):
        differing += compare(codec, theirs, noise(frames), sizes.books)
    assert differing <= 1e-3 * 233 * sizes.books
