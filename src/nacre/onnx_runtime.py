"""OnnxCodec: a codec from a folder of ONNX graphs, without torch; the same contract as every codec.

A folder holds `encoder.onnx`, `decoder.onnx` and `model.safetensors`. The graphs are small and point into the
weights, which are stored once for torch and ONNX alike. `wave` goes in and `level.0`, `level.1` … come out, or the
other way round; state is further tensors: input `state.NAME` is output `next.NAME` of the call before.

Where a stream begins or ends otherwise than it goes on, `encoder.start.onnx` and its like do that (`Edges`).
"""

from __future__ import annotations

import json
from dataclasses import MISSING, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .codes import CodecInfo, Level
from .contract import CodecContract, Stream, UnpaddedStream, Wave
from .errors import DamagedError, InputError, MissingError

if TYPE_CHECKING:
    import onnxruntime

ENCODER, DECODER, WEIGHTS = "encoder.onnx", "decoder.onnx", "model.safetensors"
INFO_KEY = "nacre.info"  # where a graph's metadata keeps its CodecInfo, as JSON
MAX_THREADS = 256  # ONNX Runtime makes as many as it is told, at once, and cannot be stopped meanwhile
MAX_HEADER = 1 << 20  # bytes of the weights' header
CONFIG_KEY = "nacre.config"  # where the weights' metadata keeps the architecture's config, as JSON
WAVE, STATE, NEXT = "wave", "state.", "next."  # names, and beginnings of names, of inputs and outputs
EDGES_KEY = "nacre.edges"  # where the weights' metadata keeps Edges, as JSON; folders without have none
GO_ON, START, END, WHOLE = "", "start", "end", "whole"  # what a chunk is of its stream
Values = list[NDArray[Any]]  # what goes into a graph, or comes out of it, but for state


