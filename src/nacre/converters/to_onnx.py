"""Export a streaming codec to ONNX graphs that share one weights file with torch.

The folder that `export` writes holds `model.safetensors` (weights of 32, 16 or 8 bits, loadable by torch) and small
graphs whose initializers point into it, so every weight is stored once. Fourier bases are not stored at all: the graphs
compute them, and ONNX Runtime folds that into a constant when it loads.

A graph is for chunks of one kind. A causal codec that begins with silence has one kind, so two graphs. Where the first
layers mirror the sound (EnCodec), a stream begins with graphs of its own; where all layers hear the future (DAC), it
ends with its own as well, and a sound too short to begin a stream has graphs for the whole of it.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from ..atomic import whole_folder
from ..codecs.base import Codec, UnpaddedCodec
from ..codecs.dac import DAC
from ..codecs.hilcodec import Spectrum
from ..codes import CodecInfo
from ..errors import InputError
from ..nn.reach import ready
from ..nn.seanet import SEANetConfig
from ..nn.spectral import CausalISTFT, CausalSTFT
from ..nn.state import State
from ..onnx_runtime import (
    DECODER,
    EDGES_KEY,
    ENCODER,
    END,
    GO_ON,
    GRAPH_NAMES,
    INFO_KEY,
    NEXT,
    START,
    STATE,
    WAVE,
    WEIGHTS,
    Edges,
    graph_path,
    info_to_json,
    level_names,
)
from .eight_bits import SCALE
from .to_folder import Bits, save_rounded

OPSET = 17


def export(codec: Codec, folder: str | Path, bits: Bits = 16) -> CodecInfo:
    """Write `codec` as graphs and their weights, all or nothing; returns its info with the digest filled in.

    The codec's weights are rounded to so many bits in place, so that torch and ONNX go on with the same numbers. With
    32 they are as they were, and the digest too: codes of either decode with the other.
    """
    edges = edges_of(codec)
    if edges is None:
        raise InputError(f"{codec.info.name} hears too much of the future for graphs; use --to nacre, which torch runs")
    with whole_folder(folder, instead_of=GRAPH_NAMES) as place:
        info = save_rounded(codec, place, bits, {EDGES_KEY: json.dumps(asdict(edges))})
        for kind in edges.kinds:
            _write(EncoderGraph(codec, kind, edges.encoder), place / ENCODER)
            _write(DecoderGraph(codec, kind, edges.decoder), place / DECODER)
    return info


def edges_of(codec: Codec) -> Edges | None:
    """How graphs of `codec` begin and end a stream; None where none can be made."""
    seanet = getattr(codec.config, "seanet", None)
    if not codec.info.lookahead:
        return Edges(unpadded=isinstance(codec, UnpaddedCodec))
    if isinstance(codec, UnpaddedCodec) and isinstance(seanet, SEANetConfig) and seanet.causal:
        return Edges(seanet.last_kernel, seanet.kernel, unpadded=True)
    if isinstance(codec, DAC):
        hop, counts = codec.info.hop, range(1, codec.info.sample_rate)
        encoder = next(n for n in counts if ready(codec.encoder, n * hop) > 0)
        return Edges(encoder, next(n for n in counts if ready(codec.decoder, n) > 0), ending=True)
    return None


class Recording(nn.Module):
    """One direction of a codec for chunks of one kind; `layout` is what its layers keep."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    def __init__(self, codec: Codec, kind: str, side: str) -> None:
        super().__init__()
        self.quantizer, self.info = codec.quantizer, codec.info
        self.kind, self.path = kind, side
        self.layout = State()
        self.layout.in_graph, self.layout.ragged = True, isinstance(codec, UnpaddedCodec)

    @property
    def hears(self) -> bool:
        """Whether there is a past that comes in."""
        return self.kind in (GO_ON, END)

    @property
    def keeps(self) -> bool:
        """Whether anything follows."""
        return self.kind in (GO_ON, START)

    def state(self, tensors: Sequence[Tensor]) -> State:
        """What the layers remember as a chunk of this kind begins."""
        state = self.layout.filled(tensors) if self.hears else State()
        state.in_graph, state.ragged, state.last = True, self.layout.ragged, not self.keeps
        return state


