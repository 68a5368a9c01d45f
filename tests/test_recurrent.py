"""recurrent: torch's LSTM plus its input, whole and in chunks."""

from __future__ import annotations

import torch
from chunking import assert_learns, assert_streams, few
from hypothesis import given, settings

from nacre.nn.recurrent import SkipLSTM
from nacre.nn.state import State


def test_it_is_torchs_lstm_plus_its_input() -> None:
    layer, x = SkipLSTM(4), torch.randn(2, 4, 9)
    theirs = torch.nn.LSTM(4, 4, 2)
    theirs.load_state_dict({name.removeprefix("lstm."): tensor for name, tensor in layer.state_dict().items()})
    y, _ = theirs(x.permute(2, 0, 1))
    torch.testing.assert_close(layer(x), x + y.permute(1, 2, 0))


@settings(max_examples=30)
@given(few)
def test_it_streams(chunks: list[int]) -> None:
    assert_streams(SkipLSTM(3, 2), torch.randn(2, 3, sum(chunks)), chunks)


def test_its_memory_can_be_cut_along_the_batch() -> None:
    layer, x, state = SkipLSTM(3), torch.randn(3, 3, 8), State()
    layer(x[..., :5], state)
    assert [tuple(t.shape) for t in state.tensors()] == [(3, 2, 3)] * 2
    torch.testing.assert_close(layer(x[[2, 0], :, 5:], state.select([2, 0])), layer(x)[[2, 0], :, 5:])


def test_gradient_flows() -> None:
    assert_learns(SkipLSTM(3), torch.randn(2, 3, 5))
