"""How much arithmetic a codec is: multiply-adds of products and convolutions, for a second of sound.

A torch codec is counted while it works. Graphs are counted from ONNX Runtime's own record of the shapes that went
through each node, after constants were folded; so no weights are read and torch is not needed.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isqrt, prod
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from ..codes import CodecInfo
from ..contract import CodecContract
from ..onnx_runtime import DECODER, ENCODER, Graph, GraphState, OnnxCodec, Values

SECONDS = (1, 3)  # that are counted; their difference is told, without what beginnings and ends do
Shape = Sequence[int]


@dataclass(frozen=True)
class Work:
    """Multiply-adds a second of sound."""

    encode: float
    decode: float


def multiply_adds(codec: CodecContract) -> Work | None:
    """The arithmetic of a codec; None where it cannot be known, as of graphs that LiteRT runs."""
    if hasattr(codec, "parameters"):
        return _of_torch(codec)
    return _of_graphs(codec) if isinstance(codec, OnnxCodec) else None


def of_node(kind: str, inputs: Sequence[Shape], output: Shape) -> int:
    """Multiply-adds of one node of a graph, by the shapes of its inputs and of its output."""
    if kind.endswith("ConvTranspose"):
        return prod(inputs[0]) * prod(inputs[1][1:])
    if kind.endswith("Conv"):
        return prod(output) * prod(inputs[1][1:])
    if "MatMul" in kind or kind.endswith("Gemm"):
        first, second, made = (prod(shape[-2:]) for shape in (*inputs[:2], output))
        return prod(output) * isqrt(first * second // made)  # M K · K N / (M N) = K², however they are turned
    if kind in ("LSTM", "GRU"):
        return prod(inputs[0][:2]) * (prod(inputs[1]) + prod(inputs[2]))
    return 0


def _of_torch(codec: CodecContract) -> Work:
    from ..nn.counting import multiply_adds as count  # the codec brought torch

    def sides(frames: int) -> tuple[int, int]:
        shape = (1, codec.info.channels, frames * codec.info.hop)
        wave = np.random.default_rng(0).normal(0, 0.1, shape).astype(np.float32)
        codes = codec.encode(wave)
        return count(lambda: codec.encode(wave)), count(lambda: codec.decode(codes))

    return _each_second(codec.info, sides)


def _of_graphs(codec: OnnxCodec) -> Work:
    info = codec.info

    def sides(frames: int) -> tuple[int, int]:
        wave = np.zeros((1, info.channels, frames * info.hop), np.float32)
        levels: Values = [np.zeros((1, frames // stride), np.int64) for stride in info.strides]
        return _of_graph(codec, ENCODER, [wave]), _of_graph(codec, DECODER, levels)

    return _each_second(info, sides)


def _each_second(info: CodecInfo, sides: Callable[[int], tuple[int, int]]) -> Work:
    """From what two numbers of frames take, without what beginnings and ends do."""
    short, long = (-(-each * info.sample_rate // (info.hop * info.stride)) * info.stride for each in SECONDS)
    less, more, seconds = sides(short), sides(long), (long - short) * info.hop / info.sample_rate
    return Work((more[0] - less[0]) / seconds, (more[1] - less[1]) / seconds)


def _of_graph(codec: OnnxCodec, name: str, values: Values) -> int:
    """Multiply-adds of one graph on `values`, amid a stream."""
    graph = Graph(codec.folder / name, codec.info, 1)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.add_session_config_entry("session.disable_prepacking", "1")  # packed weights have no shape in the record
    with tempfile.TemporaryDirectory(prefix="nacre-macs-") as place:
        options.enable_profiling, options.profile_file_prefix = True, str(Path(place, "record"))
        graph.session = onnxruntime.InferenceSession(
            str(codec.folder / name), options, providers=["CPUExecutionProvider"]
        )
        graph(values, GraphState())
        record = json.loads(Path(graph.session.end_profiling()).read_text("utf-8"))
    return sum(_nodes(record))


def _nodes(record: Iterable[Mapping[str, Any]]) -> Iterable[int]:
    for event in record:
        told = event.get("args", {})
        if event.get("cat") == "Node" and told.get("output_type_shape"):
            before, after = (_shapes(told[f"{side}_type_shape"]) for side in ("input", "output"))
            yield of_node(told["op_name"], before, after[0])


def _shapes(said: Sequence[Mapping[str, Shape]]) -> list[Shape]:
    return [next(iter(each.values()), ()) for each in said]  # each is {type: shape}
