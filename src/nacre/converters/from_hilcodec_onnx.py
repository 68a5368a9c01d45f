"""The graphs that HILCodec's authors publish, into ours: their trained weights, of which there is no other copy.

`hil_speech_enc.onnx`, `_dec.onnx` and `_deq0.onnx` … hold plain weights with all constants taken in, as `HILCodec.fold`
makes them. Their convolutions stand in the order in which they run, which is that of our modules, so they are taken one
by one and every shape is checked. The decoder of the graphs differs from the trained model; ours is the trained one
unless the config says `onnx_quirks`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import torch
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import numpy_helper
from torch import Tensor, nn

from ..codecs.hilcodec import PRESETS, HILCodec, HILCodecConfig, Spectrum
from ..errors import DamagedError, MissingError
from .keys import coding_keys
from .state_dicts import check_preset, loaded

STEMS = {"hilcodec-speech": "hil_speech", "hilcodec-music": "hil_music"}
CLOSE = 1e-3  # how far a Fourier basis may be from ours
LAST_BIAS = "decoder.leave.1.bias"  # the graphs have it as it was trained, not scaled with its weights


def load_hilcodec_onnx(folder: str | Path, preset: str = "hilcodec-speech", quirks: bool = False) -> HILCodec:
    """The HILCodec of the authors' `onnx` folder, ready to code; with `quirks` it decodes as their graphs do."""
    check_preset(preset, PRESETS)
    config, stem = replace(PRESETS[preset], onnx_quirks=quirks), Path(folder) / STEMS[preset]
    paths = [f"{stem}_{part}.onnx" for part in ("enc", "dec", *(f"deq{k}" for k in range(config.levels)))]
    encoder, decoder, *books = (_read(Path(path)) for path in paths)
    return from_graphs(encoder, decoder, books, config, preset)


def from_graphs(
    encoder: onnx.ModelProto,
    decoder: onnx.ModelProto,
    books: Sequence[onnx.ModelProto],
    config: HILCodecConfig = PRESETS["hilcodec-speech"],
    name: str = "hilcodec-speech",
) -> HILCodec:
    """The codec of the authors' graphs, in evaluation mode."""
    codec = HILCodec(config, name).fold().eval()
    weights = dict(_taken("encoder", codec.encoder, encoder)) | dict(_taken("decoder", codec.decoder, decoder))
    if not config.onnx_quirks:
        weights[LAST_BIAS] = weights[LAST_BIAS] * config.wave_std
    for key in weights:
        if key.endswith("mix.weight"):  # ours take logarithms of powers, theirs of magnitudes
            weights[key] = weights[key] / 2
    shape = (config.codebook_size, config.latent)
    for k, book in enumerate(books):
        found = [value for value in _values(book).values() if value.shape == shape]
        if len(found) != 1:
            raise DamagedError(f"the graph of codebook {k} should hold one table of {shape}, got {len(found)}")
        weights[f"quantizer.levels.{k}.codebook.entries"] = found[0]
    return loaded(codec, weights, {key: key for key in coding_keys(codec)})


def _taken(side: str, model: nn.Module, graph: onnx.ModelProto) -> Iterator[tuple[str, Tensor]]:
    """Our keys under `side` and the graph's weights, convolution by convolution."""
    values, kinds = _values(graph), (nn.Conv1d, nn.ConvTranspose1d, Spectrum)
    nodes = [node for node in graph.graph.node if node.op_type in ("Conv", "ConvTranspose")]
    layers = [(path, layer) for path, layer in model.named_modules() if isinstance(layer, kinds)]
    if len(nodes) != len(layers):
        raise DamagedError(f"the {side}'s graph should hold {len(layers)} convolutions, got {len(nodes)}")
    for node, (path, layer) in zip(nodes, layers, strict=True):
        given = [values.get(name) for name in node.input[1:]]
        ours = (
            [layer.basis] if isinstance(layer, Spectrum) else [p for p in (layer.weight, layer.bias) if p is not None]
        )
        shapes = [list(tensor.shape) for tensor in ours]
        got = [None if tensor is None else list(tensor.shape) for tensor in given]
        if got != shapes:
            raise DamagedError(f"{node.name or path} in the {side}'s graph should have {shapes}, got {got}")
        found = [tensor for tensor in given if tensor is not None]
        if isinstance(layer, Spectrum):
            if (found[0] - layer.basis).abs().max() > CLOSE:
                raise DamagedError(f"{node.name or path} should be a Fourier transform of {layer.n_fft} points")
            continue
        yield from ((f"{side}.{path}.{leaf}", tensor) for leaf, tensor in zip(("weight", "bias"), found, strict=False))


def _values(graph: onnx.ModelProto) -> dict[str, Tensor]:
    """All float tensors that a graph holds, under every name that they go by."""
    held = {tensor.name: tensor for tensor in graph.graph.initializer}
    for node in graph.graph.node:
        if node.op_type == "Constant" and node.attribute[0].HasField("t"):
            held[node.output[0]] = node.attribute[0].t
        elif node.op_type == "Identity" and node.input[0] in held:  # the exporter's word for equal tensors
            held[node.output[0]] = held[node.input[0]]
    arrays = {name: numpy_helper.to_array(tensor) for name, tensor in held.items()}
    return {name: torch.from_numpy(value.copy()) for name, value in arrays.items() if value.dtype == np.float32}


def _read(path: Path) -> onnx.ModelProto:
    if not path.is_file():
        raise MissingError(f"no file {path}; expected the folder `onnx` of HILCodec's repository, with its large files")
    try:
        return onnx.load(path)
    except (DecodeError, ValueError, OSError) as error:
        raise DamagedError(f"{path} is no ONNX graph, or only a note that stands for a large file: {error}") from error
