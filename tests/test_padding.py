"""padding: which positions each frame hears, counted by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from nacre.errors import InputError
from nacre.nn.padding import Kernel, Pad, windows
from nacre.nn.state import State

ONE_TO = {n: torch.arange(1.0, n + 1).reshape(1, 1, -1) for n in range(10)}


def padded(length: int, kernel: Kernel, pad: Pad) -> list[int]:
    return [int(v) for v in windows(nn.Identity(), ONE_TO[length], None, kernel, pad).flatten()]


def test_a_kernel_knows_what_it_hears() -> None:
    causal = Kernel(7, dilation=3)
    assert (causal.span, causal.context, causal.past, causal.lag) == (19, 18, 18, 0)
    centred = Kernel(10, 5).centred()
    assert (centred.past, centred.lag) == (3, 2)  # the left gets the odd position (SPECS, trap 1)
    early = Kernel(6, 3).early()
    assert (early.past, early.lag) == (5, 0)


@pytest.mark.parametrize(
    ("length", "kernel", "pad", "expected"),
    [
        (4, Kernel(3), "zero", [0, 0, 1, 2, 3, 4]),
        (4, Kernel(3), "reflect", [3, 2, 1, 2, 3, 4]),
        (4, Kernel(3), "replicate", [1, 1, 1, 2, 3, 4]),
        (4, Kernel(3).centred(), "reflect", [2, 1, 2, 3, 4, 3]),
        (5, Kernel(4, 2), "reflect", [3, 2, 1, 2, 3, 4, 5, 4]),  # a frame for the half-filled stride
        (3, Kernel(4, 2).centred(), "replicate", [1, 1, 2, 3, 3, 3]),
        (1, Kernel(3), "reflect", [0, 0, 1]),  # too short to mirror: zeros on the right first (trap 3)
        (2, Kernel(4), "reflect", [0, 0, 2, 1, 2]),
        (2, Kernel(5).centred(), "reflect", [0, 2, 1, 2, 0, 2]),
        (4, Kernel(6, 3).early(), "zero", [0, 0, 0, 0, 0, 1, 2, 3, 4]),  # frames at positions 1 and 4, no more
        (0, Kernel(4, 2).centred(), "reflect", []),
    ],
)
def test_positions_outside_the_signal(length: int, kernel: Kernel, pad: Pad, expected: list[int]) -> None:
    assert padded(length, kernel, pad) == expected


def test_reflection_waits_for_what_it_mirrors() -> None:
    layer, state, kernel = nn.Identity(), State(), Kernel(4)
    for n in range(3):
        assert windows(layer, ONE_TO[9][..., n : n + 1], state, kernel, "reflect").shape[-1] == 0
    assert windows(layer, ONE_TO[9][..., 3:4], state, kernel, "reflect").flatten().tolist() == [4, 3, 2, 1, 2, 3, 4]
    assert windows(layer, ONE_TO[9][..., 4:5], state, kernel, "reflect").flatten().tolist() == [2, 3, 4, 5]


def test_memory_of_a_stream_is_bounded() -> None:
    layer, kernel = nn.Identity(), Kernel(8, 4).centred()
    for pad in ("zero", "reflect", "replicate"):
        state = State()
        for _ in range(50):
            windows(layer, torch.ones(1, 1, 5), state, kernel, pad)
            assert sum(t.numel() for t in state.tensors()) <= 2 * kernel.span


@pytest.mark.parametrize(("size", "stride", "left"), [(3, 4, None), (0, 1, None), (3, 1, 3), (3, 1, -1)])
def test_a_kernel_that_skips_positions_is_refused(size: int, stride: int, left: int | None) -> None:
    with pytest.raises(InputError, match="expected"):
        Kernel(size, stride, left=left)
