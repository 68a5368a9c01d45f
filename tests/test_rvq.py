"""Residual quantization: decode is a sum of entries, the gradient passes exactly, dropout is what it says."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from nacre.errors import InputError
from nacre.quantizers.codebook import CodebookConfig
from nacre.quantizers.rvq import ResidualVQ, ResidualVQConfig, active_mean, draw_levels

EMA = ResidualVQConfig(6, (16, 16, 8))
FACTORISED = ResidualVQConfig(6, (16, 16, 8), code_dim=3, codebook=CodebookConfig(ema=False, normalised=True))
SHARED = ResidualVQConfig(6, (16, 16, 8), code_dim=3, shared=True)


def trained(config: ResidualVQConfig) -> ResidualVQ:
    torch.manual_seed(0)
    quantizer = ResidualVQ(config)
    for _ in range(3):
        quantizer(torch.randn(4, 6, 50))
    return quantizer


def nested_lattice(levels: int) -> ResidualVQ:
    """Corners of cubes, each an eighth of the last: every choice of codes is the nearest, exactly."""
    quantizer = ResidualVQ(ResidualVQConfig(3, (8,) * levels)).eval()
    corners = torch.tensor([[x, y, z] for x in (-1.0, 1.0) for y in (-1.0, 1.0) for z in (-1.0, 1.0)])
    for k in range(levels):
        quantizer.levels[k].codebook.entries.copy_(corners / 8**k)
    return quantizer


@given(st.data())
def test_encode_inverts_decode(data: st.DataObject) -> None:
    levels, batch, frames = (data.draw(st.integers(1, most)) for most in (6, 3, 9))
    codes = [torch.randint(8, (batch, frames)) for _ in range(levels)]
    quantizer = nested_lattice(6)
    z = quantizer.decode(codes)
    assert all(torch.equal(a, b) for a, b in zip(quantizer.encode(z, levels), codes, strict=True))


@pytest.mark.parametrize("config", [EMA, SHARED], ids=["plain", "shared"])
@pytest.mark.parametrize("frames", [0, 1, 9])
@pytest.mark.parametrize("count", [1, 3])
def test_rows_say_what_levels_say(
    config: ResidualVQConfig, frames: int, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    quantizer, z = trained(config).eval(), torch.randn(2, 6, frames)
    codes, sounds = quantizer.encode(z, count), quantizer.decode(quantizer.encode(z, count))
    assert ResidualVQ._plain.fget(quantizer)  # type: ignore[attr-defined]
    monkeypatch.setattr(ResidualVQ, "_plain", False)
    assert all(torch.equal(a, b) for a, b in zip(codes, quantizer.encode(z, count), strict=True))
    assert torch.equal(sounds, quantizer.decode(codes))


@pytest.mark.parametrize("config", [EMA, SHARED, FACTORISED], ids=["plain", "shared", "factorised"])
def test_a_lost_code_adds_nothing(config: ResidualVQConfig) -> None:
    quantizer = trained(config).eval()
    codes = list(quantizer.encode(torch.randn(2, 6, 5)))
    whole = quantizer.decode(codes[:2])
    codes[2] = codes[2].clone()
    codes[2][:, 1:4] = -1
    some = quantizer.decode(codes)
    torch.testing.assert_close(some[:, :, 1:4], whole[:, :, 1:4])
    assert not torch.allclose(some[:, :, [0, 4]], whole[:, :, [0, 4]], atol=1e-3)


@pytest.mark.parametrize("config", [EMA, FACTORISED], ids=["plain", "factorised"])
def test_decode_is_the_sum_of_what_each_level_looks_up(config: ResidualVQConfig) -> None:
    quantizer = trained(config).eval()
    codes = quantizer.encode(torch.randn(2, 6, 9))
    total = 0
    for level, own in zip(quantizer.levels, codes, strict=True):
        entries = level.codebook.entries[own.flatten()].view(2, 9, -1).transpose(1, 2)
        total = total + level.out_proj(entries)
    assert torch.equal(quantizer.decode(codes), total)


def test_each_level_codes_what_is_left() -> None:
    quantizer = trained(EMA).eval()
    z = torch.randn(1, 6, 20)
    codes = quantizer.encode(z)
    left = z[0].T.double()
    for level, own in zip(quantizer.levels, codes, strict=True):
        entries = level.codebook.entries.double()
        assert torch.equal((left[:, None] - entries).square().sum(2).argmin(1), own[0])
        left = left - entries[own[0]]


@pytest.mark.parametrize("detach", [True, False])
@pytest.mark.parametrize("dropout", [(), (1, 2)])
def test_gradient_passes_as_if_nothing_happened(detach: bool, dropout: tuple[int, ...]) -> None:
    quantizer = ResidualVQ(ResidualVQConfig(6, (16, 16), detach=detach, dropout=dropout))
    z, weight = torch.randn(4, 6, 30, requires_grad=True), torch.randn(4, 6, 30)
    (quantizer(z).z * weight).sum().backward()
    assert z.grad is not None
    assert torch.equal(z.grad, weight)


def test_shared_projections_pass_the_gradient_through_both() -> None:
    quantizer = trained(SHARED)
    z, weight = torch.randn(4, 6, 30, requires_grad=True), torch.randn(4, 6, 30)
    (quantizer(z).z * weight).sum().backward()
    into, out = quantizer.in_proj.weight[:, :, 0], quantizer.out_proj.weight[:, :, 0]
    torch.testing.assert_close(z.grad, into.T @ out.T @ weight)


def commitment_gradient(detach: bool, levels: int) -> Tensor:
    torch.manual_seed(1)
    z = torch.randn(2, 4, 10, requires_grad=True)
    config = ResidualVQConfig(4, (8,) * levels, detach=detach, codebook=CodebookConfig(kmeans=0))
    quantizer = ResidualVQ(config).eval()
    quantizer(z).commitment.backward()
    assert z.grad is not None
    return z.grad * levels  # the mean over levels, undone


def test_commitment_of_later_levels_reaches_the_encoder_only_when_detached() -> None:
    first = commitment_gradient(True, 1)
    torch.testing.assert_close(commitment_gradient(False, 3), first)
    assert (commitment_gradient(True, 3) - first).abs().max() > 1e-3


def test_commitment_is_the_mean_over_items_that_hear_a_level() -> None:
    losses = [torch.tensor([1.0, 2.0, 3.0]), torch.tensor([10.0, 20.0, 60.0]), torch.tensor([7.0, 7.0, 7.0])]
    assert active_mean(losses, torch.tensor([1, 2, 2])).item() == (2 + 40) / 2
    assert active_mean(losses, torch.tensor([3, 3, 3])).item() == pytest.approx((2 + 30 + 7) / 3)
    assert active_mean(losses, torch.tensor([0, 0, 0])).item() == 0


@pytest.mark.parametrize("config", [EMA, FACTORISED, SHARED], ids=["plain", "factorised", "shared"])
def test_an_item_hears_its_own_first_levels(config: ResidualVQConfig) -> None:
    quantizer = trained(config).eval()
    z, heard = torch.randn(3, 6, 11), torch.tensor([1, 3, 2])
    output = quantizer.quantize(z, heard)
    for item, count in enumerate(heard.tolist()):
        expected = quantizer.decode([codes[item : item + 1] for codes in output.levels[:count]])
        torch.testing.assert_close(output.z[item : item + 1], expected, atol=1e-6, rtol=0)


def test_dropout_draws_what_it_was_told() -> None:
    torch.manual_seed(0)
    drawn = draw_levels(torch.empty(40000, 1, 1), 8, (1, 2, 4), spared=0.25)
    shares = torch.bincount(drawn, minlength=9) / 40000
    expected = torch.tensor([0, 0.25, 0.25, 0, 0.25, 0, 0, 0, 0.25])
    torch.testing.assert_close(shares, expected, atol=0.01, rtol=0)
    assert (draw_levels(torch.empty(5, 1, 1), 8, (), spared=0) == 8).all()


def test_dropout_sleeps_while_evaluating() -> None:
    quantizer = trained(ResidualVQConfig(6, (16, 16, 16), dropout=(1,)))
    z = torch.randn(2, 6, 20)
    levels = quantizer.eval().encode(z)
    assert torch.equal(quantizer(z).z, quantizer.decode(levels))
    heard = quantizer.train()(z)
    assert not torch.equal(heard.z, quantizer.decode(heard.levels))


def test_levels_that_nobody_hears_still_learn_and_have_gradients() -> None:
    """Or a process whose whole batch drew few levels would leave the others waiting for its gradients."""
    quantizer = trained(ResidualVQConfig(6, (16, 16), code_dim=3, dropout=(1,), codebook=CodebookConfig(ema=False)))
    hits = quantizer.levels[1].codebook.hits.clone()
    output = quantizer(torch.randn(2, 6, 20))
    (output.z.sum() + output.commitment + output.codebook).backward()
    assert not torch.equal(quantizer.levels[1].codebook.hits, hits)
    assert all(parameter.grad is not None for parameter in quantizer.parameters())


def test_more_levels_say_more() -> None:
    torch.manual_seed(0)
    quantizer = ResidualVQ(ResidualVQConfig(4, (32,) * 4))
    for _ in range(20):
        quantizer(torch.randn(8, 4, 64))
    z = torch.randn(8, 4, 64)
    levels = quantizer.eval().encode(z)
    errors = [float((quantizer.decode(levels[:k]) - z).square().mean()) for k in range(1, 5)]
    assert all(later < 0.6 * earlier for earlier, later in pairwise(errors))
    assert min(quantizer.usage()) > 0.95
    assert len(quantizer.perplexity()) == 4


@pytest.mark.parametrize(
    ("sizes", "changes", "message"),
    [
        ((), {}, "at least one level"),
        ((8, 8), {"dropout": (3,)}, "1 to 2 levels"),
        ((8,), {"dropout": (0,)}, "1 to 1 levels"),
        ((8,), {"dropout_spared": 1.5}, "share from 0 to 1"),
    ],
)
def test_refuses_impossible_options(sizes: tuple[int, ...], changes: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ResidualVQConfig(4, sizes, **changes)  # type: ignore[arg-type]


def test_refuses_what_does_not_fit() -> None:
    quantizer = ResidualVQ(EMA).eval()
    with pytest.raises(InputError, match=r"\[batch, 6, frame\], got \[1, 5, 9\]"):
        quantizer.encode(torch.zeros(1, 5, 9))
    with pytest.raises(InputError, match="1 to 3 levels, got 4"):
        quantizer.encode(torch.zeros(1, 6, 9), 4)
    with pytest.raises(InputError, match="1 to 3 levels, got 0"):
        quantizer.decode([])
    with pytest.raises(InputError, match="same frames"):
        quantizer.decode([torch.zeros(1, 9, dtype=torch.int64), torch.zeros(1, 8, dtype=torch.int64)])
    with pytest.raises(InputError, match=r"\[batch, frame\]"):
        quantizer.decode([torch.zeros(9, dtype=torch.int64)])