@dataclass(frozen=True)
class Edges:
    """How streams through a folder's graphs begin and end; by default just as they go on, from silence."""

    encoder: int = 0  # frames, at least, that encoding begins with by a graph of its own; 0: there is none
    decoder: int = 0  # the same of decoding
    ending: bool = False  # whether streams end, and short ones are coded whole, by graphs of their own
    unpadded: bool = False  # whether a last frame that is not whole is left to the graphs

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of chunks that have graphs of their own."""
        return (GO_ON, START, END, WHOLE) if self.ending else (GO_ON, START) if self.encoder else (GO_ON,)


class GraphState(dict[str, NDArray[np.float32]]):
    """Tensors that go round, by name; what waits until a stream can begin, and whether the coming chunk ends it."""

    last = False
    waiting: Values | None = None


class OnnxCodec(CodecContract):
    """Encode, decode and stream with ONNX Runtime; sessions open when first used."""

    def __init__(self, folder: str | Path, threads: int = 1) -> None:
        self.folder, self.threads = Path(folder), threads
        if not 1 <= threads <= MAX_THREADS:
            raise InputError(f"a codec runs on 1 to {MAX_THREADS} threads, got {threads}")
        self._check([ENCODER, DECODER, WEIGHTS])
        self.info, self._edges = read_info(self.folder / WEIGHTS), read_edges(self.folder / WEIGHTS)
        self._check([graph_path(Path(side), kind).name for side in (ENCODER, DECODER) for kind in self._edges.kinds])

    def _check(self, names: list[str]) -> None:
        """An error unless these files are there."""
        for name in names:
            if not (self.folder / name).is_file():
                raise MissingError(f"no {name} in {self.folder}; expected a folder written by nacre's ONNX export")

    @cached_property
    def _encoder(self) -> Side:
        return Side(self.folder / ENCODER, self.info, self._edges, self.threads)

    @cached_property
    def _decoder(self) -> Side:
        return Side(self.folder / DECODER, self.info, self._edges, self.threads)

    def stream(self, levels: int | None = None) -> Stream:
        """A new two-way stream."""
        kind = UnpaddedStream if self._edges.unpadded else Stream
        return kind(self, self.info.check_levels(levels))

    def new_state(self) -> GraphState:
        """An empty state; the graphs fill it with silence at the first call, or with what they begin with."""
        return GraphState()

    def end(self, state: GraphState) -> None:
        """The coming chunk is the last."""
        state.last = True

    def encode_frames(self, wave: Wave, state: GraphState, levels: int) -> tuple[Level, ...]:
        """Levels `[B, F]` of frames of samples `[B, C, F * hop]`."""
        state.last = state.last or wave.shape[2] % self.info.hop > 0
        every = self._encoder([wave], state, self._edges.encoder * self.info.hop)
        if every is None:
            return tuple(np.zeros((len(wave), 0), np.int64) for _ in range(levels))
        return tuple(every[:levels])

    def decode_frames(self, levels: tuple[Level, ...], state: GraphState) -> Wave:
        """Samples of whole frames of levels; levels that are not there are told to the graph as -1."""
        batch, frames = levels[0].shape[0], levels[0].shape[1] * self.info.strides[0]
        absent = [np.full((batch, frames // s), -1, np.int64) for s in self.info.strides[len(levels) :]]
        waves = self._decoder([*levels, *absent], state, self._edges.decoder)
        wave: Wave = np.zeros((batch, self.info.channels, 0), np.float32) if waves is None else waves[0]
        return wave


class Side:
    """The graphs of one direction; each opens when it is first used."""

    def __init__(self, path: Path, info: CodecInfo, edges: Edges, threads: int) -> None:
        self._path, self._info, self._edges, self._threads = path, info, edges, threads
        self._graphs: dict[str, Graph] = {}

    def __call__(self, values: Values, state: GraphState, first: int) -> Values | None:
        """Run on `values`, the inputs that are not state, which moves on; None where nothing comes out.

        A stream that begins by a graph of its own waits for `first` positions.
        """
        if not first:
            return self._graph(GO_ON)(values, state)
        begun = bool(state)
        if not begun:
            values = _joined(state.waiting, values)
            state.waiting = None if state.last else values
        length = values[0].shape[-1]
        if begun and (length or (state.last and self._edges.ending)):
            return self._graph(END if state.last and self._edges.ending else GO_ON)(values, state)
        if not begun and (length >= first or (length and state.last)):
            state.waiting = None
            return self._graph(WHOLE if state.last and self._edges.ending else START)(values, state)
        return None

    def _graph(self, kind: str) -> Graph:
        if kind not in self._graphs:
            self._graphs[kind] = Graph(graph_path(self._path, kind), self._info, self._threads)
        return self._graphs[kind]


class Graph:
    """One ONNX graph: what goes in and comes out, and state that goes round."""

    def __init__(self, path: Path, info: CodecInfo, threads: int) -> None:
        import onnxruntime  # a tenth of a second that those who come for names and headers need not wait

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
        encodes = path.name.startswith(ENCODER.partition(".")[0])
        if (self.inputs, self.outputs) != ((wave, levels) if encodes else (levels, wave)):
            sides = "wave into levels" if encodes else "levels into wave"
            raise DamagedError(
                f"{path} should turn {sides}, got {self.inputs} and {self.outputs}; export the model again"
            )
        self.state = {i.name: tuple(i.shape[1:]) for i in inputs if i.name.startswith(STATE)}
        self.after = [o.name for o in outputs if o.name.startswith(NEXT)]

    def __call__(self, values: Values, state: GraphState) -> Values:
        """Run on `values`, the inputs that are not state; `state` moves on in place."""
        if not state:
            state.update({name: np.zeros((len(values[0]), *shape), np.float32) for name, shape in self.state.items()})
        results = self.session.run(self.outputs + self.after, dict(zip(self.inputs, values, strict=True)) | state)
        count = len(self.outputs)
        state.update({STATE + name.removeprefix(NEXT): t for name, t in zip(self.after, results[count:], strict=True)})
        return list(results[:count])


def graph_path(path: Path, kind: str) -> Path:
    """The graph for chunks of that kind beside `path`, the one for those that go on."""
    return path.with_suffix(f".{kind}{path.suffix}") if kind else path


GRAPH_NAMES = tuple(
    graph_path(Path(side), kind).name for side in (ENCODER, DECODER) for kind in (GO_ON, START, END, WHOLE)
)  # all names that graphs may have in a folder


def _joined(before: Values | None, values: Values) -> Values:
    """What waited, and `values` behind it."""
    if before is None:
        return values
    return [np.concatenate(pair, axis=-1) for pair in zip(before, values, strict=True)]


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
    try:
        return info_from_json(_header(weights)[INFO_KEY])
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedError(f"{weights} does not say whose weights it holds; export the model again") from error


def read_edges(weights: Path) -> Edges:
    """How the graphs beside a safetensors file begin and end, as its header says."""
    try:
        return Edges(**json.loads(_header(weights).get(EDGES_KEY, "{}")))
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedError(f"{weights} does not say how its graphs begin; export the model again") from error


def _header(weights: Path) -> dict[str, str]:
    with weights.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = file.read(size) if size <= MAX_HEADER else b""
    said = json.loads(header)["__metadata__"]
    if not isinstance(said, dict):
        raise TypeError(f"expected an object, got {said!r}")
    return said


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
