from __future__ import annotations

import pytest

from nacre import load
from nacre.evaluation.macs import multiply_adds, of_node


@pytest.mark.parametrize(
    ("kind", "inputs", "output", "count"),
    [
        ("MatMul", [(1, 75, 64), (64, 256)], (1, 75, 256), 75 * 64 * 256),
        ("FusedMatMul", [(2, 64, 75), (2, 64, 256)], (2, 75, 256), 2 * 75 * 64 * 256),  # the first one turned
        ("Gemm", [(75, 64), (256, 64), (256,)], (75, 256), 75 * 64 * 256),
        ("Conv", [(1, 8, 81), (8, 1, 7), (8,)], (1, 8, 75), 8 * 75 * 7),
        ("ConvTranspose", [(1, 6, 50), (6, 3, 4)], (1, 3, 102), 50 * 6 * 3 * 4),
        ("LSTM", [(50, 2, 6), (1, 32, 6), (1, 32, 8), (1, 64)], (50, 1, 2, 8), 100 * 32 * 14),
        ("Add", [(1, 75, 64), (64,)], (1, 75, 64), 0),
    ],
)
def test_nodes_by_hand(kind: str, inputs: list[tuple[int, ...]], output: tuple[int, ...], count: int) -> None:
    assert of_node(kind, inputs, output) == count


def test_graphs_do_what_torch_does_and_what_the_paper_says() -> None:
    """75 frames a second: a transform, layers, nine searches of 512 entries; and what has no graph says so."""
    found = multiply_adds(load())
    assert found is not None
    block = 256 * 7 + 2 * 256 * 704
    assert found.encode == pytest.approx(75 * (640 * 642 + 642 * 256 + 3 * block + 256 * 64 + 9 * 64 * 512))
    assert found.decode == pytest.approx(75 * (64 * 256 + 5 * block + 256 * 963 + 642 * 640))
    assert multiply_adds(object()) is None  # type: ignore[arg-type]


def test_torch_and_graphs_agree() -> None:
    pytest.importorskip("torch")
    from nacre.codecs.pearl import Pearl

    assert multiply_adds(Pearl().eval()) == multiply_adds(load())
