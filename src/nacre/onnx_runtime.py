"""OnnxCodec: a codec from a folder of ONNX graphs, without torch; the same contract as every codec.

A folder holds `encoder.onnx`, `decoder.onnx` and `model.safetensors`. The graphs are small and point into the
weights, which are stored once, at 16 bits, for torch and ONNX alike. `wave` goes in and `level.0`, `level.1` … come
out, or the other way round; state is further tensors: input `state.NAME` is output `next.NAME` of the call before.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import MISSING, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from .codes import CodecInfo, Level
from .contract import CodecContract, Wave
from .errors import DamagedError, InputError, MissingError

ENCODER, DECODER, WEIGHTS = "encoder.onnx", "decoder.onnx", "model.safetensors"
INFO_KEY = "nacre.info"  # where a graph's metadata keeps its CodecInfo, as JSON
MAX_THREADS = 256  # ONNX Runtime makes as many as it is told, at once, and cannot be stopped meanwhile
MAX_HEADER = 1 << 20  # bytes of the weights' header
CONFIG_KEY = "nacre.config"  # where the weights' metadata keeps the architecture's config, as JSON
WAVE, STATE, NEXT = "wave", "state.", "next."  # names, and beginnings of names, of inputs and outputs
GraphState = dict[str, NDArray[np.float32]]


class OnnxCodec(CodecContract):
    """Encode, decode and stream with ONNX Runtime; sessions open when first used."""

    def __init__(self, folder: str | Path, threads: int = 1) -> None:
        self.folder, self.threads = Path(folder), threads
        if not 1 <= threads <= MAX_THREADS:
            raise InputError(f"a codec runs on 1 to {MAX_THREADS} threads, got {threads}")
        for name in (ENCODER, DECODER, WEIGHTS):
            if not (self.folder / name).is_file():
                raise MissingError(f"no {name} in {self.folder}; expected a folder written by nacre's ONNX export")
        self.info = read_info(self.folder / WEIGHTS)

    @cached_property
    def _encoder(self) -> Graph:
        return Graph(self.folder / ENCODER, self.info, self.threads)

    @cached_property
    def _decoder(self) -> Graph:
        return Graph(self.folder / DECODER, self.info, self.threads)

    def new_state(self) -> GraphState:
        """An empty state; the graphs fill it with silence at the first call."""
        return {}

    def encode_frames(self, wave: Wave, state: GraphState, levels: int) -> tuple[Level, ...]:
        """Levels `[B, F]` of whole frames of samples `[B, C, F * hop]`."""
        every = self._encoder([wave], state)
        return tuple(every[:levels])

    def decode_frames(self, levels: tuple[Level, ...], state: GraphState) -> Wave:
        """Samples of whole frames of levels; levels that are not there are told to the graph as -1."""
        batch, frames = levels[0].shape[0], levels[0].shape[1] * self.info.strides[0]
        absent = [np.full((batch, frames // s), -1, np.int64) for s in self.info.strides[len(levels) :]]
        wave: Wave = self._decoder([*levels, *absent], state)[0]
        return wave


class Graph:
    """One ONNX graph: what goes in and comes out, and state that goes round."""

    def __init__(self, path: Path, info: CodecInfo, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime raises classes of its own that share no base
            raise DamagedError(f"{path} is not a graph of nacre's that ONNX Runtime can load: {error}") from error
        if not _made_with(self.session, info):
            raise DamagedError(f"{path} and {WEIGHTS} beside it are of different exports; export the model again")
        inputs, outputs = self.session.get_inputs(), self.session.get_outputs()
        self.inputs = [i.name for i in inputs if not i.name.startswith(STATE)]
        self.outputs = [o.name for o in outputs if not o.name.startswith(NEXT)]
        wave, levels = [WAVE], list(level_names(info))
        if (self.inputs, self.outputs) != ((wave, levels) if path.name == ENCODER else (levels, wave)):
            sides = "wave into levels" if path.name == ENCODER else "levels into wave"
            raise DamagedError(
                f"{path} should turn {sides}, got {self.inputs} and {self.outputs}; export the model again"
            )
        self.state = {i.name: tuple(i.shape[1:]) for i in inputs if i.name.startswith(STATE)}

    def __call__(self, values: Sequence[NDArray[Any]], state: GraphState) -> list[NDArray[Any]]:
        """Run on `values`, the inputs that are not state; `state` moves on in place."""
        if not state:
            state.update({name: np.zeros((len(values[0]), *shape), np.float32) for name, shape in self.state.items()})
        after = [NEXT + name.removeprefix(STATE) for name in state]
        results = self.session.run(self.outputs + after, dict(zip(self.inputs, values, strict=True)) | state)
        count = len(self.outputs)
        state.update(zip(list(state), results[count:], strict=True))
        return list(results[:count])


def _made_with(session: onnxruntime.InferenceSession, info: CodecInfo) -> bool:
    """Whether a graph says that it belongs to the weights of `info`."""
    said = session.get_modelmeta().custom_metadata_map.get(INFO_KEY, "")
    try:
        return info_from_json(said) == info
    except (ValueError, TypeError):
        return False


def level_names(info: CodecInfo) -> tuple[str, ...]:
    """What graphs call the levels of a codec."""
    return tuple(f"level.{k}" for k in range(info.levels))


def read_info(weights: Path) -> CodecInfo:
    """Whose weights a safetensors file holds, as its header says."""
    with weights.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = file.read(size) if size <= MAX_HEADER else b""
    try:
        return info_from_json(json.loads(header)["__metadata__"][INFO_KEY])
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedError(f"{weights} does not say whose weights it holds; export the model again") from error


def info_to_json(info: CodecInfo) -> str:
    """A CodecInfo as a line of JSON; fields that say nothing but their default are left out, as they may be newer."""
    said = {f.name: getattr(info, f.name) for f in fields(info) if f.default is MISSING or getattr(info, f.name)}
    return json.dumps(said, sort_keys=True)


def info_from_json(text: str) -> CodecInfo:
    """The CodecInfo that `info_to_json` wrote."""
    return CodecInfo(**tupled(json.loads(text)))


def tupled(fields: dict[str, Any]) -> dict[str, Any]:
    """Fields of a dataclass as JSON gave them, its lists made tuples again."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()}
