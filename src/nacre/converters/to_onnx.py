"""Export a streaming codec to two ONNX graphs that share one weights file with torch.

The folder that `export` writes holds `model.safetensors` (weights of 16 or 8 bits, loadable by torch) and two small
graphs whose initializers point into it, so every weight is stored once. Fourier bases are not stored at all: the graphs
compute them from a table of one turn, and ONNX Runtime folds that into a constant when it loads.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from safetensors.torch import save
from torch import Tensor, nn

from ..codecs.base import Codec
from ..codes import CodecInfo
from ..nn.spectral import CausalISTFT, CausalSTFT
from ..nn.state import State
from ..onnx_runtime import (
    CONFIG_KEY,
    DECODER,
    ENCODER,
    INFO_KEY,
    NEXT,
    STATE,
    WAVE,
    WEIGHTS,
    info_to_json,
    level_names,
)
from .eight_bits import SCALE, pack, unpack
from .from_safetensors import ARCHITECTURE_KEY, architecture_of
from .keys import coding_keys, digest

OPSET = 17


def export(codec: Codec, folder: str | Path, bits: Literal[8, 16] = 16) -> CodecInfo:
    """Write `codec` as two graphs and their weights; returns its info with the digest filled in.

    The codec's weights are rounded to so many bits in place, so that torch and ONNX go on with the same numbers.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    codec.eval()
    exact = {name: codec.state_dict()[name].detach() for name in sorted(coding_keys(codec))}
    weights = {name: _narrow(tensor).contiguous() for name, tensor in (pack(exact) if bits == 8 else exact).items()}
    codec.load_state_dict({name: tensor.float() for name, tensor in unpack(weights).items()}, strict=False)
    info = replace(codec.info, digest=digest(weights))
    codec.info = info
    metadata = {
        INFO_KEY: info_to_json(info),
        ARCHITECTURE_KEY: architecture_of(codec),
        CONFIG_KEY: json.dumps(asdict(codec.config)),
    }
    (folder / WEIGHTS).write_bytes(save(weights, metadata))  # save_file would hide the file from other users
    wave = torch.zeros(2, info.channels, 2 * info.hop * info.stride)
    levels = tuple(torch.zeros(2, 2 * info.stride // s, dtype=torch.int64) for s in info.strides)
    _write(EncoderGraph(codec), (wave,), folder / ENCODER)
    _write(DecoderGraph(codec), levels, folder / DECODER)
    return info


def _narrow(tensor: Tensor) -> Tensor:
    return tensor.half() if tensor.is_floating_point() else tensor


class EncoderGraph(nn.Module):
    """(wave `[B, C, F * hop]`, *state) -> (all levels, *state)."""

    inputs = (WAVE,)

    def __init__(self, codec: Codec) -> None:
        super().__init__()
        self.encoder, self.quantizer = codec.encoder, codec.quantizer
        self.layout, self.info = State(), codec.info
        self.outputs = level_names(codec.info)
        with torch.inference_mode():
            codec.encoder(torch.zeros(1, codec.info.channels, codec.info.hop * codec.info.stride), self.layout)

    def forward(self, wave: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
        """One chunk of whole frames."""
        state = self.layout.filled(tensors)
        return *self.quantizer.encode(self.encoder(wave, state)), *state.tensors()


class DecoderGraph(nn.Module):
    """(all levels, -1 where one is not there, *state) -> (wave `[B, C, F * hop]`, *state)."""

    outputs = (WAVE,)

    def __init__(self, codec: Codec) -> None:
        super().__init__()
        self.decoder, self.quantizer = codec.decoder, codec.quantizer
        self.layout, self.info = State(), codec.info
        self.inputs = level_names(codec.info)
        with torch.inference_mode():
            codes = [torch.zeros(1, codec.info.stride // s, dtype=torch.int64) for s in codec.info.strides]
            codec.decoder(codec.quantizer.decode(codes), self.layout)

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """One chunk of whole frames."""
        count = len(self.inputs)
        state = self.layout.filled(tensors[count:])
        return self.decoder(self.quantizer.decode(tensors[:count]), state), *state.tensors()


def _write(graph: EncoderGraph | DecoderGraph, example: tuple[Tensor, ...], path: Path) -> None:
    names = graph.layout.names(graph)
    state = tuple(torch.zeros(2, *t.shape[1:]) for t in graph.layout.tensors())
    inputs = [*graph.inputs, *(STATE + name for name in names)]
    outputs = [*graph.outputs, *(NEXT + name for name in names)]
    long = {name: {0: "batch", 2 if name == WAVE else 1: f"{name}.length"} for name in (*graph.inputs, *graph.outputs)}
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
    kinds = {"F16": TensorProto.FLOAT16, "I8": TensorProto.INT8}

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
    transforms = [module for module in graph.modules() if isinstance(module, CausalSTFT | CausalISTFT)]
    for node in [node for node in model.graph.node if node.op_type == "Constant"]:
        if not node.attribute[0].HasField("t"):
            continue
        value = np.asarray(numpy_helper.to_array(node.attribute[0].t))
        for transform in transforms:
            basis = transform.basis.numpy()
            if np.array_equal(value.ravel(), basis.ravel()):
                model.graph.node.remove(node)
                _prepend(model, _basis_nodes(model, node.output[0], basis, value.shape))
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


def _prepend(model: onnx.ModelProto, nodes: list[onnx.NodeProto]) -> None:
    rest = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*nodes, *rest])
