"""Stand-ins for Lyra's `.tflite` graphs, which are not here: their names, shapes and kind of memory, made-up weights.

They are written with the schema that LiteRT itself is installed with. The encoder and the decoder add half of what they
gave the frame before, kept in a resource variable as in Lyra's; the quantizer rounds one feature a level.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

FEATURES, HOP, LEVELS = 64, 320, 46
FORGET = np.float32(0.5)


def weights() -> tuple[np.ndarray, np.ndarray]:
    """Samples to features `[64, 320]`, and features to samples."""
    random = np.random.default_rng(0)
    there = random.normal(0, 1 / np.sqrt(HOP), (FEATURES, HOP)).astype(np.float32)
    return there * 4, random.normal(0, 0.1, (HOP, FEATURES)).astype(np.float32)


class GraphWriter:
    """Builds one flatbuffer, a tensor and an operation at a time."""

    def __init__(self) -> None:
        self.schema: Any = pytest.importorskip("ai_edge_litert.schema_py_generated")
        self.model = self.schema.ModelT(version=3, operatorCodes=[], subgraphs=[], signatureDefs=[])
        self.model.buffers = [self.schema.BufferT()]

    def begin(self, name: str) -> int:
        """A new subgraph; what follows goes into it."""
        self.model.subgraphs.append(self.schema.SubGraphT(tensors=[], operators=[], inputs=[], outputs=[], name=name))
        return len(self.model.subgraphs) - 1

    def tensor(self, kind: str, *shape: int, value: Any = None) -> int:
        """A tensor of the subgraph, constant where it has a value."""
        buffer = 0
        if value is not None:
            data = np.asarray(value, {"FLOAT32": "<f4", "INT32": "<i4"}[kind]).reshape(shape)
            self.model.buffers.append(self.schema.BufferT(data=list(data.tobytes())))
            buffer = len(self.model.buffers) - 1
        tensors = self.model.subgraphs[-1].tensors
        kind_number = getattr(self.schema.TensorType, kind)
        tensors.append(self.schema.TensorT(shape=list(shape), type=kind_number, buffer=buffer, name=f"t{len(tensors)}"))
        return len(tensors) - 1

    def run(self, op: str, inputs: list[int], outputs: list[int], options: Any = None, kind: str = "") -> int:
        """An operation; gives its first output."""
        code = getattr(self.schema.BuiltinOperator, op)
        codes = [held.builtinCode for held in self.model.operatorCodes]
        if code not in codes:
            old = min(code, 127)
            self.model.operatorCodes.append(self.schema.OperatorCodeT(deprecatedBuiltinCode=old, builtinCode=code))
            codes.append(code)
        made = self.schema.OperatorT(opcodeIndex=codes.index(code), inputs=inputs, outputs=outputs)
        if options is not None:
            made.builtinOptionsType = getattr(self.schema.BuiltinOptions, kind)
            made.builtinOptions = options
        self.model.subgraphs[-1].operators.append(made)
        return outputs[0] if outputs else -1

    def variable(self) -> int:
        """The handle of the one variable that all subgraphs share."""
        handle = self.tensor("RESOURCE")
        options = self.schema.VarHandleOptionsT(container="", sharedName="memory")
        return self.run("VAR_HANDLE", [], [handle], options, "VarHandleOptions")

    def signature(self, name: str, subgraph: int, inputs: dict[str, int], outputs: dict[str, int]) -> None:
        """A function of the graph."""
        graph = self.model.subgraphs[subgraph]
        graph.inputs, graph.outputs = list(inputs.values()), list(outputs.values())
        pairs = [[self.schema.TensorMapT(name=k, tensorIndex=v) for k, v in side.items()] for side in (inputs, outputs)]
        self.model.signatureDefs.append(self.schema.SignatureDefT(*pairs, signatureKey=name, subgraphIndex=subgraph))

    def save(self, path: Path) -> None:
        """Write the file."""
        flatbuffers = pytest.importorskip("flatbuffers")
        builder = flatbuffers.Builder(1 << 16)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        path.write_bytes(bytes(builder.Output()))


def remembering(path: Path, matrix: np.ndarray, given: tuple[int, ...], name: str) -> None:
    """`y = matrix @ x + y of the call before / 2`."""
    writer, (out, inside) = GraphWriter(), matrix.shape
    schema = writer.schema
    main = writer.begin("main")
    x = writer.tensor("FLOAT32", *given)
    once = schema.CallOnceOptionsT(initSubgraphIndex=1)
    writer.run("CALL_ONCE", [], [], once, "CallOnceOptions")
    memory = writer.variable()
    before = writer.run("READ_VARIABLE", [memory], [writer.tensor("FLOAT32", 1, out)])
    half = writer.tensor("FLOAT32", 1, value=FORGET)
    faded = writer.run("MUL", [before, half], [writer.tensor("FLOAT32", 1, out)], schema.MulOptionsT(), "MulOptions")
    flat = reshaped(writer, x, 1, inside)
    product = fully_connected(writer, flat, matrix)
    total = writer.tensor("FLOAT32", 1, out)
    writer.run("ADD", [product, faded], [total], schema.AddOptionsT(), "AddOptions")
    writer.run("ASSIGN_VARIABLE", [memory, total], [])
    y = total if len(given) == 3 else reshaped(writer, total, 1, 1, out)
    writer.begin("init")
    writer.run("ASSIGN_VARIABLE", [writer.variable(), writer.tensor("FLOAT32", 1, out, value=np.zeros(out))], [])
    writer.signature("serving_default", main, {name: x}, {"output_0": y})
    writer.save(path)


def reshaped(writer: GraphWriter, x: int, *shape: int, kind: str = "FLOAT32") -> int:
    """The same values in another shape."""
    target = writer.tensor("INT32", len(shape), value=shape)
    options = writer.schema.ReshapeOptionsT(newShape=list(shape))
    return writer.run("RESHAPE", [x, target], [writer.tensor(kind, *shape)], options, "ReshapeOptions")


def fully_connected(writer: GraphWriter, x: int, matrix: np.ndarray) -> int:
    """`matrix @ x`."""
    held = writer.tensor("FLOAT32", *matrix.shape, value=matrix)
    bias = writer.tensor("FLOAT32", len(matrix), value=np.zeros(len(matrix)))
    out = writer.tensor("FLOAT32", 1, len(matrix))
    options = writer.schema.FullyConnectedOptionsT()
    return writer.run("FULLY_CONNECTED", [x, held, bias], [out], options, "FullyConnectedOptions")


def rounding(path: Path) -> None:
    """Level k is feature k, times four and from 8 on, rounded down; levels that were not asked for are -1."""
    writer, column = GraphWriter(), (LEVELS, 1, 1)
    floats = lambda: [writer.tensor("FLOAT32", *column)]  # noqa: E731
    encode = writer.begin("encode")
    frames, count = writer.tensor("FLOAT32", 1, 1, FEATURES), writer.tensor("INT32")
    first = fully_connected(writer, reshaped(writer, frames, 1, FEATURES), 4 * np.eye(LEVELS, FEATURES))
    x = reshaped(writer, first, *column)
    x = writer.run(
        "ADD", [x, writer.tensor("FLOAT32", 1, value=8)], floats(), writer.schema.AddOptionsT(), "AddOptions"
    )
    x = writer.run("MAXIMUM", [x, writer.tensor("FLOAT32", 1, value=0)], floats())
    x = writer.run("MINIMUM", [x, writer.tensor("FLOAT32", 1, value=15)], floats())
    codes = writer.run("CAST", [writer.run("FLOOR", [x], floats())], [writer.tensor("INT32", *column)])
    order = writer.tensor("INT32", *column, value=np.arange(LEVELS))
    asked = writer.run("LESS", [order, count], [writer.tensor("BOOL", *column)])
    absent = writer.tensor("INT32", *column, value=np.full(LEVELS, -1))
    codes = writer.run("SELECT_V2", [asked, codes, absent], [writer.tensor("INT32", *column)])
    bits = writer.tensor("INT32", value=4)
    inputs = {"input_frames": frames, "num_quantizers": count}
    writer.signature("encode", encode, inputs, {"output_0": codes, "output_1": bits})
    decode = writer.begin("decode")
    given = writer.tensor("INT32", *column)
    zero = writer.tensor("INT32", *column, value=np.zeros(LEVELS))
    there = writer.run("GREATER_EQUAL", [given, zero], [writer.tensor("BOOL", *column)])
    there, value = (writer.run("CAST", [part], floats()) for part in (there, given))
    middle = writer.tensor("FLOAT32", 1, value=-7.5)
    value = writer.run("ADD", [value, middle], floats(), writer.schema.AddOptionsT(), "AddOptions")
    value = writer.run("MUL", [value, there], floats(), writer.schema.MulOptionsT(), "MulOptions")
    back = fully_connected(writer, reshaped(writer, value, 1, LEVELS), np.eye(FEATURES, LEVELS) / 4)
    writer.signature(
        "decode", decode, {"encoding_indices": given}, {"output_0": reshaped(writer, back, 1, 1, FEATURES)}
    )
    writer.save(path)


def write_small_lyra(folder: Path) -> Path:
    """All three files, under Lyra's names."""
    folder.mkdir(exist_ok=True)
    there, back = weights()
    remembering(folder / "soundstream_encoder.tflite", there, (1, HOP), "input_audio")
    remembering(folder / "lyragan.tflite", back, (1, 1, FEATURES), "input_features")
    rounding(folder / "quantizer.tflite")
    return folder
