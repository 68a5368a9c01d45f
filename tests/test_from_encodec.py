"""from_encodec: the package's codes and sound with the package's weights, there and back, and every lie refused.

Where `encodec` is installed (`pip install --no-deps encodec einops`) it runs beside ours; its golden file does
everywhere.
"""

from __future__ import annotations

import importlib
import pickle
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from small_encodec import CONFIG, GOLDEN, MAKER, golden, official_weights, script, small_encodec

from nacre import Codes, DamagedError, InputError, MissingError
from nacre.codecs.encodec import EnCodec
from nacre.container import legacy
from nacre.converters import from_encodec as module
from nacre.converters.from_encodec import from_encodec, load_encodec, to_encodec

Weights = dict[str, torch.Tensor]


def compare(codec: EnCodec, wave: np.ndarray, codes: np.ndarray, sound: np.ndarray) -> int:
    """Our codes and sound against theirs; gives how often two entries were too near to each other to tell."""
    ours = codec.encode(wave, levels=codes.shape[1])
    assert np.stack(ours.levels, 1).shape == codes.shape
    ties = near_ties(codec, wave, np.stack(ours.levels, 1), codes)
    theirs = Codes(tuple(codes.transpose(1, 0, 2)), wave.shape[2], codec.info)
    assert np.abs(codec.decode(theirs) - sound).max() < 1e-5 * np.abs(sound).max()
    return ties


def near_ties(codec: EnCodec, wave: np.ndarray, ours: np.ndarray, theirs: np.ndarray) -> int:
    """Frames whose codes part; an error unless the two entries were equally near where they first do."""
    with torch.no_grad():
        z = codec.encoder(torch.from_numpy(wave))
    parted = np.argwhere((ours != theirs).any(axis=1))
    for item, frame in parted:
        level = int((ours[item, :, frame] != theirs[item, :, frame]).argmax())
        before = [torch.from_numpy(theirs[item : item + 1, k, frame : frame + 1]).long() for k in range(level)]
        residual = z[item, :, frame] - (codec.quantizer.decode(before)[0, :, 0] if before else 0)
        entries = codec.quantizer.levels[level].codebook.entries  # type: ignore[union-attr, operator]
        near, other = ((residual - entries[row[item, level, frame]]).square().sum() for row in (ours, theirs))
        assert abs(near - other) < 1e-5 * near
    return len(parted)


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("length", MAKER.LENGTHS)
def test_golden_codes_and_sound_are_ours(length: int, fused: bool) -> None:
    codec = small_encodec(fused)
    codes, sound = golden()[f"codes-{length}"].astype(np.int64), golden()[f"wave-{length}"]
    assert compare(codec, MAKER.sound(length), codes, sound) == 0


def test_there_and_back_is_every_bit() -> None:
    given, back = official_weights(), to_encodec(small_encodec(fused=False))
    assert back.keys() == given.keys()
    assert all(torch.equal(back[key], given[key]) and back[key].dtype == given[key].dtype for key in given)


@pytest.mark.parametrize("style", ["encodec", "huggingface"])
def test_fused_weights_leave_again(style: str) -> None:
    codec = small_encodec()
    again = from_encodec(to_encodec(codec, style), CONFIG)  # type: ignore[arg-type]
    for (name, a), b in zip(codec.state_dict().items(), again.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, msg=name)


def test_names_in_the_other_houses() -> None:
    codec = small_encodec(fused=False)
    shapes = {key: tuple(tensor.shape) for key, tensor in to_encodec(codec, "huggingface").items()}
    size, direction = "parametrizations.weight.original0", "parametrizations.weight.original1"
    assert shapes[f"encoder.layers.0.conv.{size}"] == (4, 1, 1)
    assert shapes[f"encoder.layers.1.block.1.conv.{direction}"] == (2, 4, 3)
    assert shapes["encoder.layers.1.shortcut.conv.bias"] == (4,)
    assert shapes["encoder.layers.13.lstm.weight_ih_l0"] == (256, 64)
    assert shapes[f"decoder.layers.3.conv.{size}"] == (64, 1, 1)
    assert shapes["quantizer.layers.0.codebook.embed"] == (16, 8)
    assert shapes["quantizer.layers.3.codebook.inited"] == (1,)
    assert {"decoder.model.3.convtr.convtr.weight_g", "encoder.model.1.block.3.conv.conv.bias"} <= to_encodec(
        codec
    ).keys()


