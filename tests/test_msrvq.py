"""Scales: coarse levels code means of frames, and decode repeats them."""

from __future__ import annotations

from math import lcm

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nacre.errors import InputError
from nacre.quantizers.codebook import CodebookConfig
from nacre.quantizers.msrvq import MultiScaleVQ, MultiScaleVQConfig


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.integers(1, 3))
def test_encode_inverts_decode(strides: list[int], spans: int) -> None:
    config = MultiScaleVQConfig(2, (4,) * len(strides), strides=tuple(strides))
    quantizer = MultiScaleVQ(config).eval()
    corners = torch.tensor([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])
    for k, level in enumerate(quantizer.levels):
        level.codebook.entries.copy_(corners / 8**k)  # later levels' means cannot reach another corner
    frames = spans * lcm(*strides)
    codes = [torch.randint(4, (3, frames // stride)) for stride in strides]
    z = quantizer.decode(codes)
    assert z.shape == (3, 2, frames)
    assert all(torch.equal(a, b) for a, b in zip(quantizer.encode(z), codes, strict=True))


def test_the_numbers_of_a_small_case() -> None:
    quantizer = MultiScaleVQ(MultiScaleVQConfig(1, (2, 3), strides=(2, 1))).eval()
    quantizer.levels[0].codebook.entries.copy_(torch.tensor([[0.0], [10.0]]))
    quantizer.levels[1].codebook.entries.copy_(torch.tensor([[-3.0], [0.0], [3.0]]))
    z = torch.tensor([[[7.0, 12.0, 3.0, -4.0]]])  # means 9.5 and -0.5, left over -3 2 3 -4
    coarse, fine = quantizer.encode(z)
    assert coarse.tolist() == [[1, 0]]
    assert fine.tolist() == [[0, 2, 2, 0]]
    assert quantizer.decode((coarse, fine)).tolist() == [[[7.0, 13.0, 3.0, -3.0]]]
    assert quantizer.decode((coarse,)).tolist() == [[[10.0, 10.0, 0.0, 0.0]]]
    assert quantizer.strides == (2, 1)


def test_trains_like_snac() -> None:
    """Factorised, searched by direction, learnt by gradient; levels of 4, 2 and 1 frames."""
    torch.manual_seed(0)
    book = CodebookConfig(ema=False, normalised=True)
    quantizer = MultiScaleVQ(
        MultiScaleVQConfig(8, (16,) * 3, code_dim=4, detach=False, codebook=book, strides=(4, 2, 1))
    )
    optimizer = torch.optim.Adam(quantizer.parameters(), lr=0.01)
    errors = []
    for _ in range(40):
        z = torch.randn(4, 8, 4).repeat_interleave(8, dim=2)
        output = quantizer(z)
        errors.append(float((output.z - z).detach().square().mean()))
        optimizer.zero_grad()
        ((output.z - z).square().mean() + 0.25 * output.commitment + output.codebook).backward()
        optimizer.step()
    assert [tuple(codes.shape) for codes in output.levels] == [(4, 8), (4, 16), (4, 32)]
    assert sum(errors[-5:]) < 0.6 * sum(errors[:5])


def test_gradient_passes_as_if_nothing_happened() -> None:
    quantizer = MultiScaleVQ(MultiScaleVQConfig(6, (8, 8), strides=(3, 1), dropout=(1, 2)))
    z, weight = torch.randn(4, 6, 30, requires_grad=True), torch.randn(4, 6, 30)
    (quantizer(z).z * weight).sum().backward()
    assert z.grad is not None
    assert torch.equal(z.grad, weight)


@pytest.mark.parametrize("strides", [(), (2,), (2, 0), (4, 2, 1)])
def test_refuses_strides_that_are_not_one_a_level(strides: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="stride for each of 2 levels"):
        MultiScaleVQConfig(4, (8, 8), strides=strides)


def test_refuses_frames_that_do_not_fit() -> None:
    quantizer = MultiScaleVQ(MultiScaleVQConfig(4, (8, 8), strides=(3, 2))).eval()
    with pytest.raises(InputError, match="multiple of 6 frames, got 8"):
        quantizer.encode(torch.zeros(1, 4, 8))
    with pytest.raises(InputError, match="same frames"):
        quantizer.decode([torch.zeros(1, 2, dtype=torch.int64), torch.zeros(1, 2, dtype=torch.int64)])
