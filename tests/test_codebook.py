"""A codebook learns what the formulas say, starts on the data, and its dead entries come back for good."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from nacre.errors import InputError
from nacre.quantizers.codebook import Codebook, CodebookConfig, straight_through
from nacre.quantizers.ddp import gathered_sample


def two_entries(smoothing: float) -> Codebook:
    config = CodebookConfig(decay=0.5, smoothing=smoothing, kmeans=0, revive_below=0)
    book = Codebook(2, 1, config)
    book.entries.copy_(torch.tensor([[0.0], [10.0]]))
    return book


def test_moving_averages_as_computed_by_hand() -> None:
    book = two_entries(smoothing=0)
    codes, values = book(torch.tensor([[1.0], [2.0], [9.0]]))
    assert codes.tolist() == [0, 0, 1]
    assert values.tolist() == [[0.0], [0.0], [10.0]]  # the entries as they were before they learnt
    assert book.counts.tolist() == [1.75, 1.25]  # half of 3 / 2 hits each at the start, half of 2 and 1
    assert book.sums.tolist() == [[1.5], [12.0]]  # half of 0 and 15, half of 3 and 9
    torch.testing.assert_close(book.entries, torch.tensor([[1.5 / 1.75], [9.6]]), rtol=1e-7, atol=0)


def test_laplace_smoothing_as_computed_by_hand() -> None:
    book = two_entries(smoothing=1.0)
    book(torch.tensor([[1.0], [2.0], [9.0]]))
    counts = [(1.75 + 1) / (3 + 2) * 3, (1.25 + 1) / (3 + 2) * 3]
    torch.testing.assert_close(book.entries, torch.tensor([[1.5 / counts[0]], [12 / counts[1]]]), rtol=1e-6, atol=0)


def test_without_smoothing_an_entry_that_fades_stays_where_it_is() -> None:
    book = two_entries(smoothing=0)
    for _ in range(300):
        book(torch.tensor([[1.0]]))
    assert book.counts[1] < 1e-30
    assert book.entries[1].item() == pytest.approx(10.0)


def test_starts_on_the_clusters_of_the_first_batch() -> None:
    torch.manual_seed(0)
    truth = 10 * torch.randn(16, 4)
    book = Codebook(16, 4)
    _, values = book(truth.repeat(50, 1))
    torch.testing.assert_close(values, truth.repeat(50, 1), atol=1e-4, rtol=0)
    assert book.started
    assert torch.equal(book.entries.isfinite(), torch.ones(16, 4, dtype=torch.bool))


def half_dead(config: CodebookConfig, kind: type[Codebook] = Codebook) -> Codebook:
    torch.manual_seed(0)
    book = kind(64, 4, config)
    with torch.no_grad():
        book.entries[32:] = 100.0
    return book


def train(book: Codebook, steps: int) -> Codebook:
    for _ in range(steps):
        book(torch.randn(4, 128, 4))
    return book


class EnCodecsOrder(Codebook):
    """Replaces before the averages move, and only the entries: the order that does nothing (encodec's core_vq.py)."""

    def _learn(self, x: Tensor, codes: Tensor) -> None:
        dead = self.counts < 0.1 * self.counts.mean()
        fresh = gathered_sample(x.reshape(-1, self.dim), self.size, exact=True)
        self.entries.copy_(torch.where(dead[:, None], fresh, self.entries))
        super()._learn(x, codes)


@pytest.mark.parametrize("ema", [True, False])
@pytest.mark.parametrize("normalised", [True, False])
def test_dead_entries_come_back(ema: bool, normalised: bool) -> None:
    book = half_dead(CodebookConfig(ema=ema, normalised=normalised, decay=0.9, kmeans=0))
    if normalised:  # a direction with few neighbours is no far place: all dead entries share one
        assert train(copy.deepcopy(book), 5).usage() < 0.6
    train(book, 120)
    assert book.usage() > 0.95
    assert book.perplexity() > 32
    assert (book.entries > 99).any(1).sum() <= normalised  # that one is in use, and no optimizer moves it here


def test_they_would_not_in_the_order_that_others_use() -> None:
    config = CodebookConfig(decay=0.9, kmeans=0, smoothing=0, revive_below=0)
    book = train(half_dead(config, EnCodecsOrder), 120)
    assert book.usage() <= 0.5
    torch.testing.assert_close(book.entries[32:], torch.full((32, 4), 100.0))


def test_revival_resets_entry_sum_and_count_together() -> None:
    book = half_dead(CodebookConfig(decay=0.9, kmeans=0, smoothing=0))
    x = torch.randn(512, 4)
    for _ in range(22):  # 0.9 ** 22 < 0.1 of the mean
        book(x)
    revived = (book.entries[32:, None] == x).all(2).any(1)
    assert revived.all()
    torch.testing.assert_close(book.sums[32:], book.entries[32:] * book.counts[32:, None])
    assert (book.counts[32:] > 5).all()  # 512 / 64 hits are the mean
    assert (book.hits[32:] == 0).all()  # the figures are not fooled
    codes, _ = book(x)
    assert len(set(codes[codes >= 32].tolist())) == len(set(map(tuple, book.entries[32:].tolist())))


def test_a_revived_row_of_a_parameter_does_not_break_backward() -> None:
    book = half_dead(CodebookConfig(ema=False, decay=0.5, kmeans=0))
    for _ in range(8):
        x = torch.randn(256, 4)
        _, values = book(x)
        (values - x).square().mean().backward()
    assert isinstance(book.entries, torch.nn.Parameter)
    assert book.entries.abs().max() < 10
    assert book.entries.grad is not None


def test_gradient_reaches_only_the_entries_looked_up() -> None:
    book = Codebook(4, 2, CodebookConfig(ema=False)).eval()
    codes, values = book(book.entries.detach()[[1, 1, 3]])
    values.sum().backward()
    assert codes.tolist() == [1, 1, 3]
    assert book.entries.grad is not None
    assert book.entries.grad.tolist() == [[0, 0], [2, 2], [0, 0], [1, 1]]


def test_one_bad_batch_leaves_everything_as_it_was() -> None:
    book = train(Codebook(8, 4), 3)
    before = copy.deepcopy(book.state_dict())
    x = torch.randn(64, 4)
    x[5, 1] = float("nan")
    book(x)
    assert all(torch.equal(value, before[name]) for name, value in book.state_dict().items())


def test_evaluation_changes_nothing() -> None:
    book = train(Codebook(8, 4), 3).eval()
    before = copy.deepcopy(book.state_dict())
    book(torch.randn(64, 4))
    assert all(torch.equal(value, before[name]) for name, value in book.state_dict().items())


def test_a_loaded_codebook_does_not_start_again() -> None:
    book = train(Codebook(8, 4, CodebookConfig(decay=1 - 1e-9)), 1)
    other = Codebook(8, 4, book.config)
    other.load_state_dict(book.state_dict())
    assert other.started
    other(100 * torch.randn(64, 4))
    torch.testing.assert_close(other.entries, book.entries)
    other.load_state_dict(Codebook(8, 4).state_dict())  # back to one that never started: the next batch does
    other(torch.full((64, 4), 50.0))
    torch.testing.assert_close(other.entries, torch.full((8, 4), 50.0))


def in_hundreds(book: Codebook) -> None:
    with torch.no_grad():
        book.entries.copy_(100 * torch.tensor([[2.0, 1.0], [1.0, 1.0], [2.0, 2.0]]))


def replaced(book: Codebook) -> None:
    moved = torch.tensor([[2.0, 1.0], [1.0, 1.0], [2.0, 2.0]])
    book.entries = nn.Parameter(moved) if isinstance(book.entries, nn.Parameter) else moved


def loaded(book: Codebook) -> None:
    book.load_state_dict(book.state_dict() | {"entries": torch.tensor([[2.0, 1.0], [1.0, 1.0], [2.0, 2.0]])})


def learnt(book: Codebook) -> None:
    book.train()
    in_hundreds(book)
    book.entries.data /= 100  # torch does not see this, in training a search must
    assert book.search(torch.tensor([2.0, 1.1])) == 0
    book.eval()


@pytest.mark.parametrize("change", [in_hundreds, replaced, loaded, learnt])
@pytest.mark.parametrize("config", [CodebookConfig(), CodebookConfig(ema=False, normalised=True)])
def test_a_search_sees_entries_that_have_changed(change: Callable[[Codebook], None], config: CodebookConfig) -> None:
    book, x = Codebook(3, 2, config).eval(), torch.tensor([2.0, 1.1])
    with torch.no_grad():
        book.entries.copy_(torch.tensor([[-9.0, -9.0], [9.0, 1.0], [2.0, 1.0]]))
    with torch.inference_mode():
        assert book.search(x) == 2
    untouched = copy.deepcopy(book)
    change(book)
    assert book.search(x) == (0 if change is not in_hundreds or config.normalised else 1)
    assert untouched.search(x) == 2


def test_a_fused_optimizer_is_seen_though_it_leaves_no_mark() -> None:
    book = Codebook(3, 2, CodebookConfig(ema=False)).eval()
    with torch.no_grad():
        book.entries.copy_(torch.tensor([[2.0, 1.0], [1.0, 1.0], [2.0, 2.0]]))
        assert book.search(torch.tensor([1.6, 1.0])) == 0
    optimizer = torch.optim.Adam(book.parameters(), lr=0.3, fused=True)
    _, values = book(torch.tensor([2.0, 1.1]))
    values[0].neg().backward()  # type: ignore[no-untyped-call]
    optimizer.step()  # the first entry goes to 2.3
    with torch.no_grad():
        assert book.search(torch.tensor([1.6, 1.0])) == 1


def test_entries_made_for_inference_are_searched_too() -> None:
    with torch.inference_mode():
        book = Codebook(3, 2).eval()
        book.entries.copy_(torch.tensor([[2.0, 1.0], [1.0, 1.0], [2.0, 2.0]]))
        assert book.search(torch.tensor([2.0, 1.1])) == 0
        book.entries.mul_(-1)
        assert book.search(torch.tensor([-2.0, -2.1])) == 2


def test_figures_are_those_of_the_batch() -> None:
    book = Codebook(8, 1, CodebookConfig(kmeans=0))
    book.entries.copy_(torch.arange(8.0)[:, None])
    assert (book.usage(), book.perplexity()) == (0, 0)
    book(torch.tensor([[0.0], [0.0], [3.0], [7.0]]))
    assert book.usage() == 3 / 8
    assert book.perplexity() == pytest.approx(2**1.5)


def test_searches_in_float32_whatever_comes_in() -> None:
    torch.manual_seed(0)
    book = Codebook(256, 8).eval()
    x = torch.randn(50, 8)
    with torch.autocast("cpu", torch.bfloat16):
        cast = book.search(x)
    assert torch.equal(cast, book.search(x))
    assert torch.equal(book.search(x.bfloat16()), book.search(x.bfloat16().float()))


def test_straight_through_is_exact() -> None:
    z, q = torch.randn(1000, requires_grad=True), torch.randn(1000) * 1e-4
    out = straight_through(z, q)
    weight = torch.randn(1000)
    (out * weight).sum().backward()
    assert torch.equal(out, q)
    assert z.grad is not None
    assert torch.equal(z.grad, weight)


@pytest.mark.parametrize(("size", "dim"), [(1, 4), (8, 0)])
def test_refuses_what_is_no_codebook(size: int, dim: int) -> None:
    with pytest.raises(InputError, match=f"got {size} of {dim}"):
        Codebook(size, dim)
