"""from_nac2023: the project's codes and sound from its checkpoints, there and back, and every lie refused.

The other side is `nac2023_reference.py`, written from the facts without nacre; the project has no package.
"""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nac2023_reference import SwarModel, ThreeScales, adversarial, features, least_squares, spectral

from nacre import Codes, DamagedError, InputError, MissingError
from nacre.codecs.nac2023 import NAC2023Config
from nacre.converters import from_nac2023 as module
from nacre.converters.from_nac2023 import load_discriminators, load_nac2023, spellings, to_nac2023
from nacre.training.adversarial import OBJECTIVES, FeatureMatching, discriminator_loss, generator_loss
from nacre.training.discriminators import MULTI_SCALE, MultiScale
from nacre.training.losses import STFTLoss
from nacre.training.spectra import Pair, resolutions

SIZES = {"width": 4, "dim": 8, "levels": 4, "size": 32}
SMALL = NAC2023Config(
    filters=SIZES["width"],
    dim=SIZES["dim"],
    levels=SIZES["levels"],
    codebook_size=SIZES["size"],
    dropout=(1, 4),
)


@pytest.fixture(autouse=True)
def small_preset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PRESETS", {"nac-2023": SMALL})


@pytest.fixture(scope="module")
def model() -> SwarModel:
    torch.manual_seed(0)
    return SwarModel(**SIZES).eval()


