"""SplitVQ: two quantizers on the same latents, one list of levels."""

from __future__ import annotations

import pytest
import torch

from nacre import InputError
from nacre.quantizers.rvq import ResidualVQConfig
from nacre.quantizers.split import SplitVQ


def split() -> SplitVQ:
    torch.manual_seed(0)
    first, second = (ResidualVQConfig(8, (16,) * count, code_dim=4, shared=True, bias=False) for count in (1, 3))
    return SplitVQ(first, second).eval()


def test_both_halves_hear_the_latents_whole() -> None:
    quantizer, z = split(), torch.randn(2, 8, 9)
    levels = quantizer.encode(z)
    assert quantizer.codebook_sizes == (16,) * 4 and len(levels) == 4
    assert torch.equal(levels[0], quantizer.first.encode(z)[0])
    assert all(torch.equal(a, b) for a, b in zip(levels[1:], quantizer.second.encode(z), strict=True))
    decoded = quantizer.decode(levels)
    assert torch.equal(decoded, quantizer.first.decode(levels[:1]) + quantizer.second.decode(levels[1:]))


@pytest.mark.parametrize("count", [1, 2, 4])
def test_fewer_levels_are_the_first_ones(count: int) -> None:
    quantizer, z = split(), torch.randn(2, 8, 9)
    levels = quantizer.encode(z, count)
    assert len(levels) == count
    assert all(torch.equal(a, b) for a, b in zip(levels, quantizer.encode(z), strict=False))
    assert quantizer.decode(levels).shape == z.shape


def test_losses_are_the_mean_over_levels() -> None:
    quantizer, z = split(), torch.randn(2, 8, 9)
    a, b, both = quantizer.first(z), quantizer.second(z), quantizer(z)
    torch.testing.assert_close(both.commitment, (a.commitment + 3 * b.commitment) / 4)
    torch.testing.assert_close(both.z, a.z + b.z)
    assert both.commitment > 0


def test_both_halves_learn() -> None:
    quantizer = split().train()
    quantizer(torch.randn(4, 8, 40))
    assert len(quantizer.usage()) == len(quantizer.perplexity()) == 4
    assert min(quantizer.perplexity()) > 1


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(InputError, match="got 8 and 6"):
        SplitVQ(ResidualVQConfig(8, (4,)), ResidualVQConfig(6, (4,)))
    for count in (0, 5):
        with pytest.raises(InputError, match=f"1 to 4 levels, got {count}"):
            split().encode(torch.randn(1, 8, 3), count)
