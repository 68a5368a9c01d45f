"""Arithmetic, counted while it is done: multiply-adds of matrix products, convolutions and recurrent layers.

Transforms (FFT), activations and sums are not counted, as in most papers' figures.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode


def multiply_adds(work: Callable[[], object]) -> int:
    """Multiply-adds that `work` does on tensors."""
    with FlopCounterMode(display=False, custom_mapping={torch.ops.aten.mkldnn_rnn_layer: _recurrent}) as counter:
        work()
    total: int = counter.get_total_flops()
    return total // 2  # it counts a multiply-add as two


def _recurrent(x: tuple[int, ...], inner: tuple[int, ...], outer: tuple[int, ...], *_: Any, **__: Any) -> int:
    """Operations of a whole layer that oneDNN runs at once: `x` `[T, B, D]`, weights `[gates, D]` and `[gates, H]`."""
    return 2 * prod(x[:2]) * (prod(inner) + prod(outer))
