"""Lyra's row of the catalogue: graphs from a folder, without torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from small_lyra import write_small_lyra

from nacre import InputError, load
from nacre.converters.from_lyra import load_lyra
from nacre.lyra import Lyra

WAVE = np.random.default_rng(0).normal(0, 0.1, (1, 1, 900)).astype(np.float32)


def test_a_folder_or_a_file_in_it(tmp_path: Path) -> None:
    folder = write_small_lyra(tmp_path / "model_coeffs")
    codec = load("lyra-v2", file=folder)
    assert isinstance(codec, Lyra) and codec.info.name == "lyra-v2"
    assert load_lyra(folder / "lyragan.tflite").encode(WAVE) == codec.encode(WAVE)
    with pytest.raises(InputError, match="expected one of lyra-v2, got 'lyra'"):
        load_lyra(folder, "lyra")
    with pytest.raises(InputError, match="a codec runs on 1 to 256 threads, got 0"):
        load("lyra-v2", file=folder, threads=0)


def test_torch_is_not_asked_for(tmp_path: Path) -> None:
    folder = write_small_lyra(tmp_path / "model_coeffs")
    code = "import sys; sys.modules['torch'] = None\nimport nacre\n"
    code += f"print(nacre.load('lyra-v2', file={str(folder)!r}).info.name)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert result.stdout.strip() == "lyra-v2", result.stderr
