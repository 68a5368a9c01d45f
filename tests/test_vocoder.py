"""Vocoder: an inverse Fourier transform as torch's and as the original's, chunks that are the whole, one lag."""

from __future__ import annotations

import pytest
import torch
from chunking import assert_learns, assert_streams, few
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nacre.nn.padding import Kernel
from nacre.nn.state import State
from nacre.nn.vocoder import Block, ChoiceNorm, HannISTFT, Vocoder, VocoderConfig

MEL = VocoderConfig(features=5, dim=8, hidden=12, layers=2, n_fft=16, hop=4)
BETWEEN = VocoderConfig(features=5, dim=8, hidden=12, layers=2, n_fft=20, hop=5, centred=False, conditions=3)


def vocoder(config: VocoderConfig) -> Vocoder:
    torch.manual_seed(0)
    made = Vocoder(config).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return made


def as_complex(spectrum: Tensor) -> Tensor:
    return torch.complex(*spectrum.chunk(2, dim=1))


@pytest.mark.parametrize("frames", [2, 3, 17])
def test_centred_is_torchs_inverse(frames: int) -> None:
    spectrum = torch.randn(2, 2 * 9, frames)
    expected = torch.istft(as_complex(spectrum), 16, 4, window=torch.hann_window(16), center=True)
    torch.testing.assert_close(HannISTFT(MEL.window)(spectrum)[:, 0, :-4], expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("frames", [1, 2, 17])
def test_between_divides_by_what_windows_add_up_to_also_at_the_ends(frames: int) -> None:
    spectrum, window = torch.randn(2, 2 * 11, frames), torch.hann_window(20)
    pieces = torch.fft.irfft(as_complex(spectrum), 20, dim=1) * window[:, None]
    total, squares = torch.zeros(2, (frames - 1) * 5 + 20), torch.zeros((frames - 1) * 5 + 20)
    for frame in range(frames):
        total[:, frame * 5 : frame * 5 + 20] += pieces[:, :, frame]
        squares[frame * 5 : frame * 5 + 20] += window**2
    expected = (total / squares)[:, 7 : 7 + frames * 5]
    torch.testing.assert_close(HannISTFT(Kernel(20, 5, left=7))(spectrum)[:, 0], expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("config", [MEL, BETWEEN], ids=["centred", "between"])
@settings(max_examples=15)
@given(chunks=few)
def test_chunks_are_the_whole(config: VocoderConfig, chunks: list[int]) -> None:
    chunks = [*chunks, 1]
    assert_streams(vocoder(config), torch.randn(2, 5, sum(chunks)), chunks, atol=1e-4)


@pytest.mark.parametrize("config", [MEL, BETWEEN], ids=["centred", "between"])
@settings(max_examples=10)
@given(frames=st.integers(1, 30))
def test_length_is_that_of_the_frames(config: VocoderConfig, frames: int) -> None:
    sound = vocoder(config)(torch.randn(1, 5, frames))
    assert sound.shape == (1, 1, (frames - config.centred) * config.hop)


@pytest.mark.parametrize("config", [MEL, BETWEEN], ids=["centred", "between"])
def test_a_stream_lags_by_the_lookahead(config: VocoderConfig) -> None:
    made, state = vocoder(config), State()
    sound = torch.cat([made(torch.randn(1, 5, 1), state) for _ in range(40)], dim=-1)
    assert sound.shape[-1] == 40 * config.hop - config.lookahead
    assert made(torch.randn(1, 5, 1), state).shape[-1] == config.hop


@pytest.mark.parametrize("config", [MEL, BETWEEN], ids=["centred", "between"])
def test_after_the_preroll_a_place_gives_the_whole_and_no_sooner(config: VocoderConfig) -> None:
    made, x, start = vocoder(config), torch.randn(1, 5, 60), 13
    with torch.no_grad():
        off = (made(x)[..., start * config.hop :] - made(x[..., start:])).abs()[0, 0]
    exact = config.preroll * config.hop
    assert off[exact:].max() < 1e-5 < off[exact - config.hop : exact].max()


def test_conditions_choose_gain_and_shift() -> None:
    norm, x = ChoiceNorm(4, 3), torch.randn(2, 4, 5)
    with torch.no_grad():
        norm.gain[1], norm.shift[2] = 2.0, 1.0
    plain = torch.nn.functional.layer_norm(x.transpose(1, 2), (4,), eps=1e-6).transpose(1, 2)
    for condition, expected in enumerate((plain, 2 * plain, plain + 1)):
        torch.testing.assert_close(norm(x, condition), expected)
    made, x = vocoder(BETWEEN), torch.randn(1, 5, 9)
    assert not torch.allclose(made(x, condition=0), made(x, condition=1))


def test_magnitudes_are_cut() -> None:
    made = vocoder(BETWEEN)
    with torch.no_grad():
        made.spectrum.bias[:11] = 1_000.0
    assert made(torch.randn(1, 5, 9)).isfinite().all()


def test_every_parameter_learns() -> None:
    assert_learns(vocoder(MEL), torch.randn(2, 5, 12))
    assert_learns(Block(MEL), torch.randn(2, 8, 12))


def test_items_of_a_batch_go_on_alone() -> None:
    model, x = vocoder(MEL), torch.randn(2, 5, 9)
    state = State()
    model(x[..., :5], state)
    alone = state.select([1])
    torch.testing.assert_close(model(x[1:, :, 5:], alone), model(x[..., 5:], state)[1:], atol=1e-5, rtol=1e-5)
