"""Finite scalars: codes and values are exact inverses, every code can be said, zero stays zero."""

from __future__ import annotations

from math import prod

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from nacre.errors import InputError
from nacre.quantizers.fsq import FSQ

STEPS = st.lists(st.integers(2, 9), min_size=1, max_size=6)


def source(steps: tuple[int, ...], values: Tensor) -> Tensor:
    """Latents that are squashed to `values`, by the paper's formula turned round."""
    counts = torch.tensor(steps, dtype=torch.float64)[:, None]
    half, shift = (counts - 1) * 1.001 / 2, (counts % 2 == 0) / 2
    squashed = (values.double() * (counts // 2) + shift) / half
    return (squashed.atanh() - (shift / half).atanh()).float()


@given(STEPS, st.data())
def test_codes_and_values_are_inverses(steps: list[int], data: st.DataObject) -> None:
    quantizer = FSQ(len(steps), tuple(steps)).eval()
    code = st.integers(0, prod(steps) - 1)
    codes = torch.tensor([data.draw(st.lists(code, min_size=5, max_size=5))])
    values = quantizer.decode((codes,))
    assert values.shape == (1, len(steps), 5)
    assert values.abs().max() <= 1
    assert torch.equal(quantizer.codes(values), codes)
    assert torch.equal(quantizer.encode(source(tuple(steps), values))[0], codes)


@pytest.mark.parametrize("steps", [(8, 5, 5, 4), (2, 3), (7,), (1024,), (3, 1 << 14)])
def test_every_code_has_its_own_values(steps: tuple[int, ...]) -> None:
    quantizer = FSQ(len(steps), steps).eval()
    size = prod(steps)
    codes = torch.arange(size)[None]
    values = quantizer.values(codes)
    assert torch.equal(quantizer.codes(values), codes)
    assert len(torch.unique(values[0], dim=1).T) == size
    assert quantizer.codebook_sizes == (size,)


def test_the_values_of_odd_and_even_steps() -> None:
    quantizer = FSQ(2, (5, 4))
    values = quantizer.values(torch.arange(20)[None])
    assert values[0, 0, :5].tolist() == [-1, -0.5, 0, 0.5, 1]
    assert values[0, 1, ::5].tolist() == [-1, -0.5, 0, 0.5]
    assert values[0, :, 0].tolist() == [-1, -1]  # first scalar least: code 7 is digits 2 and 1
    assert values[0, :, 7].tolist() == [0, -0.5]


@given(STEPS)
def test_far_latents_take_the_outer_steps(steps: list[int]) -> None:
    quantizer = FSQ(len(steps), tuple(steps)).eval()
    far = torch.full((1, len(steps), 1), 1e6)
    assert quantizer.encode(far)[0].item() == prod(steps) - 1
    assert quantizer.encode(-far)[0].item() == 0


def test_zero_stays_zero() -> None:
    quantizer = FSQ(4, (8, 5, 7, 4)).eval()
    assert quantizer(torch.zeros(1, 4, 3)).z.abs().max() == 0


def test_far_latents_stay_in_range_where_rounding_would_leave_it() -> None:
    quantizer = FSQ(1, (4096,)).eval()
    assert quantizer.encode(torch.tensor([[[-1e9, 1e9]]]))[0].tolist() == [[0, 4095]]


def test_gradient_is_that_of_the_squashing() -> None:
    quantizer = FSQ(3, (5, 5, 5))
    z = torch.randn(2, 3, 10, requires_grad=True)
    quantizer(z).z.sum().backward()
    reach = 4 * 1.001 / 2
    torch.testing.assert_close(z.grad, (1 - z.detach().tanh().square()) * reach / 2)


def test_there_is_nothing_to_learn() -> None:
    quantizer = FSQ(2, (5, 5))
    output = quantizer(torch.randn(1, 2, 9))
    assert (output.commitment, output.codebook) == (0, 0)
    assert list(quantizer.parameters()) == []
    assert list(quantizer.state_dict()) == []


def test_figures_are_those_of_the_batch() -> None:
    quantizer = FSQ(1, (4,))
    z = torch.tensor([[[-1e3, -1e3, 0.0, 1e3]]])
    quantizer(z)
    assert quantizer.usage() == (0.75,)
    assert quantizer.perplexity()[0] == pytest.approx(2**1.5)


@pytest.mark.parametrize("steps", [(), (1, 5), (1024, 1025)])
def test_refuses_steps_that_make_no_codes(steps: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="at least 2 steps"):
        FSQ(4, steps)


def test_refuses_a_second_level() -> None:
    with pytest.raises(InputError, match="1 to 1 levels, got 2"):
        FSQ(2, (5, 5)).encode(torch.zeros(1, 2, 3), 2)
