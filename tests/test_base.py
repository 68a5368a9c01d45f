"""Codec: forward is the three parts in their order, and training reaches all of them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import torch
from small_pearl import small_pearl

from nacre.codecs import base


def test_forward_aligns_and_keeps_the_length() -> None:
    codec = small_pearl()
    for length in (1, 320, 1_000):
        wave = torch.randn(2, 1, length) * 0.1
        result = codec(wave)
        assert result.wave.shape == wave.shape
        assert all(level.shape == (2, codec.info.frames(length)) for level in result.quantized.levels)


def test_forward_and_encode_choose_the_same_codes() -> None:
    codec = small_pearl()
    wave = torch.randn(1, 1, 4_000) * 0.1
    levels = codec(wave).quantized.levels
    assert all(np.array_equal(a, b) for a, b in zip(levels, codec.encode(wave.numpy()).levels, strict=True))


def test_coding_leaves_no_graph_and_no_state_behind() -> None:
    codec = small_pearl()
    wave = (torch.randn(1, 1, 2_000) * 0.1).requires_grad_()
    before = {name: tensor.clone() for name, tensor in codec.state_dict().items()}
    first = codec.encode(wave)  # a tensor will do, and its gradient is not wanted
    assert codec.encode(wave) == first
    assert all(torch.equal(tensor, before[name]) for name, tensor in codec.state_dict().items())
    assert codec.device == torch.device("cpu")


def test_codecs_do_not_import_each_other() -> None:
    for path in Path(base.__file__).parent.glob("*.py"):
        own = path.stem.partition("_")[0]
        others = re.findall(r"^from \.(\w+) import", path.read_text("utf-8"), re.M)
        assert all(other == "base" or other.partition("_")[0] == own for other in others), f"{path.name}: {others}"
