"""Groups: layer by layer, group by group, each group a residual quantizer of its own features."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nacre.errors import InputError
from nacre.quantizers.grvq import GroupResidualVQ
from nacre.quantizers.rvq import ResidualVQConfig


def lattice(groups: int | tuple[int, ...], layers: int, dim: int) -> GroupResidualVQ:
    """Points on a line, each layer's an eighth of the last: every choice of codes is the nearest, exactly."""
    quantizer = GroupResidualVQ(ResidualVQConfig(dim, (4,) * layers), groups).eval()
    for group in quantizer.groups:
        for k in range(layers):
            group.levels[k].codebook.entries.copy_(torch.arange(-2.0, 2.0)[:, None] / 8**k)
    return quantizer


@given(st.lists(st.integers(1, 3), min_size=1, max_size=4), st.integers(1, 3), st.integers(1, 5))
def test_encode_inverts_decode(splits: list[int], layers: int, frames: int) -> None:
    quantizer = lattice(tuple(splits), layers, sum(splits))
    codes = [torch.randint(4, (2, frames)) for _ in quantizer.codebook_sizes]
    assert all(torch.equal(a, b) for a, b in zip(quantizer.encode(quantizer.decode(codes)), codes, strict=True))


def test_levels_come_layer_by_layer() -> None:
    quantizer = lattice(2, 2, 4)  # HiFi-Codec: 2 x 2
    z = quantizer.decode([torch.full((1, 1), code) for code in (3, 0, 2, 1)])
    first, second = 1.0 + 0 / 8, -2.0 + -1 / 8
    assert z[0, :, 0].tolist() == [first, first, second, second]
    assert [int(codes) for codes in quantizer.encode(z)] == [3, 0, 2, 1]


def test_each_group_is_a_quantizer_of_its_own() -> None:
    torch.manual_seed(0)
    quantizer = GroupResidualVQ(ResidualVQConfig(6, (8, 16)), (4, 2))
    z = torch.randn(2, 6, 40)
    quantizer(z)
    quantizer.eval()
    codes = quantizer.encode(z)
    assert quantizer.codebook_sizes == (8, 8, 16, 16)
    for g, part in enumerate((z[:, :4], z[:, 4:])):
        own = quantizer.groups[g].encode(part)
        assert all(torch.equal(a, b) for a, b in zip(own, codes[g::2], strict=True))
    assert len(quantizer.usage()) == len(quantizer.perplexity()) == 4
    assert quantizer.usage()[0] == quantizer.groups[0].usage()[0]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 6])
def test_any_number_of_levels_decodes(count: int) -> None:
    quantizer = lattice(3, 2, 6)
    z = torch.randn(2, 6, 5)
    codes = quantizer.encode(z, count)
    assert len(codes) == count
    decoded = quantizer.decode(codes)
    assert decoded.shape == z.shape
    full = quantizer.decode(quantizer.encode(z))
    for g in range(3):
        part = slice(2 * g, 2 * g + 2)
        if g >= count:
            assert (decoded[:, part] == 0).all()
        if g + 3 < count:
            assert torch.equal(decoded[:, part], full[:, part])


def test_gradient_passes_and_dropout_counts_layers() -> None:
    torch.manual_seed(0)
    quantizer = GroupResidualVQ(ResidualVQConfig(6, (8, 8), dropout=(1,)), (4, 2))
    z, weight = torch.randn(2, 6, 30, requires_grad=True), torch.randn(2, 6, 30)
    quantizer(z)
    entries = [group.levels[0].codebook.entries.clone() for group in quantizer.groups]
    output = quantizer(z)
    (output.z * weight).sum().backward()
    assert z.grad is not None
    assert torch.equal(z.grad, weight)
    looked_up = [table[codes].transpose(1, 2) for table, codes in zip(entries, output.levels[:2], strict=True)]
    assert torch.equal(output.z, torch.cat(looked_up, dim=1))


@pytest.mark.parametrize("groups", [0, 4, (), (3, 2), (6, 0)])
def test_refuses_groups_that_do_not_add_up(groups: int | tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"equal groups|add up to 6"):
        GroupResidualVQ(ResidualVQConfig(6, (8,)), groups)
