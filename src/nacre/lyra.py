"""Lyra v2: Google's codec for speech, from its published `.tflite` graphs through LiteRT, under the usual contract.

google/lyra 1.3.2 (Apache-2.0, weights included). The graphs are not part of nacre: name the folder `model_coeffs` of a
copy of that repository. They take one frame of one sound at a time and keep what they remember inside, so every item of
every stream has graphs of its own.
"""

from __future__ import annotations

import hashlib
import importlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .codes import Level
from .container.lyra_file import LYRA_CODEC
from .contract import CodecContract, Wave
from .errors import DamagedError, InputError, MissingError

ENCODER, QUANTIZER, DECODER = "soundstream_encoder.tflite", "quantizer.tflite", "lyragan.tflite"
LEVELS, FEATURES, HOP = LYRA_CODEC.levels, 64, LYRA_CODEC.hop
ABSENT = -1  # what the quantizer is told for levels that are not there
MAX_THREADS = 256
Array = NDArray[Any]


class Lyra(CodecContract):
    """Speech at 16 kHz: 16 levels are 3.2 kbps, 30 are 6 and 46 are 9.2; a frame is 20 ms."""

    def __init__(self, folder: str | Path, threads: int = 1) -> None:
        self._files: dict[str, GraphFile] = {}
        if not 1 <= threads <= MAX_THREADS:
            raise InputError(f"a codec runs on 1 to {MAX_THREADS} threads, got {threads}")
        for name in (ENCODER, QUANTIZER, DECODER):
            path = Path(folder) / name
            if not path.is_file():
                raise MissingError(f"no {name} in {folder}; expected the folder model_coeffs of github.com/google/lyra")
            self._files[name] = GraphFile(path, path.read_bytes(), threads)
        for side, shape in ((ENCODER, (1, HOP)), (DECODER, (1, 1, FEATURES))):
            self._open(side).check(shape)  # what is missing or damaged is said now, not at the first sound
        total = hashlib.sha256(b"".join(file.content for file in self._files.values()))
        self.info = replace(LYRA_CODEC, digest=total.hexdigest()[:16])

    def new_state(self) -> LyraState:
        """A stream that has heard nothing; its graphs are made when the first frame comes."""
        return LyraState()

    def encode_frames(self, wave: Wave, state: LyraState, levels: int) -> tuple[Level, ...]:
        """Levels `[B, F]` of whole frames of samples `[B, 1, F * 320]`."""
        frames = wave.shape[2] // HOP
        codes = np.zeros((levels, len(wave), frames), np.int64)
        for item, graphs in enumerate(self._items(state, len(wave), ENCODER)):
            for f in range(frames):
                features = graphs.sound(wave[item, :, f * HOP : (f + 1) * HOP])
                codes[:, item, f] = graphs.encode(features, levels)
        return tuple(codes)

    def decode_frames(self, levels: tuple[Level, ...], state: LyraState) -> Wave:
        """Samples `[B, 1, F * 320]` of whole frames of levels."""
        codes = np.stack(levels)
        wave = np.zeros((codes.shape[1], 1, codes.shape[2] * HOP), np.float32)
        for item, graphs in enumerate(self._items(state, codes.shape[1], DECODER)):
            for f in range(codes.shape[2]):
                wave[item, 0, f * HOP : (f + 1) * HOP] = graphs.sound(graphs.decode(codes[:, item, f])).ravel()
        return wave

    def _items(self, state: LyraState, batch: int, side: str) -> list[Graphs]:
        while len(state.items) < batch:
            state.items.append(self._open(side))
        return state.items

    def _open(self, side: str) -> Graphs:
        return Graphs(self._files[side], self._files[QUANTIZER])


@dataclass
class LyraState:
    """One direction of one stream: graphs for each item of the batch, with their memory inside."""

    items: list[Graphs] = field(default_factory=list)


class Graphs:
    """One side of Lyra, for one sound: a graph that remembers, and the quantizer."""

    def __init__(self, side: GraphFile, quantizer: GraphFile) -> None:
        self._path, self._side = side.path, side.function("serving_default")
        self._encode, self._decode = quantizer.function("encode"), quantizer.function("decode")

    def check(self, shape: tuple[int, ...]) -> None:
        """An error unless the graph that remembers takes one array of this shape."""
        taken = [tuple(details["shape"].tolist()) for details in self._side.get_input_details().values()]
        if taken != [shape]:
            raise DamagedError(f"{self._path} should take one array of shape {shape}, got {taken}; copy it again")

    def sound(self, value: Array) -> Array:
        """Samples `[1, 320]` to features `[1, 1, 64]`, or features to samples."""
        [name] = self._side.get_input_details()
        [result] = self._side(**{name: value.astype(np.float32)}).values()
        return np.asarray(result)

    def encode(self, features: Array, levels: int) -> Array:
        """The first `levels` codes of features `[1, 1, 64]`."""
        count = np.full(self._encode.get_input_details()["num_quantizers"]["shape"], levels, np.int32)
        codes = self._encode(input_frames=features, num_quantizers=count)["output_0"]
        return np.asarray(codes).reshape(-1)[:levels]

    def decode(self, codes: Array) -> Array:
        """Features `[1, 1, 64]` of codes."""
        every = np.full((LEVELS, 1, 1), ABSENT, np.int32)
        every[: len(codes), 0, 0] = codes
        return np.asarray(self._decode(encoding_indices=every)["output_0"])


@dataclass(frozen=True)
class GraphFile:
    """One `.tflite` file."""

    path: Path
    content: bytes
    threads: int

    def function(self, name: str) -> Any:
        """What runs the function `name` of the graph, with a memory of its own."""
        try:
            interpreter = importlib.import_module("ai_edge_litert.interpreter").Interpreter
        except ImportError as error:
            raise MissingError("Lyra runs on LiteRT, which is not installed; pip install 'nacre[lyra]'") from error
        try:
            return interpreter(model_content=self.content, num_threads=self.threads).get_signature_runner(name)
        except (ValueError, RuntimeError) as error:
            raise DamagedError(f"{self.path} has no {name} that LiteRT can run; copy it again: {error}") from error
