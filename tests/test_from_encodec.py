"""from_encodec: the package's codes and sound with the package's weights, there and back, and every lie refused.

Where `encodec` is installed (`pip install --no-deps encodec einops`) it runs beside ours; its golden file does
everywhere.
"""

from __future__ import annotations

import importlib
import pickle
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from makers import beside_packages
from safetensors.torch import save_file
from small_encodec import CONFIG, MAKER, golden, official_weights, small_encodec

from nacre import Codes, DamagedError, InputError, MissingError
from nacre.codecs.encodec import PRESETS, EnCodec
from nacre.container import legacy
from nacre.converters import from_encodec as module
from nacre.converters.from_encodec import from_encodec, guess, load_encodec, to_encodec

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


@pytest.mark.parametrize("length", MAKER.KINDS["music"][2])
def test_golden_codes_and_sound_at_32_khz_are_ours(length: int) -> None:
    codec = small_encodec(kind="music")
    codes, sound = golden("music")[f"codes-{length}"].astype(np.int64), golden("music")[f"wave-{length}"]
    assert compare(codec, MAKER.sound(length), codes, sound) == 0


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("length", MAKER.LENGTHS)
def test_golden_codes_and_sound_are_ours(length: int, fused: bool) -> None:
    codec = small_encodec(fused)
    codes, sound = golden()[f"codes-{length}"].astype(np.int64), golden()[f"wave-{length}"]
    assert compare(codec, MAKER.sound(length), codes, sound) == 0


@pytest.mark.parametrize("kind", MAKER.KINDS)
def test_there_and_back_is_every_bit(kind: str) -> None:
    given, back = official_weights(kind), to_encodec(small_encodec(fused=False, kind=kind))
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
    with pytest.raises(DamagedError, match=r"not the weights|twice"):
        from_encodec(weights, CONFIG)