def new_spelling(weights: Weights) -> Weights:
    spelt = {"weight_g": "parametrizations.weight.original0", "weight_v": "parametrizations.weight.original1"}
    return {
        next((key.removesuffix(old) + new for old, new in spelt.items() if key.endswith(old)), key): tensor
        for key, tensor in weights.items()
    }


def parallel(weights: Weights) -> Weights:
    return {f"module.{key}": tensor for key, tensor in weights.items()}


def hugging(weights: Weights) -> Weights:
    return to_encodec(from_encodec(weights, CONFIG, fused=False), "huggingface")


@pytest.mark.parametrize("dress", [new_spelling, parallel, hugging])
def test_every_spelling_is_the_same_codec(dress: Callable[[Weights], Weights]) -> None:
    codec, other = small_encodec(), from_encodec(dress(official_weights()), CONFIG, "small-encodec")
    assert other.info == codec.info and len(codec.info.digest) == 16
    assert all(torch.equal(a, b) for a, b in zip(codec.state_dict().values(), other.state_dict().values(), strict=True))


def test_other_weights_have_another_digest() -> None:
    weights = official_weights()
    weights["decoder.model.15.conv.conv.bias"] += 1
    assert from_encodec(weights, CONFIG).info.digest != small_encodec().info.digest


def test_what_codebooks_have_learnt_comes_along() -> None:
    book = small_encodec().quantizer.levels[1].codebook  # type: ignore[union-attr, operator]
    weights = official_weights()
    theirs = {name: weights[f"quantizer.vq.layers.1._codebook.{name}"] for name in ("embed_avg", "cluster_size")}
    assert torch.equal(book.sums, theirs["embed_avg"])
    assert torch.equal(book.counts, theirs["cluster_size"]) and torch.equal(book.hits, theirs["cluster_size"])
    assert book.started.dtype == torch.bool and bool(book.started)


@pytest.mark.parametrize("change", ["drop", "add", "shape", "started", "twice"])
def test_weights_of_something_else_are_refused(change: str) -> None:
    weights = official_weights()
    if change == "drop":
        del weights["encoder.model.13.lstm.bias_hh_l1"]
    elif change == "add":
        weights["encoder.model.16.conv.conv.bias"] = torch.zeros(4)
    elif change == "shape":
        weights["encoder.model.15.conv.conv.bias"] = torch.zeros(4)
    elif change == "started":
        weights["quantizer.vq.layers.0._codebook.inited"] = torch.ones(2)
    else:
        weights |= parallel(weights)
    with pytest.raises(DamagedError, match=r"not the weights|one number|twice"):
        from_encodec(weights, CONFIG)


