"""The authors' graphs: constants taken in as they do it come back as the trained model, or with the graphs' slips."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import hilcodec_reference as reference
import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper
from small_hilcodec import CONFIG, SIZES
from torch import Tensor

from nacre import Codes, DamagedError, InputError, MissingError
from nacre.codecs.hilcodec import HILCodec
from nacre.converters import from_hilcodec_onnx as module
from nacre.converters.from_hilcodec_onnx import from_graphs, load_hilcodec_onnx

Layer = tuple[str, Tensor, Tensor | None]  # kind of node, weight, bias
NOTE = b"version https://git-lfs.github.com/spec/v1\n"  # what stands for a large file that was not fetched


def plain(w: dict[str, Any], name: str, kind: str = "conv", by: float = 1.0) -> Layer:
    """A layer without weight norm, scaled."""
    place = f"{name}.{kind}.{kind}"
    bias = w.get(f"{place}.bias")
    node = "Conv" if kind == "conv" else "ConvTranspose"
    return node, reference.weight(w, place) * by, None if bias is None else bias * by


def unit(w: dict[str, Any], name: str) -> list[Layer]:
    gain = reference.R * float(w[f"{name}.res_scale_param"])
    return [*(plain(w, f"{name}.block.{i}") for i in (1, 2, 4)), plain(w, f"{name}.block.5", by=gain)]


def spectrum(w: dict[str, Any], name: str, i: int) -> list[Layer]:
    """The transform, then normalisation and gain taken into the mix."""
    mix = reference.weight(w, f"{name}.layer.conv.conv")
    gain = reference.R * float(w[f"{name}.scale_param"]) / reference.STDS[i]
    return [
        ("Conv", w[f"{name}.spec.weight"], None),
        ("Conv", mix * gain, mix.sum((1, 2)) * -reference.MEANS[i] * gain),
    ]


def encoder(w: dict[str, Any]) -> list[Layer]:
    node, kernel, bias = plain(w, "encoder.conv_pre.1")
    layers: list[Layer] = [(node, kernel / reference.WAVE_STD, bias)]
    for i in range(4):
        layers += spectrum(w, f"encoder.spec_blocks.{i}", i)
        layers += unit(w, f"encoder.blocks.{i}.0") + unit(w, f"encoder.blocks.{i}.1")
        layers += [plain(w, f"encoder.downsample.{i}.{j}") for j in (2, 3)]
    return layers + spectrum(w, "encoder.spec_post", 4) + [plain(w, f"encoder.conv_post.{j}") for j in (1, 2)]


def decoder(w: dict[str, Any]) -> list[Layer]:
    layers = [plain(w, "decoder.model.0"), plain(w, "decoder.model.1")]
    for first in (2, 9, 16, 23):
        layers += [plain(w, f"decoder.model.{first + 2}", "convtr"), plain(w, f"decoder.model.{first + 3}")]
        for j in range(3):
            layers += unit(w, f"decoder.model.{first + 4 + j}")
    node, kernel, bias = plain(w, "decoder.model.32")
    return [*layers, (node, kernel * reference.WAVE_STD, bias)]


def graph(layers: list[Layer]) -> onnx.ModelProto:
    """Convolutions in a row; every other weight a constant, and biases by another name, as exporters may leave them."""
    nodes, held = [], []
    for i, (kind, kernel, bias) in enumerate(layers):
        tensor = numpy_helper.from_array(kernel.numpy(), f"w{i}")
        if i % 2:
            held.append(tensor)
        else:
            nodes.append(helper.make_node("Constant", [], [f"w{i}"], value=tensor))
        inputs = [f"x{i}", f"w{i}"]
        if bias is not None:
            held.append(numpy_helper.from_array(bias.numpy(), f"b{i}"))
            nodes.append(helper.make_node("Identity", [f"b{i}"], [f"same{i}"]))
            inputs.append(f"same{i}")
        nodes.append(helper.make_node(kind, inputs, [f"x{i + 1}"]))
    return helper.make_model(helper.make_graph(nodes, "layers", [], [], held))


def books(w: dict[str, Any]) -> list[onnx.ModelProto]:
    tables = [numpy_helper.from_array(w[f"quantizer.layers.{k}.embed"].numpy(), "embed") for k in range(SIZES.books)]
    node = helper.make_node("Gather", ["embed", "idx"], ["q"])
    return [helper.make_model(helper.make_graph([node], "deq", [], [], [table])) for table in tables]


def codec_of(w: dict[str, Any], quirks: bool = False) -> HILCodec:
    config = replace(CONFIG, onnx_quirks=quirks)
    return from_graphs(graph(encoder(w)), graph(decoder(w)), books(w), config, "small-hilcodec")


@pytest.mark.parametrize("quirks", [True, False])
def test_graphs_are_the_trained_model_or_what_they_do_themselves(quirks: bool) -> None:
    weights = reference.made_up(SIZES)
    codec, wave = codec_of(weights, quirks), torch.randn(1, 1, 320 * 9, generator=torch.Generator().manual_seed(0)) / 10
    codes = codec.encode(wave.numpy())
    with torch.no_grad():
        theirs = reference.quantize(weights, reference.encode(weights, wave), 3)
        sound = reference.decode(weights, reference.dequantize(weights, theirs), quirks).numpy()
    assert np.array_equal(np.stack(codes.levels, 1), theirs.numpy())
    assert np.abs(codec.decode(Codes(codes.levels, codes.length, codec.info)) - sound).max() < 1e-6
    assert len(codec.info.digest) == 16 and not codec.training


def save(folder: Path, stem: str = "hil_speech") -> None:
    weights = reference.made_up(SIZES)
    graphs = {"enc": graph(encoder(weights)), "dec": graph(decoder(weights))}
    graphs |= {f"deq{k}": book for k, book in enumerate(books(weights))}
    for part, model in graphs.items():
        (folder / f"{stem}_{part}.onnx").write_bytes(model.SerializeToString())


@pytest.fixture
def small_presets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PRESETS", {"hilcodec-speech": CONFIG, "hilcodec-music": CONFIG})


@pytest.mark.usefixtures("small_presets")
def test_the_authors_folder_loads(tmp_path: Path) -> None:
    save(tmp_path)
    digest = codec_of(reference.made_up(SIZES)).info.digest
    assert load_hilcodec_onnx(tmp_path).info.digest == digest
    assert load_hilcodec_onnx(str(tmp_path), quirks=True).config.onnx_quirks
    with pytest.raises(MissingError, match=r"no file .*hil_music_enc\.onnx"):
        load_hilcodec_onnx(tmp_path, "hilcodec-music")
    (tmp_path / "hil_speech_dec.onnx").write_bytes(NOTE)
    with pytest.raises(DamagedError, match=r"hil_speech_dec\.onnx is no ONNX graph"):
        load_hilcodec_onnx(tmp_path)
    with pytest.raises(InputError, match="expected one of hilcodec-speech"):
        load_hilcodec_onnx(tmp_path, "speech")


@pytest.mark.parametrize("change", ["fewer", "shape", "bias", "basis", "book", "books"])
def test_other_graphs_are_refused(change: str) -> None:
    weights = reference.made_up(SIZES)
    coded, sounding, tables = encoder(weights), decoder(weights), books(weights)
    if change == "fewer":
        del coded[-1]
    elif change == "shape":
        sounding[1] = (sounding[1][0], sounding[1][1][:, :, 1:], sounding[1][2])
    elif change == "bias":
        sounding[1] = (*sounding[1][:2], None)
    elif change == "basis":
        coded[1] = (coded[1][0], coded[1][1] * 1.1, None)
    elif change == "book":
        tables[1] = graph([("Conv", torch.zeros(3, 4, 1), None)])
    else:
        del tables[-1]
    with pytest.raises(DamagedError, match=r"should|not the weights"):
        from_graphs(graph(coded), graph(sounding), tables, CONFIG, "small-hilcodec")
