"""noise: white and normal, a function of seed, track and place alone, in streams too."""

from __future__ import annotations

import numpy as np
import torch
from chunking import assert_learns, assert_streams, few
from hypothesis import given, settings
from hypothesis import strategies as st

from nacre.nn.noise import Noise, normal_at
from nacre.nn.state import State

MASK = (1 << 64) - 1


def by_hand(place: int, seed: int, track: int) -> float:
    """The noise of one place in Python's own integers."""

    def mixed(x: int) -> int:
        x = (x + 1) * 0x9E3779B97F4A7C15 & MASK
        x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & MASK
        x = (x ^ x >> 27) * 0x94D049BB133111EB & MASK
        return x ^ x >> 31

    bits = mixed(place + mixed(mixed(seed & MASK) + track & MASK) & MASK)
    radius, angle = ((bits >> 40) + 0.5) / 2**24, (bits & 0xFFFFFF) / 2**24
    return float(np.sqrt(-2 * np.log(radius)) * np.cos(2 * np.pi * angle))


@given(st.integers(0, 2**62), st.integers(-(2**63), 2**63 - 1), st.integers(0, 1000))
def test_every_place_has_its_number(place: int, seed: int, track: int) -> None:
    given = normal_at(torch.tensor([place]), seed, track)
    assert abs(float(given) - by_hand(place, seed, track)) < 1e-5


def test_the_first_number_of_splitmix64_is_the_published_one() -> None:
    from nacre.nn.noise import _mixed

    assert int(_mixed(torch.tensor(0))) & MASK == 0xE220A8397B1DCDAF


def test_it_is_white_and_normal() -> None:
    n = normal_at(torch.arange(1 << 18), 5, 8).double()
    assert abs(n.mean()) < 0.01 and abs(n.var() - 1) < 0.01
    assert abs((n**4).mean() - 3) < 0.06
    for other in (
        n.roll(1),
        n.roll(64),
        normal_at(torch.arange(1 << 18), 5, 64),
        normal_at(torch.arange(1 << 18), 6, 8),
    ):
        assert abs((n * other).mean()) < 0.01


@settings(max_examples=30)
@given(few, st.integers(0, 3), st.integers(0, 9))
def test_noise_streams_and_is_the_same_from_the_middle_on(chunks: list[int], seed: int, place: int) -> None:
    layer = Noise(3, rate=4).eval()
    layer.seed = seed
    x = torch.randn(2, 3, sum(chunks))
    assert_streams(layer, x, chunks)
    if x.shape[-1] >= 4 * place:
        state = State()
        state.place = place
        with torch.no_grad():
            torch.testing.assert_close(layer(x[..., 4 * place :], state), layer(x)[..., 4 * place :])


def test_streams_that_join_keep_their_places() -> None:
    layer, x = Noise(2, rate=1).eval(), torch.ones(1, 2, 8)
    early, late = State(), State()
    with torch.no_grad():
        layer(x, early)
        layer(x.repeat(1, 1, 2), late)
        both = early.filled([torch.cat(pair) for pair in zip(early.tensors(), late.tensors(), strict=True)])
        joined = layer(x.repeat(2, 1, 1), both)
        torch.testing.assert_close(joined, torch.cat([layer(x, early), layer(x, late)]))


def test_without_a_seed_nothing_is_added() -> None:
    layer, x = Noise(2, rate=1).eval(), torch.randn(1, 2, 8)
    assert (layer(x) - x).abs().max() > 0.01
    layer.seed = None
    assert layer(x) is x


def test_it_learns_and_is_new_in_training() -> None:
    layer, x = Noise(3, rate=1).train(), torch.randn(2, 3, 9)
    layer.seed = None
    assert_learns(layer, x)
    assert not torch.equal(layer(x), layer(x))
    torch.manual_seed(1)
    added = layer(x) - x
    torch.manual_seed(1)
    expected = torch.randn(2, 1, 9) * layer.linear(x)
    torch.testing.assert_close(added, expected)
