"""from_vocos: the package's sound with the package's weights, there and back, and every lie refused."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from makers import beside_packages
from small_vocos import MEL, TOKENS, small_mel_vocos, small_token_vocos

from nacre import DamagedError, InputError
from nacre.codecs.vocos import PRESETS, MelVocos, TokenVocos, VocosConfig
from nacre.converters import from_vocos as module
from nacre.converters.from_vocos import ENTRIES, Vocos, from_vocos, load_vocos, to_vocos

SMALL = [(small_mel_vocos, MEL), (small_token_vocos, TOKENS)]
IDS = ["mel", "tokens"]


@pytest.mark.parametrize(("make", "config"), SMALL, ids=IDS)
def test_there_and_back_is_every_bit(make: Any, config: VocosConfig) -> None:
    vocos = make()
    weights = to_vocos(vocos)
    again = from_vocos(weights, config)
    for (name, a), b in zip(vocos.state_dict().items(), again.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    back = to_vocos(again)
    assert back.keys() == weights.keys() and all(torch.equal(back[key], weights[key]) for key in weights)
    weights["backbone.embed.bias"] += 1
    assert digest_of(from_vocos(weights, config)) != digest_of(again) != ""


def digest_of(vocos: Vocos) -> str:
    return vocos.info.digest if isinstance(vocos, TokenVocos) else vocos.digest


def test_names_in_the_package() -> None:
    shapes = {key: tuple(tensor.shape) for key, tensor in to_vocos(MelVocos()).items()}
    assert shapes["feature_extractor.mel_spec.mel_scale.fb"] == (513, 100)
    assert shapes["backbone.norm.weight"] == shapes["backbone.convnext.7.gamma"] == (512,)
    assert shapes["backbone.convnext.0.dwconv.weight"] == (512, 1, 7)
    shapes = {key: tuple(tensor.shape) for key, tensor in to_vocos(TokenVocos()).items()}
    assert shapes[ENTRIES] == (16_384, 128)
    assert shapes["backbone.convnext.3.norm.scale.weight"] == (4, 384)
    assert shapes["backbone.final_layer_norm.bias"] == (384,)
    assert shapes["head.out.weight"] == (1282, 384) and shapes["head.istft.window"] == (1280,)


def test_a_saved_encodec_beside_it_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PRESETS", {"vocos-encodec-24k": TOKENS})
    weights = to_vocos(small_token_vocos())
    torch.save({**weights, "feature_extractor.encodec.encoder.x": torch.zeros(1)}, tmp_path / "pytorch_model.bin")
    assert digest_of(load_vocos(tmp_path)) == digest_of(from_vocos(weights, TOKENS))
    with pytest.raises(InputError, match="expected one of vocos-encodec-24k"):
        load_vocos(tmp_path, "vocos")


@pytest.mark.parametrize("change", ["drop", "add", "shape", "entries", "window", "filters"])
def test_weights_of_something_else_are_refused(change: str) -> None:
    config = MEL if change == "filters" else TOKENS
    weights = to_vocos(small_mel_vocos() if change == "filters" else small_token_vocos())
    if change == "drop":
        del weights["backbone.convnext.1.gamma"]
    elif change == "add":
        weights["backbone.convnext.3.gamma"] = torch.zeros(12)
    elif change == "shape":
        weights["backbone.embed.bias"] = torch.zeros(4)
    elif change == "entries":
        weights[ENTRIES] = torch.zeros(64, 9)
    elif change == "window":
        weights["head.istft.window"] = torch.ones(1280)
    else:
        weights["feature_extractor.mel_spec.mel_scale.fb"] *= 2
    with pytest.raises(DamagedError, match=r"not the weights|another than|should hold"):
        from_vocos(weights, config)


# Beside the package.


@pytest.fixture(scope="module")
def package() -> Iterator[SimpleNamespace]:
    """Its backbone and head; they import torchaudio and use none of it."""
    with beside_packages("vocos.heads", "vocos.models"):
        yield SimpleNamespace(
            ISTFTHead=sys.modules["vocos.heads"].ISTFTHead, VocosBackbone=sys.modules["vocos.models"].VocosBackbone
        )


def original(package: SimpleNamespace, vocos: Vocos) -> Any:
    """The package's model with our weights: features and a condition to sound."""
    sizes = vocos.config.vocoder
    conditions = sizes.conditions if sizes.conditions > 1 else None
    backbone = package.VocosBackbone(
        sizes.features, sizes.dim, sizes.hidden, sizes.layers, adanorm_num_embeddings=conditions
    )
    head = package.ISTFTHead(sizes.dim, sizes.n_fft, sizes.hop, "center" if sizes.centred else "same")
    both = torch.nn.ModuleDict({"backbone": backbone, "head": head}).eval()
    both.load_state_dict({k: v for k, v in to_vocos(vocos).items() if not k.startswith("feature_extractor.")})
    return lambda x, condition: head(backbone(x, bandwidth_id=torch.tensor([condition])))


def agree(package: SimpleNamespace, vocos: Vocos) -> None:
    """The same sound at several lengths and under all conditions."""
    theirs, sizes = original(package, vocos), vocos.config.vocoder
    for frames, batch in ((2, 1), (3, 2), (29, 1), (100, 3)):
        x = torch.randn(batch, sizes.features, frames)
        for condition in range(sizes.conditions):
            with torch.no_grad():
                expected = theirs(x, condition)[:, None]
                ours = vocos.vocoder(x, condition=condition)
            assert ours.shape == expected.shape
            assert (ours - expected).abs().max() < 1e-5 * expected.abs().max()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("make", [small_mel_vocos, small_token_vocos], ids=IDS)
def test_the_package_and_we_agree(make: Any, package: SimpleNamespace) -> None:
    agree(package, make())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", PRESETS)
def test_the_package_and_we_agree_at_full_size(name: str, package: SimpleNamespace) -> None:
    torch.manual_seed(0)
    vocos = (TokenVocos if PRESETS[name].tokens_of else MelVocos)(PRESETS[name], name).eval()
    with torch.no_grad():
        for parameter in vocos.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.02)
    agree(package, vocos)
