"""State: two callers on one model, flattened, refilled, branched, and cut along the batch."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from nacre.errors import InputError
from nacre.nn.conv import CausalConv1d, Conv1d
from nacre.nn.padding import Kernel
from nacre.nn.state import State


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = Conv1d(1, 2, Kernel(4, 2), "replicate")
        self.rest = nn.ModuleList([CausalConv1d(2, 2, 1), CausalConv1d(2, 1, 3)])

    def forward(self, x: Tensor, state: State | None = None) -> Tensor:
        x = self.first(x, state)
        for layer in self.rest:
            x = layer(x, state)
        return x


@pytest.fixture
def model() -> Two:
    torch.manual_seed(0)
    return Two().requires_grad_(False)


def test_names_are_paths_in_the_model(model: Two) -> None:
    state = State()
    assert state.names(model) == [] and state.tensors() == []
    model(torch.randn(2, 1, 7), state)
    assert state.names(model) == ["first.0", "first.1", "rest.1"]  # a kernel of one position remembers nothing
    assert [tuple(t.shape) for t in state.tensors()] == [(2, 1, 3), (2, 1, 2), (2, 2, 2)]
    with pytest.raises(InputError, match="another model"):
        state.names(nn.Identity())


def test_flattened_and_refilled_it_goes_on_as_before(model: Two) -> None:
    x, state = torch.randn(1, 1, 31), State()
    model(x[..., :9], state)
    state.last, state.place = True, 7
    other = state.filled([t.clone() for t in state.tensors()])
    assert (other.last, other.place) == (True, 7)
    assert torch.equal(model(x[..., 9:], state), model(x[..., 9:], other))
    with pytest.raises(InputError, match="holds 3 tensors, got 1"):
        state.filled([torch.zeros(1)])


def test_a_branch_leaves_the_stream_alone(model: Two) -> None:
    x, state = torch.randn(1, 1, 20), State()
    begin = model(x[..., :8], state)
    branch = state.clone()
    model(torch.randn(1, 1, 12), branch)
    state.last = True
    torch.testing.assert_close(torch.cat([begin, model(x[..., 8:], state)], dim=-1), model(x))


def test_batch_items_leave_and_change_places(model: Two) -> None:
    x, state = torch.randn(3, 1, 20), State()
    model(x[..., :7], state)
    chosen = state.select([2, 0])
    torch.testing.assert_close(model(x[[2, 0], :, 7:], chosen), model(x[..., 7:], state)[[2, 0]])


def test_what_is_kept_is_not_the_callers_memory(model: Two) -> None:
    conv, state, x = CausalConv1d(1, 1, 3), State(), torch.randn(1, 1, 8)
    conv(x[..., :4], state)
    kept = [t.clone() for t in state.tensors()]
    x.zero_()
    assert torch.equal(state.tensors()[0], kept[0])
    assert state.tensors()[0].untyped_storage().nbytes() == 2 * 4  # two samples, not the chunk they came with