class Hostile:
    """Runs when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (sys.exit, ("it ran",))


@pytest.fixture
def small_preset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PRESETS", {"encodec-24k": CONFIG})


@pytest.mark.parametrize(
    ("kind", "name"), [("small", "encodec-24k"), ("stereo", "encodec-48k"), ("music", "encodec-32k")]
)
def test_weights_say_which_model_they_are(kind: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    wide = {"small": 32, "stereo": 32, "music": 64}[kind]
    weights = official_weights(kind)
    for leaf in ("weight_v", "weight"):
        key = f"encoder.model.0.conv.conv.{leaf}"
        if key in weights:
            weights[key] = torch.zeros(wide, *weights[key].shape[1:])
    assert guess(weights) == name
    with pytest.raises(DamagedError, match="no weights of EnCodec"):
        guess({"a": torch.zeros(1)})


@pytest.mark.usefixtures("small_preset")
def test_a_checkpoint_of_audiocraft_loads(tmp_path: Path) -> None:
    torch.save({"best_state": official_weights(), "xp.cfg": "seed: 1", "exported": True}, tmp_path / "state.bin")
    assert load_encodec(tmp_path / "state.bin").info.digest == small_encodec().info.digest


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
    torch.save({"ema": official_weights()}, tmp_path / "nested.th")
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
    with pytest.raises(MissingError, match="no file"):
        load_encodec(tmp_path / "none.th")
    with pytest.raises(InputError, match="expected one of encodec-24k"):
        load_encodec(tmp_path, "encodec-48k")


# Beside transformers, which must not see the stand-in for torchaudio below.


def hugging_face(name: str, narrow: bool) -> Any:
    """The model of `transformers` that a preset stands for, with weights drawn by chance."""
    transformers = pytest.importorskip("transformers")
    fields: dict[str, Any] = {}
    if name != "encodec-24k":
        fields |= {"use_causal_conv": False}
    if name == "encodec-48k":
        fields |= {"sampling_rate": 48_000, "audio_channels": 2, "norm_type": "time_group_norm", "normalize": True}
        fields |= {"chunk_length_s": 1.0, "overlap": 0.01, "target_bandwidths": [3.0, 6.0, 12.0, 24.0]}
    if name.startswith("encodec-32k"):
        fields |= {"sampling_rate": 32_000, "upsampling_ratios": [8, 5, 4, 4], "num_filters": 64}
        fields |= {"codebook_size": 2048, "target_bandwidths": [2.2], "use_conv_shortcut": False}
        fields |= {"pad_mode": "reflect" if name.endswith("hf") else "constant"}
    if narrow:
        fields |= {"num_filters": 4, "hidden_size": 8}
    torch.manual_seed(0)
    model = transformers.EncodecModel(transformers.EncodecConfig(**fields)).eval()
    for k, layer in enumerate(model.quantizer.layers):
        layer.codebook.embed.normal_(0, 0.9**k)
        layer.codebook.cluster_size.fill_(1)
    return model


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("narrow", [True, pytest.param(False, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", list(PRESETS))
def test_transformers_and_we_agree(name: str, narrow: bool) -> None:
    model, config = hugging_face(name, narrow), PRESETS[name]
    if narrow:
        config = replace(config, seanet=replace(config.seanet, filters=4, dim=8))
    codec = from_encodec(model.state_dict(), config, name)
    hugging_face(name, narrow).load_state_dict(to_encodec(codec, "huggingface"))
    off = count = 0
    lengths = (48_000 + 47_520,) if name == "encodec-48k" else (1, config.seanet.hop + 1, 5_000)
    for length, batch in zip(lengths, (2, 1, 3), strict=False):
        wave = np.concatenate([MAKER.sound(length + i, config.seanet.channels)[:, :, :length] for i in range(batch)])
        with torch.no_grad():
            found = model.encode(torch.from_numpy(wave), bandwidth=model.config.target_bandwidths[-1])
            frames = [codes.numpy() for codes in found.audio_codes]
            last = found.last_frame_pad_length
            frames[-1] = frames[-1][..., : frames[-1].shape[-1] - last] if last > 0 else frames[-1]
            sound = model.decode(found.audio_codes, found.audio_scales, last_frame_pad_length=max(0, last))[0].numpy()
        ours, theirs = codec.encode(wave), np.concatenate(frames, axis=2)
        off, count = off + int((np.stack(ours.levels, axis=1) != theirs).sum()), count + theirs.size
        mine = codec.decode(replace(ours, levels=tuple(theirs.transpose(1, 0, 2))))
        assert np.abs(mine - sound[..., :length]).max() < 1e-4 * np.abs(sound).max()
    assert off <= 1e-3 * count


# Beside the package.


@pytest.fixture(scope="module")
def maker() -> Iterator[ModuleType]:
    with beside_packages("encodec") as made:
        yield made


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


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kbps", [3.0, 24.0])
def test_the_package_and_we_agree_at_48_khz(maker: ModuleType, kbps: float) -> None:
    compress = importlib.import_module("encodec").compress
    model = maker.encodec_model("encodec_48khz", kbps)
    for k, layer in enumerate(model.quantizer.vq.layers):
        layer._codebook.embed.mul_((0.95 / 0.7) ** k)
    codec, off, count = from_encodec(model.state_dict(), PRESETS["encodec-48k"], "encodec-48k"), 0, 0
    for length in (1, 47_521, 48_000, 97_000):
        wave = maker.wave(2, length, 48_000)
        with torch.no_grad():
            frames = model.encode(wave[None])
            sound = model.decode(frames)[..., :length].numpy()
        ours = codec.encode(wave[None].numpy(), codec.info.levels_for(1000 * kbps))
        theirs = np.zeros_like(np.concatenate(ours.levels))
        for i, (codes, scale) in enumerate(frames):
            theirs[:, i * 150 : i * 150 + codes.shape[2]] = codes[0].numpy()
            assert ours.scale is not None and ours.scale[0, i] == scale.item()
        off, count = off + int((np.concatenate(ours.levels) != theirs).sum()), count + theirs.size
        mine = codec.decode(replace(ours, levels=tuple(theirs[:, None])))
        assert np.abs(mine - sound).max() < 1e-4 * np.abs(sound).max()
        packed = legacy.write_ecdc(replace(ours, levels=tuple(theirs[:, None])))
        assert packed == compress(model, wave, use_lm=False)
    assert off < 1e-3 * count