@pytest.fixture(scope="module")
def file(model: SwarModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole checkpoint, as the project's training writes it."""
    path = tmp_path_factory.mktemp("checkpoint") / "neural-audio-codec.pt"
    optimizer = torch.optim.Adam(model.parameters()).state_dict()
    torch.save({"model_state_dict": model.state_dict(), "genoptimizer_state_dict": optimizer}, path)
    return path


def sound(length: int, batch: int = 1) -> np.ndarray:
    return np.random.default_rng(length).normal(0, 0.2, (batch, 1, length)).astype(np.float32)


def near_ties(model: SwarModel, wave: np.ndarray, ours: np.ndarray, theirs: np.ndarray) -> int:
    """Frames whose codes part; an error unless the two entries were equally near where they first do."""
    with torch.no_grad():
        z, books = model.encoder(torch.from_numpy(wave)), model.quantizer.vq.books()
    parted = np.argwhere((ours != theirs).any(axis=0))
    for item, frame in parted:
        level = int((ours[:, item, frame] != theirs[:, item, frame]).argmax())
        rest = z[item, :, frame] - sum(books[k][theirs[k, item, frame]] for k in range(level))
        near, other = ((rest - books[level][side[level, item, frame]]).square().sum() for side in (ours, theirs))
        assert abs(near - other) < 1e-5 * near
    return len(parted)


def compare(model: SwarModel, codec: module.NAC2023, wave: np.ndarray, levels: int) -> float:
    """One block in both houses; gives the share of frames where two entries were too near to each other to tell."""
    padded = np.pad(wave, ((0, 0), (0, 0), (0, -wave.shape[2] % 320)))
    theirs = model.encode(torch.from_numpy(padded), levels)
    ours = codec.encode(wave, levels)
    ties = near_ties(model, padded, np.stack(ours.levels), theirs.numpy())
    heard = model.decode(theirs).numpy()[:, :, : wave.shape[2]]
    back = codec.decode(Codes(tuple(theirs.numpy()), wave.shape[2], codec.info))
    assert np.abs(back - heard).max() < 1e-5 * np.abs(heard).max()
    return ties / ours.frames


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("length", [1, 319, 320, 321, 3_200, 32_000])
def test_codes_and_sound_are_the_projects(model: SwarModel, file: Path, length: int, fused: bool) -> None:
    assert compare(model, load_nac2023(file, fused=fused), sound(length), 4) == 0


def test_fewer_levels_and_batches_are_the_projects_too(model: SwarModel, file: Path) -> None:
    codec = load_nac2023(file)
    assert compare(model, codec, sound(3_000, batch=3), 2) == 0
    assert compare(model, codec, sound(1_000), 1) == 0


def test_longer_sounds_are_coded_block_by_block(model: SwarModel, file: Path) -> None:
    codec, wave = load_nac2023(file), sound(2 * 32_000 + 960)
    blocks = [model.encode(torch.from_numpy(block), 4) for block in np.split(wave, [32_000, 64_000], axis=2)]
    codes = codec.encode(wave)
    theirs = torch.cat(blocks, dim=2).numpy()
    assert near_ties_in_blocks(model, wave, np.stack(codes.levels), theirs) == 0
    heard = torch.cat([model.decode(block) for block in blocks], dim=2).numpy()
    back = codec.decode(Codes(tuple(theirs), wave.shape[2], codec.info))
    assert np.abs(back - heard).max() < 1e-5 * np.abs(heard).max()


def near_ties_in_blocks(model: SwarModel, wave: np.ndarray, ours: np.ndarray, theirs: np.ndarray) -> int:
    parts = [np.split(x, [100, 200], axis=2) for x in (ours, theirs)]
    waves = np.split(wave, [32_000, 64_000], axis=2)
    return sum(near_ties(model, block, a, b) for block, a, b in zip(waves, *parts, strict=True))


@pytest.mark.slow
def test_codes_and_sound_are_the_projects_at_full_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    torch.manual_seed(1)
    model = SwarModel().eval()
    for k, layer in enumerate(model.quantizer.vq.layers):  # else the last levels are so coarse that nothing is left
        layer._codebook.embed.mul_(0.9**k)
    assert sum(parameter.numel() for parameter in model.parameters()) == 14_675_810
    assert len(model.state_dict()) == 728
    torch.save(model.state_dict(), tmp_path / "full.pt")
    codec = load_nac2023(tmp_path / "full.pt")
    for kbps, length in ((0.5, 320), (3, 16_000), (6, 32_000), (24, 32_000)):
        assert compare(model, codec, sound(length), codec.info.levels_for(1000 * kbps)) < 1e-2


def test_there_and_back_is_every_bit(model: SwarModel, file: Path) -> None:
    given, back = model.state_dict(), to_nac2023(load_nac2023(file, fused=False))
    assert back.keys() == given.keys()
    assert all(torch.equal(back[key], given[key]) and back[key].dtype == given[key].dtype for key in given)
    assert SwarModel(**SIZES).load_state_dict(to_nac2023(load_nac2023(file)))


def test_fused_weights_leave_again(file: Path, tmp_path: Path) -> None:
    codec = load_nac2023(file)
    torch.save(to_nac2023(codec), tmp_path / "again.pt")
    for name, tensor in load_nac2023(tmp_path / "again.pt").state_dict().items():
        torch.testing.assert_close(codec.state_dict()[name], tensor, msg=name)


def test_eight_names_of_one_tensor(model: SwarModel) -> None:
    names = list(spellings("encoder.enc1.resblock.conv1.conv.weight_v"))
    assert names[0] == "encoder.enc1.resblock.conv1.conv.weight_v" and len(names) == 8
    assert "encoder.layers.1.layers.0.layers.1.conv.weight_v" in names
    assert set(names) <= model.state_dict().keys()
    assert list(spellings("quantizer.vq.layers.0._codebook.embed")) == ["quantizer.vq.layers.0._codebook.embed"]
    assert list(spellings("decoder.lstm.lstm.bias_hh_l1"))[1] == "decoder.layers.1.lstm.bias_hh_l1"


def test_what_codebooks_have_learnt_comes_along(model: SwarModel, file: Path) -> None:
    book, theirs = load_nac2023(file).quantizer.levels[1].codebook, model.quantizer.vq.layers[1]._codebook
    assert torch.equal(book.sums, theirs.embed_avg) and bool(book.started)
    assert torch.equal(book.counts, theirs.cluster_size) and torch.equal(book.hits, theirs.cluster_size)


def test_a_checkpoint_with_fewer_levels_loads(model: SwarModel, tmp_path: Path) -> None:
    weights = {key: tensor for key, tensor in model.state_dict().items() if "layers.2._" not in key}
    weights = {key: tensor for key, tensor in weights.items() if "layers.3._" not in key}
    torch.save(weights, tmp_path / "two.pt")
    codec = load_nac2023(tmp_path / "two.pt")
    assert (codec.info.levels, codec.config.dropout) == (2, (1,))
    assert compare(model, codec, sound(640), 2) == 0


def test_digests_tell_weights_apart(model: SwarModel, file: Path, tmp_path: Path) -> None:
    torch.save({f"module.{key}": tensor for key, tensor in model.state_dict().items()}, tmp_path / "parallel.pt")
    assert load_nac2023(tmp_path / "parallel.pt").info == load_nac2023(file).info
    weights = dict(model.state_dict())
    for key in spellings("decoder.conv2.conv.bias"):
        weights[key] = weights[key] + 1
    torch.save(weights, tmp_path / "other.pt")
    assert load_nac2023(tmp_path / "other.pt").info.digest != load_nac2023(file).info.digest


class Hostile:
    """Runs when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (sys.exit, ("it ran",))


def test_files_that_hold_something_else_are_refused(model: SwarModel, tmp_path: Path) -> None:
    weights = dict(model.state_dict())
    name = "encoder.conv1.conv.bias"
    lies = {
        "missing": {key: tensor for key, tensor in weights.items() if key not in set(spellings(name))},
        "more": weights | {"encoder.conv9.bias": torch.zeros(3)},
        "shape": weights | {key: torch.zeros(3) for key in spellings(name)},
        "twins": weights | {name: weights[name] + 1},
        "nested": {"model_state_dict": {"encoder": 3}},
        "empty": {},
    }
    for word, held in lies.items():
        torch.save(held, tmp_path / f"{word}.pt")
    (tmp_path / "hostile.pt").write_bytes(pickle.dumps(Hostile(), protocol=2))
    for path in sorted(tmp_path.iterdir()):
        with pytest.raises(DamagedError):
            load_nac2023(path)
    with pytest.raises(DamagedError, match="two different tensors"):
        load_nac2023(tmp_path / "twins.pt")
    with pytest.raises(MissingError):
        load_nac2023(tmp_path / "none.pt")
    with pytest.raises(InputError, match="expected one of nac-2023"):
        load_nac2023(tmp_path / "twins.pt", "nac-2024")


# What the project trains with.


@pytest.fixture(scope="module")
def theirs() -> ThreeScales:
    torch.manual_seed(2)
    return ThreeScales()


@pytest.fixture(scope="module")
def ours(theirs: ThreeScales, tmp_path_factory: pytest.TempPathFactory) -> MultiScale:
    path = tmp_path_factory.mktemp("discriminators") / "gan.pt"
    torch.save({"disc_state_dict": theirs.state_dict()}, path)
    model = MultiScale(MULTI_SCALE["nac2023"])
    model.load_state_dict(load_discriminators(path))
    return model


@torch.no_grad()
def test_discriminators_and_their_losses_are_the_projects(theirs: ThreeScales, ours: MultiScale) -> None:
    real, fake = torch.from_numpy(sound(4_001, batch=2)), torch.from_numpy(sound(4_000, batch=2))
    real = real[:, :, 1:]
    expected, given = [theirs(wave) for wave in (real, fake)], [ours(wave) for wave in (real, fake)]
    for scale, output in zip(expected[0], given[0], strict=True):
        for feature, mine in zip(scale, [*output.features, output.logits], strict=True):
            torch.testing.assert_close(mine, feature, atol=1e-5, rtol=1e-4)
    objective = OBJECTIVES["least-squares"]
    torch.testing.assert_close(generator_loss(given[1], objective), adversarial(expected[1]))
    torch.testing.assert_close(discriminator_loss(*given, objective), least_squares(*expected))
    torch.testing.assert_close(FeatureMatching(relative=False)(*given), features(*expected))


def test_the_spectral_loss_is_auralosss() -> None:
    target, output = (torch.from_numpy(sound(length, batch=2))[:, :, :8_000] for length in (8_000, 8_001))
    loss = STFTLoss(resolutions((1024,)))
    torch.testing.assert_close(loss(Pair(target, output)), spectral(target, output), atol=1e-4, rtol=1e-4)


def test_files_without_discriminators_say_so(theirs: ThreeScales, file: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no disc_state_dict"):
        load_discriminators(file)
    torch.save({"disc_state_dict": {"mpd.convs.0.bias": torch.zeros(1)}}, tmp_path / "hifi.pt")
    with pytest.raises(DamagedError, match="of another kind"):
        load_discriminators(tmp_path / "hifi.pt")
