"""DNSMOS: Microsoft's network that predicts what people would say of a recording; its graph is in `speechmos`."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from ..audio import resample
from ..errors import InputError, MissingError
from .pairs import Sound, check_pair

RATE = 16_000  # Hz
WINDOW = round(9.01 * RATE)  # samples that the network hears at once
CURVE = (-0.06766283, 1.11546468, 0.04602535)  # from what it says to opinion scores, of overall quality


def dnsmos(reference: Sound, estimate: Sound, sample_rate: int) -> float:
    """DNSMOS P.835, overall quality of the estimate alone, 1 to 5; higher is better. The reference is not heard.

    The mean over windows of 9.01 s, one a second; shorter clips are repeated, as the authors' script has it. Reddy et
    al., "DNSMOS P.835: a non-intrusive perceptual objective speech quality metric", ICASSP 2022.
    """
    _, sound = check_pair(reference, estimate, sample_rate, RATE)
    wave = resample(sound[None].astype(np.float32), sample_rate, RATE)[0]
    if not wave.any():
        raise InputError("the estimate is silent, and no model of hearing rates silence; leave this clip out")
    wave = np.clip(wave, -1, 1)
    while len(wave) < WINDOW:
        wave = np.concatenate([wave, wave])
    count = int(len(wave) // RATE - 9.01) + 1
    starts = [i * RATE for i in range(count) if i * RATE + WINDOW <= len(wave)]
    raw = [_session().run(None, {"input_1": wave[None, start : start + WINDOW]})[0][0][2] for start in starts]
    return float(np.mean(np.polyval(CURVE, raw)))


@cache
def _session() -> Any:
    spec = find_spec("speechmos")
    if spec is None or not spec.submodule_search_locations:
        raise MissingError("DNSMOS needs the package speechmos; pip install --no-deps speechmos")
    graph = Path(spec.submodule_search_locations[0], "dnsmos_models", "sig_bak_ovr.onnx")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # the same figures for any number of workers
    return onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