class Hostile:
    """Runs when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (sys.exit, ("it ran",))


@pytest.fixture
def small_preset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PRESETS", {"encodec-24k": CONFIG})


@pytest.mark.usefixtures("small_preset")
def test_files_and_folders_load(tmp_path: Path) -> None:
    digest = small_encodec().info.digest
    weights = official_weights()
    torch.save(weights, tmp_path / "encodec_24khz-d7cc33bc.th")
    torch.save(hugging(weights), tmp_path / "pytorch_model.bin")
    assert load_encodec(tmp_path / "encodec_24khz-d7cc33bc.th").info.digest == digest
    assert load_encodec(tmp_path).info.digest == digest
    weights["decoder.model.15.conv.conv.bias"] += 1
    save_file(hugging(weights), tmp_path / "model.safetensors")
    assert load_encodec(str(tmp_path)).info.digest != digest  # it goes before the pickle
    assert not load_encodec(tmp_path).training


@pytest.mark.usefixtures("small_preset")
def test_files_that_hold_something_else_are_refused(tmp_path: Path) -> None:
    torch.save({"best_state": official_weights()}, tmp_path / "nested.th")
    (tmp_path / "hostile.th").write_bytes(pickle.dumps(Hostile(), protocol=2))
    torch.save(Hostile(), tmp_path / "hostile.pth")
    for name in ("empty.th", "empty.safetensors"):
        (tmp_path / name).touch()
    (tmp_path / "noise.bin").write_bytes(b"\xff" * 100)
    for path in sorted(tmp_path.iterdir()):
        with pytest.raises(DamagedError, match=path.name):
            load_encodec(path)
    with pytest.raises(MissingError, match=r"no model\.safetensors or pytorch_model\.bin"):
        load_encodec(tmp_path)
    with pytest.raises(MissingError, match="is not there"):
        load_encodec(tmp_path / "none.th")
    with pytest.raises(InputError, match="expected one of encodec-24k"):
        load_encodec(tmp_path, "encodec-48k")


# Beside the package.


@pytest.fixture(scope="module")
def maker() -> Iterator[ModuleType]:
    """The script that makes the golden files of .ecdc; its stand-in for torchaudio is in place while the tests run."""
    pytest.importorskip("scipy")
    made = script(GOLDEN.parent / "legacy" / "make.py")
    before = set(sys.modules)
    made.stand_in_for_torchaudio()
    try:
        importlib.import_module("encodec")
    except ImportError as error:
        pytest.skip(f"encodec is not installed here: {error}")
    yield made
    for name in set(sys.modules) - before:
        if name.startswith("torchaudio"):
            del sys.modules[name]


def package(model: Any, wave: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    with torch.no_grad():
        [(codes, _)] = model.encode(torch.from_numpy(wave))
        return codes.numpy(), model.decode([(codes, None)])[..., : wave.shape[2]].numpy()


@pytest.mark.filterwarnings("ignore")
def test_the_package_and_we_agree(maker: ModuleType) -> None:
    model, codec = MAKER.official(), small_encodec()
    model.load_state_dict(to_encodec(codec))
    for length in [1, 2, 6, 7, 319, 320, 321, 640, 1919, 1921, 2239, 2240, 2241, 9_280, 24_000]:
        assert compare(codec, MAKER.sound(length), *package(model, MAKER.sound(length))) == 0
    batch = np.concatenate([MAKER.sound(3_000), MAKER.sound(3_001)[:, :, 1:]])
    assert compare(codec, batch, *package(model, batch)) == 0


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_package_and_we_agree_at_full_size(maker: ModuleType) -> None:
    compress = importlib.import_module("encodec").compress
    model = maker.encodec_model("encodec_24khz", 24.0)
    for k, layer in enumerate(model.quantizer.vq.layers):  # else the last levels are so fine that all entries tie
        layer._codebook.embed.mul_((0.95 / 0.7) ** k)
    codec, ties, count = from_encodec(model.state_dict()), 0, 0
    for kbps, length in [(1.5, 1), (1.5, 24_000), (3.0, 321), (6.0, 24_000), (12.0, 2_241), (24.0, 24_000)]:
        model.set_target_bandwidth(kbps)
        wave = maker.wave(1, length, 24_000)[None].numpy()
        codes, sound = package(model, wave)
        assert codes.shape[1] == codec.info.levels_for(1000 * kbps)
        ties, count = ties + compare(codec, wave, codes, sound), count + codes.size
    assert ties < 1e-3 * count
    model.name = "encodec_24khz"
    model.set_target_bandwidth(6.0)
    packed = legacy.write_ecdc(codec.encode(wave, 8))
    assert packed == compress(model, torch.from_numpy(wave[0]), use_lm=False)