class EncoderGraph(Recording):
    """(wave `[B, C, F * hop]`, *state) -> (all levels, *state)."""

    inputs = (WAVE,)

    def __init__(self, codec: Codec, kind: str = GO_ON, first: int = 0) -> None:
        super().__init__(codec, kind, ENCODER)
        self.encoder = codec.encoder
        self.outputs = level_names(codec.info)
        self.frames = (first or 1) * codec.info.stride
        with torch.inference_mode():
            codec.encoder(self.example(1, self.frames)[0], self.layout)

    def example(self, batch: int, frames: int) -> tuple[Tensor, ...]:
        """Inputs that are not state."""
        return (torch.zeros(batch, self.info.channels, frames * self.info.hop),)

    def forward(self, wave: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
        """One chunk of whole frames."""
        state = self.state(tensors)
        levels = self.quantizer.encode(self.encoder(wave, state))
        return *levels, *(state.tensors() if self.keeps else ())


class DecoderGraph(Recording):
    """(all levels, -1 where one is not there, *state) -> (wave `[B, C, F * hop]`, *state)."""

    outputs = (WAVE,)

    def __init__(self, codec: Codec, kind: str = GO_ON, first: int = 0) -> None:
        super().__init__(codec, kind, DECODER)
        self.decoder = codec.decoder
        self.inputs = level_names(codec.info)
        self.frames = (first or 1) * codec.info.stride
        with torch.inference_mode():
            codec.decoder(codec.quantizer.decode(self.example(1, self.frames)), self.layout)

    def example(self, batch: int, frames: int) -> tuple[Tensor, ...]:
        """Inputs that are not state."""
        return tuple(torch.zeros(batch, frames // s, dtype=torch.int64) for s in self.info.strides)

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """One chunk of whole frames."""
        count = len(self.inputs)
        state = self.state(tensors[count:])
        wave = self.decoder(self._latents(tensors[:count]), state)
        return wave, *(state.tensors() if self.keeps else ())

    def _latents(self, levels: Sequence[Tensor]) -> Tensor:
        """What the quantizer says; an end may bring no frames, of which ONNX Runtime makes no convolution."""
        if self.kind != END:
            return self.quantizer.decode(levels)
        return self.quantizer.decode([nn.functional.pad(level, (0, 1), value=-1) for level in levels])[..., :-1]


def _write(graph: EncoderGraph | DecoderGraph, path: Path) -> None:
    names = graph.layout.names(graph)
    state = tuple(torch.zeros(2, *t.shape[1:]) for t in graph.layout.tensors()) if graph.hears else ()
    inputs = [*graph.inputs, *(STATE + name for name in names if graph.hears)]
    outputs = [*graph.outputs, *(NEXT + name for name in names if graph.keeps)]
    long = {name: {0: "batch", 2 if name == WAVE else 1: f"{name}.length"} for name in (*graph.inputs, *graph.outputs)}
    example = graph.example(2, 2 * (graph.info.stride if graph.hears else graph.frames))
    path = graph_path(path, graph.kind)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer warns of every shape it fixes and of its own retirement
        torch.onnx.export(
            graph.eval(),
            (*example, *state),
            str(path),
            input_names=inputs,
            output_names=outputs,
            dynamic_axes={name: {0: "batch"} for name in inputs + outputs} | long,
            opset_version=OPSET,
            do_constant_folding=False,
            dynamo=False,
        )
    model = onnx.load(path)
    helper.set_model_props(model, {INFO_KEY: info_to_json(graph.info)})
    _compute_bases(model, graph)
    _steady_depthwise(model)
    _share_weights(model, path.parent / WEIGHTS)
    path.write_bytes(model.SerializeToString())


def _share_weights(model: onnx.ModelProto, weights: Path) -> None:
    """Point initializers into the safetensors file, as narrow as they are, and widen them where they are used."""
    raw = weights.read_bytes()
    size = int.from_bytes(raw[:8], "little")
    table = json.loads(raw[8 : 8 + size])
    kinds = {"F32": TensorProto.FLOAT, "F16": TensorProto.FLOAT16, "I8": TensorProto.INT8}

    def stored(name: str, dims: Sequence[int]) -> str:
        """An initializer that holds the bytes of `name` in the file, and its name."""
        begin, end = table[name]["data_offsets"]
        tensor = TensorProto(name=f"{name}.stored", data_type=kinds[table[name]["dtype"]], dims=dims)
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in {"location": weights.name, "offset": 8 + size + begin, "length": end - begin}.items():
            tensor.external_data.add(key=key, value=str(value))
        model.graph.initializer.append(tensor)
        return tensor.name

    wider = []
    for tensor in [tensor for tensor in model.graph.initializer if tensor.name in table]:
        model.graph.initializer.remove(tensor)
        name, dims = tensor.name, list(tensor.dims)
        scaled = table[name]["dtype"] == "I8"
        result = f"{name}.whole" if scaled else name
        wider.append(helper.make_node("Cast", [stored(name, dims)], [result], to=TensorProto.FLOAT))
        if scaled:
            rows = stored(name + SCALE, [dims[0], *[1] * (len(dims) - 1)])
            wider.append(helper.make_node("Cast", [rows], [f"{name}.rows"], to=TensorProto.FLOAT))
            wider.append(helper.make_node("Mul", [result, f"{name}.rows"], [name]))
    _prepend(model, wider)


def _compute_bases(model: onnx.ModelProto, graph: nn.Module) -> None:
    """Replace stored Fourier bases, which the tracer wrote as constants, by the few nodes that compute them."""
    transforms = [module for module in graph.modules() if isinstance(module, CausalSTFT | CausalISTFT | Spectrum)]
    for node in [node for node in model.graph.node if node.op_type == "Constant"]:
        if not node.attribute[0].HasField("t"):
            continue
        value = np.asarray(numpy_helper.to_array(node.attribute[0].t))
        for transform in transforms:
            basis = transform.basis.numpy()
            if np.array_equal(value.ravel(), basis.ravel()):
                model.graph.node.remove(node)
                made = _angle_nodes if isinstance(transform, Spectrum) else _basis_nodes
                _prepend(model, made(model, node.output[0], basis, value.shape))
                break


def _steady_depthwise(model: onnx.ModelProto) -> None:
    """Give depthwise convolutions one more frame and drop it again.

    ONNX Runtime computes a single frame by another kernel than several, which rounds otherwise; so padded, a
    stream of single frames gives the very bits of the whole file.
    """
    nodes = list(model.graph.node)
    del model.graph.node[:]
    for node in nodes:
        attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
        if node.op_type != "Conv" or attributes.get("group", 1) == 1:
            model.graph.node.append(node)
            continue
        source, result = node.input[0], node.output[0]
        node.input[0], node.output[0] = f"{result}.padded", f"{result}.longer"
        constants = {"pads": [0, 0, 0, 0, 0, attributes.get("strides", [1])[0]], "start": [0], "end": [-1], "axis": [2]}
        for key, value in constants.items():
            model.graph.initializer.append(numpy_helper.from_array(np.array(value, np.int64), f"{result}.{key}"))
        window = [f"{result}.{key}" for key in ("start", "end", "axis")]
        pad = helper.make_node("Pad", [source, f"{result}.pads"], [node.input[0]])
        cut = helper.make_node("Slice", [node.output[0], *window], [result])
        model.graph.node.extend([pad, node, cut])


def _basis_nodes(
    model: onnx.ModelProto, name: str, basis: NDArray[np.float32], shape: tuple[int, ...]
) -> list[onnx.NodeProto]:
    """Nodes for `basis` `[2 * bins, 1, n_fft]`: one turn, read at multiples of each bin, times window and scale."""
    n_fft, bins = basis.shape[2], np.arange(basis.shape[0] // 2).reshape(-1, 1, 1)
    times = np.arange(n_fft).reshape(1, 1, -1)
    turn = times.ravel() * (2 * np.pi / n_fft)
    # whatever window and weights a layer has, they multiply columns and rows; at the middle all cosines are +-1
    middle = np.abs(basis[: len(bins), :, n_fft // 2 : n_fft // 2 + 1])
    factors = {
        "turns": np.concatenate([np.cos(turn), -np.sin(turn)]).astype(np.float32),
        "window": basis[:1] / basis[0, 0, n_fft // 2],
        "scale": np.concatenate([middle, middle]),
        "times": times,
        "bins": np.concatenate([bins, bins]),
        "size": np.array([[[n_fft]]]),
        "shape": np.array(shape),
        "second": np.repeat([0, n_fft], len(bins)).reshape(-1, 1, 1),
    }
    index = factors["times"] * factors["bins"] % n_fft + factors["second"]
    made = factors["turns"][index] * factors["window"] * factors["scale"]
    assert np.abs(made - basis).max() < 1e-6 * middle.max(), "this basis is no windowed Fourier basis"
    for key, value in factors.items():
        model.graph.initializer.append(numpy_helper.from_array(value, f"{name}.{key}"))
    steps = [
        ("Mul", ["times", "bins"], "product"),
        ("Mod", ["product", "size"], "place"),
        ("Add", ["place", "second"], "index"),
        ("Gather", ["turns", "index"], "wave"),
        ("Mul", ["wave", "window"], "windowed"),
        ("Mul", ["windowed", "scale"], "scaled"),
    ]
    nodes = [helper.make_node(op, [f"{name}.{i}" for i in ins], [f"{name}.{out}"]) for op, ins, out in steps]
    return [*nodes, helper.make_node("Reshape", [f"{name}.scaled", f"{name}.shape"], [name])]


def _angle_nodes(
    model: onnx.ModelProto, name: str, basis: NDArray[np.float32], shape: tuple[int, ...]
) -> list[onnx.NodeProto]:
    """Nodes for HILCodec's `basis` `[2 * bins, 1, n_fft]`: angles multiplied out at 32 bits, with all their error."""
    n_fft, bins = basis.shape[2], np.arange(basis.shape[0] // 2, dtype=np.float32).reshape(-1, 1, 1)
    times, step, window = np.arange(n_fft, dtype=np.float32), np.full(1, 2 * np.pi / n_fft, np.float32), basis[:1]
    angle = bins * step * times
    made = np.concatenate([np.cos(angle), -np.sin(angle)]) * window  # the first row is the window: cosines of nought
    assert np.abs(made - basis).max() < 1e-6, "this basis is not as HILCodec makes it"
    factors = {"bins": bins, "step": step, "times": times, "window": window, "shape": np.array(shape)}
    for key, value in factors.items():
        model.graph.initializer.append(numpy_helper.from_array(value, f"{name}.{key}"))
    steps: list[tuple[str, list[str], str, dict[str, Any]]] = [
        ("Mul", ["bins", "step"], "steps", {}),
        ("Mul", ["steps", "times"], "angle", {}),
        ("Cos", ["angle"], "cosine", {}),
        ("Sin", ["angle"], "sine", {}),
        ("Neg", ["sine"], "negative", {}),
        ("Concat", ["cosine", "negative"], "wave", {"axis": 0}),
        ("Mul", ["wave", "window"], "windowed", {}),
    ]
    nodes = [
        helper.make_node(op, [f"{name}.{i}" for i in ins], [f"{name}.{out}"], **more) for op, ins, out, more in steps
    ]
    return [*nodes, helper.make_node("Reshape", [f"{name}.windowed", f"{name}.shape"], [name])]


def _prepend(model: onnx.ModelProto, nodes: list[onnx.NodeProto]) -> None:
    rest = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*nodes, *rest])
