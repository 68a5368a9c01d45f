"""Matrices at 8 bits: a whole number a weight and one scale a row, half the bytes of 16 bits.

Only how weights are stored: whoever loads them multiplies first and computes in float32 as ever. Codebooks, biases and
small kernels stay at 16 bits, where there is little to save. `[R, ...]` has R rows.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

SCALE = ".scale"  # NAME.scale holds the scales `[R]` of NAME
MOST = 127  # the largest whole number stored
WORTH = 32  # weights a row from which a scale of its own pays


def pack(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Matrices of `weights` as int8 with scales beside them, everything else as it was."""
    packed: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        if not worth(name, tensor):
            packed[name] = tensor
            continue
        rows = tensor.float().flatten(1)
        # halved first, so that what is divided by is what will be multiplied by; no row of zeros divides by zero
        scale = (rows.abs().amax(1) / MOST).half().float().clamp_min(2.0**-24)
        whole = (rows / scale[:, None]).round().clamp(-MOST, MOST)
        packed[name] = whole.to(torch.int8).view(tensor.shape)
        packed[name + SCALE] = scale.half()
    return packed


def unpack(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights that `pack` packed, in float32; floats as they came."""
    unpacked = {}
    for name, tensor in weights.items():
        if tensor.dtype == torch.int8 and name + SCALE in weights:
            scale = weights[name + SCALE].float().view(-1, *[1] * (tensor.ndim - 1))
            unpacked[name] = tensor.float() * scale
        elif not is_scale(name, weights):
            unpacked[name] = tensor
    return unpacked


def worth(name: str, tensor: Tensor) -> bool:
    """Whether a tensor is a matrix of weights whose rows are long enough."""
    return (
        tensor.is_floating_point()
        and tensor.ndim >= 2
        and tensor[0].numel() >= WORTH
        and not name.endswith(".entries")  # a codebook: its rows are values, not weights
    )


def is_scale(name: str, weights: Mapping[str, Tensor]) -> bool:
    """Whether `name` holds the scales of another tensor of `weights`."""
    owner = weights.get(name.removesuffix(SCALE))
    return name.endswith(SCALE) and owner is not None and owner.dtype == torch.int8
