"""How channels are mixed: copies, means, the ITU rule, and no other map."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nacre.audio.channels import MAX_CHANNELS, check_channels, from_ogg, mix_channels, to_ogg
from nacre.errors import InputError

RNG = np.random.default_rng(0)


def test_mono_is_copied_and_stereo_averaged() -> None:
    mono = RNG.standard_normal((2, 1, 9)).astype(np.float32)
    stereo = RNG.standard_normal((2, 2, 9)).astype(np.float32)
    np.testing.assert_array_equal(mix_channels(mono, 2), np.concatenate([mono, mono], axis=1))
    assert mix_channels(mono, 6).shape == (2, 6, 9)
    np.testing.assert_array_equal(mix_channels(stereo, 1)[:, 0], (stereo[:, 0] * 0.5 + stereo[:, 1] * 0.5))
    np.testing.assert_array_equal(mix_channels(mix_channels(mono, 2), 1), mono)


@pytest.mark.parametrize("channels", [1, 2, 5, 64])
def test_as_many_as_came_pass_untouched(channels: int) -> None:
    wave = RNG.standard_normal((channels, 7)).astype(np.float32)
    np.testing.assert_array_equal(mix_channels(wave, channels), wave)


@pytest.mark.parametrize("came", range(3, 9))
@pytest.mark.parametrize("wanted", [1, 2])
def test_surround_is_mixed_without_clipping(came: int, wanted: int) -> None:
    loud = np.ones((came, 4), np.float32)
    np.testing.assert_allclose(mix_channels(loud, wanted), 1, rtol=1e-6)  # weights sum to one


def test_five_one_goes_where_the_itu_says() -> None:
    gains = mix_channels(np.eye(6, dtype=np.float32), 2)  # one sample each: left, right, centre, low, backs
    k = 0.5**0.5
    np.testing.assert_allclose(gains[0], np.array([1, 0, k, 0, k, 0]) / (1 + 2 * k), rtol=1e-6)
    np.testing.assert_allclose(gains[1], np.array([0, 1, k, 0, 0, k]) / (1 + 2 * k), rtol=1e-6)
    np.testing.assert_allclose(mix_channels(np.eye(6, dtype=np.float32), 1)[0], gains.mean(axis=0), rtol=1e-6)


@pytest.mark.parametrize(("came", "wanted"), [(2, 3), (6, 4), (9, 1), (9, 2), (2, 6)])
def test_impossible_maps_say_so(came: int, wanted: int) -> None:
    with pytest.raises(InputError, match=f"no rule to make {wanted} channels of {came}; pick or mix"):
        mix_channels(np.zeros((came, 3), np.float32), wanted)


@pytest.mark.parametrize("channels", [0, -1, MAX_CHANNELS + 1])
def test_counts_have_a_limit(channels: int) -> None:
    with pytest.raises(InputError, match=f"expected 1 to 64 channels, got {channels}"):
        check_channels(channels)
    with pytest.raises(InputError, match="expected 1 to 64"):
        mix_channels(np.zeros((1, 3), np.float32), channels)


def test_a_bare_row_is_refused() -> None:
    with pytest.raises(InputError, match=r"expected samples \[channel, sample\].*got \[5\]"):
        mix_channels(np.zeros(5, np.float32), 1)


@given(st.integers(3, 8), st.integers(0, 40), st.integers(0, 40), st.sampled_from([1, 2]))
def test_mixing_pieces_equals_mixing_the_whole(came: int, first: int, second: int, wanted: int) -> None:
    wave = np.random.default_rng(came).standard_normal((came, first + second)).astype(np.float32)
    pieces = [mix_channels(wave[:, :first], wanted), mix_channels(wave[:, first:], wanted)]
    np.testing.assert_array_equal(np.concatenate(pieces, axis=1), mix_channels(wave, wanted))


def test_ogg_order_is_the_one_of_the_vorbis_specification() -> None:
    names = np.array(["L", "R", "C", "LFE", "BL", "BR", "SL", "SR"])[:, None]
    assert [*to_ogg(names[:6])[:, 0]] == ["L", "C", "R", "BL", "BR", "LFE"]  # type: ignore[arg-type]
    assert [*to_ogg(names)[:, 0]] == ["L", "C", "R", "SL", "SR", "BL", "BR", "LFE"]  # type: ignore[arg-type]
    seven = np.array(["L", "R", "C", "LFE", "BC", "SL", "SR"])[:, None]
    assert [*to_ogg(seven)[:, 0]] == ["L", "C", "R", "SL", "SR", "BC", "LFE"]  # type: ignore[arg-type]
    assert [*to_ogg(names[[0, 1, 2, 4, 5]])[:, 0]] == ["L", "C", "R", "BL", "BR"]  # type: ignore[arg-type]


@pytest.mark.parametrize("channels", range(1, 10))
def test_ogg_order_goes_there_and_back(channels: int) -> None:
    block = np.arange(channels, dtype=np.float32)[:, None]
    np.testing.assert_array_equal(from_ogg(to_ogg(block)), block)
