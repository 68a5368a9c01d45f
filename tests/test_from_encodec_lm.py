"""from_encodec_lm: the package's files byte for byte with the package's weights, written and read; lies are refused."""

from __future__ import annotations

import importlib
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from makers import beside_packages

from nacre.codecs.encodec_lm import PRESETS, EnCodecLM, EnCodecLMConfig
from nacre.container import legacy
from nacre.converters.from_encodec_lm import from_encodec_lm, load_encodec_lm, to_encodec_lm
from nacre.errors import DamagedError, InputError

SMALL = EnCodecLMConfig(levels=3, dim=16, layers=1)


def test_there_and_back(tmp_path: Path) -> None:
    model = EnCodecLM(SMALL)
    weights = to_encodec_lm(model)
    assert weights["transformer.layers.0.self_attn.in_proj_weight"].shape == (48, 16)
    assert {"transformer.norm_in.weight", "emb.0.weight", "linears.2.bias", "transformer.layers.0.norm1.bias"} <= set(
        weights
    )
    again = from_encodec_lm(weights, SMALL)
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), again.state_dict().values(), strict=True))
    torch.save(weights, tmp_path / "lm.th")
    with pytest.raises(DamagedError, match="language model"):
        load_encodec_lm(tmp_path / "lm.th")
    with pytest.raises(InputError, match="expected one of encodec-lm-24k, encodec-lm-48k"):
        load_encodec_lm(tmp_path / "lm.th", "encodec-24k")
    weights["emb.0.weight"] = torch.zeros(3, 16)
    with pytest.raises(DamagedError, match="language model"):
        from_encodec_lm(weights, SMALL)


@pytest.fixture(scope="module")
def maker() -> Iterator[ModuleType]:
    with beside_packages("encodec") as made:
        yield made


def package(maker: ModuleType, rate: str, kbps: float, dim: int) -> Any:
    """The package's model with a language model, both of chance weights."""
    importlib.import_module("encodec")
    codec = maker.encodec_model(f"encodec_{rate}hz", kbps)
    torch.manual_seed(1)
    context, count = int(3.5 * codec.frame_rate), codec.quantizer.n_q
    lm = sys.modules["encodec.model"].LMModel(count, 1024, dim=dim, num_layers=5, past_context=context).eval()
    for parameter in lm.parameters():
        parameter.data.mul_(2)  # so that it has opinions
    codec.get_lm_model = lambda: lm
    return codec


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("rate", "kbps", "lengths"),
    [("24k", 1.5, (1, 321, 90_000)), ("24k", 12.0, (9_280,)), ("48k", 3.0, (1, 6_720, 48_000, 97_000))],
)
def test_files_are_the_packages_byte_for_byte(
    maker: ModuleType, rate: str, kbps: float, lengths: tuple[int, ...]
) -> None:
    theirs = package(maker, rate, kbps, 200)
    ours = from_encodec_lm(theirs.get_lm_model().state_dict(), PRESETS[f"encodec-lm-{rate}"])
    theirs.get_lm_model().load_state_dict(to_encodec_lm(ours))
    compress = sys.modules["encodec.compress"].compress
    for length in lengths:
        wave = maker.wave(theirs.channels, length, theirs.sample_rate)
        packed = compress(theirs, wave, use_lm=True)
        codes = legacy.read(io.BytesIO(compress(theirs, wave, use_lm=False))).codes
        assert legacy.write_ecdc(codes, ours) == packed
        file = legacy.read(io.BytesIO(packed), model=ours)
        assert file.codes == codes and file.metadata["lm"] is True


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("rate", ["24k", "48k"])
def test_the_package_reads_what_we_write(maker: ModuleType, rate: str, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = package(maker, rate, 3.0, 200)
    ours = from_encodec_lm(theirs.get_lm_model().state_dict(), PRESETS[f"encodec-lm-{rate}"])
    module = sys.modules["encodec.compress"]
    monkeypatch.setitem(module.MODELS, theirs.name, lambda: theirs)
    wave = maker.wave(theirs.channels, 16_000, theirs.sample_rate)
    codes = legacy.read(io.BytesIO(module.compress(theirs, wave, use_lm=False))).codes
    with torch.no_grad():
        sound, _ = module.decompress(legacy.write_ecdc(codes, ours))
        plain, _ = module.decompress(legacy.write_ecdc(codes))
    assert torch.equal(sound, plain)
