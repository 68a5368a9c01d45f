"""from_wavtokenizer: there and back, names as in the package's checkpoints, its parts beside ours where installed.

The package itself is not on PyPI. Its encoder and quantizer are EnCodec's and its backbone and head are Vocos's with
a few layers before the blocks, so those two packages stand in for it; `test_wavtokenizer.py` has the layers between.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from makers import beside_packages
from small_wavtokenizer import CONFIG, small_wavtokenizer

from nacre import DamagedError, InputError
from nacre.codecs.wavtokenizer import PRESETS, WavTokenizer
from nacre.converters import from_wavtokenizer as module
from nacre.converters.from_wavtokenizer import ENCODEC, from_wavtokenizer, load_wavtokenizer, to_wavtokenizer


def test_there_and_back_is_every_bit() -> None:
    codec = small_wavtokenizer(fused=False)
    weights = to_wavtokenizer(codec)
    again = from_wavtokenizer(weights, CONFIG, fused=False)
    for (name, a), b in zip(codec.state_dict().items(), again.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    back = to_wavtokenizer(again)
    assert back.keys() == weights.keys() and all(torch.equal(back[key], weights[key]) for key in weights)


def test_fused_weights_leave_again() -> None:
    codec = small_wavtokenizer()
    again = from_wavtokenizer(to_wavtokenizer(codec), CONFIG)
    for (name, a), b in zip(codec.state_dict().items(), again.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, msg=name)


def test_names_in_the_package() -> None:
    with torch.device("meta"):
        codec = WavTokenizer(PRESETS["wavtokenizer-40"], "wavtokenizer-40")
        shapes = {key: tuple(tensor.shape) for key, tensor in to_wavtokenizer(codec).items()}
    assert shapes[f"{ENCODEC}encoder.model.0.conv.conv.weight_v"] == (32, 1, 7)
    assert shapes[f"{ENCODEC}encoder.model.12.conv.conv.weight_v"] == (512, 256, 12)
    assert shapes[f"{ENCODEC}encoder.model.15.conv.conv.bias"] == (512,)
    assert shapes[f"{ENCODEC}quantizer.vq.layers.0._codebook.embed"] == (4096, 512)
    assert shapes[f"{ENCODEC}decoder.model.3.convtr.convtr.weight_g"] == (512, 1, 1)
    assert shapes["backbone.pos_net.2.proj_out.weight"] == (768, 768, 1)
    assert shapes["backbone.pos_net.5.bias"] == (768,)
    assert shapes["backbone.convnext.11.norm.shift.weight"] == (4, 768)
    assert shapes["head.out.weight"] == (2402, 768) and shapes["head.istft.window"] == (2400,)


def test_training_checkpoints_load_without_what_they_were_trained_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PRESETS", {"wavtokenizer-75": CONFIG})
    weights = to_wavtokenizer(small_wavtokenizer(fused=False))
    held = {**weights, "multiperioddisc.discriminators.0.bias": torch.zeros(1)}
    torch.save({"state_dict": held, "epoch": 1}, tmp_path / "trained.ckpt")
    codec = load_wavtokenizer(tmp_path / "trained.ckpt")
    assert codec.info == from_wavtokenizer(weights, CONFIG).info and len(codec.info.digest) == 16
    weights["backbone.pos_net.5.bias"] += 1
    assert from_wavtokenizer(weights, CONFIG).info.digest != codec.info.digest
    with pytest.raises(InputError, match="expected one of wavtokenizer-75"):
        load_wavtokenizer(tmp_path / "trained.ckpt", "wavtokenizer")


@pytest.mark.parametrize("change", ["drop", "add", "shape", "window", "inited"])
def test_weights_of_something_else_are_refused(change: str) -> None:
    weights = to_wavtokenizer(small_wavtokenizer())
    if change == "drop":
        del weights["backbone.pos_net.2.k.bias"]
    elif change == "add":
        weights["backbone.pos_net.6.bias"] = torch.zeros(1)
    elif change == "shape":
        weights["backbone.embed.bias"] = torch.zeros(4)
    elif change == "window":
        weights["head.istft.window"] = torch.ones(2400)
    else:
        weights[f"{ENCODEC}quantizer.vq.layers.0._codebook.inited"] = torch.ones(2)
    with pytest.raises(DamagedError, match=r"not the weights"):
        from_wavtokenizer(weights, CONFIG)


@pytest.fixture(scope="module")
def packages() -> Iterator[SimpleNamespace]:
    """EnCodec's encoder and quantizer, Vocos's backbone and head."""
    names = ("encodec.modules", "encodec.quantization", "vocos.heads", "vocos.models")
    with beside_packages(*names):
        modules, quantization, heads, models = (sys.modules[name] for name in names)
        yield SimpleNamespace(
            Encoder=modules.SEANetEncoder,
            Quantizer=quantization.ResidualVectorQuantizer,
            Head=heads.ISTFTHead,
            Backbone=models.VocosBackbone,
        )


def under(prefix: str, weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {key.removeprefix(prefix): tensor for key, tensor in weights.items() if key.startswith(prefix)}


@pytest.mark.filterwarnings("ignore")
def test_encodec_says_the_same_codes(packages: SimpleNamespace) -> None:
    codec, c = small_wavtokenizer(), CONFIG
    weights = to_wavtokenizer(small_wavtokenizer(fused=False))
    ratios = list(reversed(c.strides))
    encoder = packages.Encoder(
        dimension=c.latent, n_filters=c.filters, ratios=ratios, norm="weight_norm", causal=False, lstm=2
    ).eval()
    encoder.load_state_dict(under(f"{ENCODEC}encoder.", weights))
    quantizer = packages.Quantizer(dimension=c.latent, n_q=1, bins=c.codebook_size).eval()
    quantizer.load_state_dict(under(f"{ENCODEC}quantizer.", weights))
    for length, batch in ((1, 1), (319, 1), (321, 2), (5_000, 1), (24_001, 1)):
        wave = np.random.default_rng(length).normal(0, 0.3, (batch, 1, length)).astype(np.float32)
        with torch.no_grad():
            theirs = quantizer.encode(encoder(torch.from_numpy(wave)), 75)[0].numpy()
        assert np.array_equal(codec.encode(wave).levels[0], theirs)


@pytest.mark.filterwarnings("ignore")
def test_vocos_gives_the_same_sound(packages: SimpleNamespace) -> None:
    codec, c = small_wavtokenizer(), CONFIG
    weights = to_wavtokenizer(codec)
    backbone = packages.Backbone(c.latent, c.dim, c.hidden, c.layers, adanorm_num_embeddings=c.conditions).eval()
    backbone.load_state_dict({k: v for k, v in under("backbone.", weights).items() if not k.startswith("pos_net.")})
    head = packages.Head(c.dim, 4 * c.hop, c.hop, "same")
    head.load_state_dict(under("head.", weights))
    before = codec.decoder.vocoder.before
    assert before is not None
    backbone.embed.register_forward_hook(lambda layer, x, y: before(y))
    for frames, batch in ((1, 1), (2, 2), (11, 1)):
        z = torch.randn(batch, c.latent, frames)
        with torch.no_grad():
            expected = head(backbone(z, bandwidth_id=torch.tensor([c.condition])))[:, None]
            assert (codec.decoder(z) - expected).abs().max() < 1e-5 * expected.abs().max()
