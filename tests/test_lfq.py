"""Binary codes: signs and numbers are exact inverses; the factorised entropy equals the sum over all codes."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nacre.errors import InputError
from nacre.quantizers.lfq import LFQ, LFQConfig, entropy_loss


@given(st.integers(1, 20), st.data())
def test_encode_inverts_decode(bits: int, data: st.DataObject) -> None:
    quantizer = LFQ(LFQConfig(bits, bits)).eval()
    drawn = data.draw(st.lists(st.integers(0, 2**bits - 1), min_size=1, max_size=8))
    codes = torch.tensor([drawn])
    signs = quantizer.decode((codes,))
    assert signs.shape == (1, bits, len(drawn))
    assert torch.equal(signs.abs(), torch.ones_like(signs))
    assert torch.equal(quantizer.encode(signs)[0], codes)
    assert torch.equal(quantizer.encode(0.001 * signs)[0], codes)


def test_bit_i_is_the_sign_of_scalar_i() -> None:
    quantizer = LFQ(LFQConfig(4, 4)).eval()
    z = torch.tensor([[[0.1, 0.0], [-5.0, -1e-30], [3.0, 1e-30], [1e-9, -0.0]]])
    assert quantizer.encode(z)[0].tolist() == [[1 + 4 + 8, 4]]


def test_eighteen_bits_need_no_table() -> None:
    quantizer = LFQ(LFQConfig(18, 18))
    assert quantizer.codebook_sizes == (262144,)
    assert list(quantizer.parameters()) == []
    assert list(quantizer.state_dict()) == []


def test_gradient_and_commitment() -> None:
    quantizer = LFQ(LFQConfig(3, 3))
    z, weight = torch.randn(2, 3, 10, requires_grad=True), torch.randn(2, 3, 10)
    output = quantizer(z)
    (output.z * weight).sum().backward()
    assert z.grad is not None
    assert torch.equal(z.grad, weight)
    torch.testing.assert_close(output.commitment, (z.abs() - 1).square().mean())


@pytest.mark.parametrize("temperature", [0.5, 1.0, 10.0])
@pytest.mark.parametrize("diversity", [0.0, 1.0, 2.5])
def test_the_factorised_entropy_is_that_over_all_codes(temperature: float, diversity: float) -> None:
    torch.manual_seed(0)
    z = 0.5 * torch.randn(3, 5, 4, dtype=torch.float64)
    table = torch.tensor(list(product((-1.0, 1.0), repeat=5)), dtype=torch.float64)
    vectors = z.transpose(1, 2).reshape(-1, 5)
    odds = (-torch.cdist(vectors, table).square() / temperature).softmax(1)
    single = torch.special.entr(odds).sum(1).mean() / 5
    bits_used = torch.stack([odds[:, table[:, i] > 0].sum(1).mean() for i in range(5)])
    whole = (torch.special.entr(bits_used) + torch.special.entr(1 - bits_used)).mean()
    torch.testing.assert_close(entropy_loss(z, temperature, diversity), single - diversity * whole)


def test_the_entropy_loss_spreads_codes_and_makes_them_sure() -> None:
    torch.manual_seed(0)
    z = (0.1 * torch.randn(1, 4, 256) + 0.5).requires_grad_()  # unsure, and nearly all of one sign
    optimizer = torch.optim.Adam([z], lr=0.05)
    for _ in range(100):
        optimizer.zero_grad()
        entropy_loss(z).backward()
        optimizer.step()
    positive = (z > 0).float().mean((0, 2))
    assert ((positive > 0.3) & (positive < 0.7)).all()
    assert z.detach().abs().median() > 0.9


def test_the_entropy_loss_is_finite_far_away() -> None:
    z = torch.tensor([[[1e4, -1e4], [1e4, 1e4]]], requires_grad=True)
    loss = entropy_loss(z)
    loss.backward()
    assert loss.isfinite()
    assert z.grad is not None
    assert z.grad.isfinite().all()


def test_figures_are_those_of_the_batch() -> None:
    quantizer = LFQ(LFQConfig(2, 2))
    quantizer(torch.tensor([[[1.0, 1.0, -1.0, -1.0], [1.0, 1.0, 1.0, -1.0]]]))
    assert quantizer.usage() == (0.75,)
    assert quantizer.perplexity()[0] == pytest.approx(2**1.5)


@pytest.mark.parametrize("changes", [{"bits": 0}, {"bits": 21}, {"temperature": 0.0}])
def test_refuses_impossible_options(changes: dict[str, float]) -> None:
    with pytest.raises(InputError, match="1 to 20 bits"):
        LFQConfig(8, **changes)  # type: ignore[arg-type]
