"""spectral: torch's own transforms, values by hand, signals that come back, chunks of any size."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from chunking import assert_learns, assert_streams, few, sizes
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nacre.errors import InputError
from nacre.nn.padding import Kernel
from nacre.nn.spectral import (
    STFT,
    CausalISTFT,
    CausalSTFT,
    LogMel,
    MelScale,
    PQMFAnalysis,
    PQMFSynthesis,
    compress,
    mel_filters,
    prototype,
    root_hann,
)

hops = st.sampled_from([(8, 4), (12, 4), (16, 2), (640, 320), (20, 10)])


def torchs(x: Tensor, kernel: Kernel, window: Tensor) -> Tensor:
    """torch.stft of `[B, 1, T]` with the same samples in each frame."""
    frames = -(-x.shape[-1] // kernel.stride)
    padded = F.pad(
        x[:, 0], (kernel.past, max(0, (frames - 1) * kernel.stride + kernel.size - kernel.past - x.shape[-1]))
    )
    y = torch.stft(padded, kernel.size, kernel.stride, window=window.float(), center=False, return_complex=True)
    return torch.cat([y.real, y.imag], dim=1)


@pytest.mark.parametrize("kernel", [Kernel(8, 4), Kernel(64, 1), Kernel(512, 40).early(), Kernel(30, 10).centred()])
def test_stft_is_torchs(kernel: Kernel) -> None:
    x, window = torch.randn(2, 1, 205), torch.hann_window(kernel.size)
    torch.testing.assert_close(STFT(kernel, window)(x), torchs(x, kernel, window), atol=1e-4, rtol=1e-5)


def test_causal_stft_is_torchs_under_a_root_hann() -> None:
    x = torch.randn(1, 1, 3200)
    torch.testing.assert_close(
        CausalSTFT(640, 320)(x), torchs(x, Kernel(640, 320), root_hann(640)), atol=1e-4, rtol=1e-5
    )


def test_a_frame_hears_what_its_kernel_says() -> None:
    x = torch.zeros(1, 1, 400)
    x[..., 80] = 1.0  # the first sample of hop 2 at a hop of 40
    for kernel, first in ((Kernel(512, 40), 2), (Kernel(512, 40).early(), 2), (Kernel(80, 40).centred(), 1)):
        y = STFT(kernel, torch.ones(kernel.size))(x)
        assert y.abs().sum(dim=1)[0].nonzero().min() == first
    x[..., 80], x[..., 81] = 0.0, 1.0  # an early frame hears the first sample of its hop and no other
    y = STFT(Kernel(512, 40).early(), torch.ones(512))(x)
    assert y.abs().sum(dim=1)[0].nonzero().min() == 3


@settings(max_examples=30)
@given(hops, sizes)
def test_stft_streams(sizes_of: tuple[int, int], chunks: list[int]) -> None:
    assert_streams(CausalSTFT(*sizes_of), torch.randn(2, 1, sum(chunks)), chunks, atol=2e-5)


@settings(max_examples=30)
@given(hops, few)
def test_istft_streams(sizes_of: tuple[int, int], chunks: list[int]) -> None:
    n_fft, hop = sizes_of
    x = torch.randn(2, 2 * (n_fft // 2 + 1), sum(chunks))
    assert_streams(CausalISTFT(n_fft, hop), x, chunks)


@pytest.mark.parametrize(("n_fft", "hop"), [(8, 4), (12, 4), (16, 2), (640, 320), (9, 3), (1024, 256)])
def test_istft_gives_the_samples_back(n_fft: int, hop: int) -> None:
    x = torch.randn(2, 1, 6 * n_fft // hop * hop)
    y = CausalISTFT(n_fft, hop)(CausalSTFT(n_fft, hop)(x))
    delay = n_fft - hop
    torch.testing.assert_close(y[..., delay:], x[..., : x.shape[-1] - delay], atol=1e-5, rtol=1e-5)


def test_istft_takes_half_a_window_for_its_hop() -> None:
    assert CausalISTFT(640).hop == 320
    for n_fft, hop in ((8, 3), (8, 8), (8, 0)):
        with pytest.raises(InputError, match="at least twice"):
            CausalISTFT(n_fft, hop)


def test_bases_are_no_part_of_a_checkpoint() -> None:
    mel = MelScale(16_000, 64, 16, 8)
    for layer in (CausalSTFT(8, 4), CausalISTFT(8), LogMel(mel), PQMFAnalysis(4), PQMFSynthesis(4)):
        assert layer.state_dict() == {}


def corners(filters: Tensor, step: float) -> list[float]:
    """Frequency at which each band peaks."""
    return [float(row.argmax()) * step for row in filters]


def test_mel_bands_are_where_their_scale_puts_them() -> None:
    fine = {"n_fft": 16_000, "hop": 1, "sample_rate": 16_000}  # bins one hertz apart
    htk = corners(mel_filters(MelScale(bands=3, high=4000.0, **fine)), 1.0)
    top = 2595 * math.log10(1 + 4000 / 700)
    assert htk == pytest.approx([700 * (10 ** (top * i / 4 / 2595) - 1) for i in (1, 2, 3)], abs=1)
    # Slaney: 200/3 Hz a mel up to 15 mel = 1 kHz, then 27 mel a factor 6.4, so 6.4 kHz is 42 mel
    slaney = corners(mel_filters(MelScale(bands=13, high=6400.0, scale="slaney", **fine)), 1.0)
    assert slaney[:5] == [200, 400, 600, 800, 1000]
    assert slaney[5] == pytest.approx(1000 * 6.4 ** (3 / 27), abs=1)
    assert slaney[12] == pytest.approx(1000 * 6.4 ** (24 / 27), abs=1)


@pytest.mark.parametrize("scale", ["htk", "slaney"])
def test_neighbouring_mel_bands_add_up_to_one(scale: str) -> None:
    filters = mel_filters(MelScale(24_000, 2048, 512, 40, scale=scale))  # type: ignore[arg-type]
    inside = slice(int(filters[0].argmax()) + 1, int(filters[-1].argmax()))
    torch.testing.assert_close(filters.sum(dim=0)[inside], torch.ones(filters.shape[1])[inside])
    equal = mel_filters(MelScale(24_000, 2048, 512, 40, scale=scale, equal_area=True))  # type: ignore[arg-type]
    areas = equal.sum(dim=1) * 24_000 / 2048
    torch.testing.assert_close(areas[20:], torch.ones(20), atol=1e-2, rtol=0)  # low bands hold too few bins to say


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_log_mel_by_hand(power: float) -> None:
    mel, x = MelScale(16_000, 64, 16, 8, power=power), torch.randn(1, 1, 320)
    spectrum = torch.stft(
        F.pad(x[:, 0], (48, 0)), 64, 16, window=torch.hann_window(64), center=False, return_complex=True
    )
    expected = (mel_filters(mel) @ spectrum.abs() ** power).clamp_min(1e-5).log()
    torch.testing.assert_close(LogMel(mel)(x), expected, atol=1e-4, rtol=1e-4)


def test_silence_is_the_floor_and_has_a_gradient() -> None:
    x = torch.zeros(1, 1, 160, requires_grad=True)
    y = LogMel(MelScale(16_000, 64, 16, 8))(x)
    assert (y == math.log(1e-5)).all()
    y.sum().backward()
    assert x.grad is not None and torch.isfinite(x.grad).all()


@settings(max_examples=20)
@given(sizes)
def test_log_mel_streams(chunks: list[int]) -> None:
    layer = LogMel(MelScale(16_000, 64, 24, 8, floor=1e-2))
    assert_streams(layer, torch.randn(2, 1, sum(chunks)), chunks, atol=1e-4)


@pytest.mark.parametrize("bands", [2, 4, 7, 16])
@pytest.mark.parametrize("centred", [False, True])
def test_pqmf_gives_the_signal_back(bands: int, centred: bool) -> None:
    analysis, synthesis = PQMFAnalysis(bands, centred=centred), PQMFSynthesis(bands, centred=centred)
    x = torch.randn(1, 1, 1000 * bands)
    z = analysis(x)
    assert z.shape == (1, bands, 1000)
    assert z.square().sum() == pytest.approx(x.square().sum().item(), rel=0.05)
    delay = 0 if centred else analysis.kernel.context
    inside = slice(100 * bands, 900 * bands)  # away from the ends, where half of a filter hears silence
    wanted = x[..., inside]
    error = synthesis(z)[..., inside.start + delay : inside.stop + delay] - wanted
    assert 10 * (wanted.square().sum() / error.square().sum()).log10() > 60


def test_pqmf_keeps_bands_apart() -> None:
    tone = torch.sin(torch.arange(4000) * 2 * math.pi * 0.3125)[None, None]  # in the middle of the third of four
    power = PQMFAnalysis(4)(tone)[0, :, 100:].square().mean(dim=1)
    assert power.argmax() == 2 and 10 * (power[2] / power[[0, 1, 3]].max()).log10() > 60


@pytest.mark.parametrize(
    ("bands", "cutoff"), [(2, 0.253881), (3, 0.170546), (5, 0.103881), (7, 0.075310), (11, 0.049338)]
)
def test_the_cut_off_found_is_the_published_one(bands: int, cutoff: float) -> None:
    """HILCodec's discriminators list them for 256 taps and beta 8 (SPECS 5.5)."""
    assert prototype(bands, 256, 8.0)[128].item() == pytest.approx(cutoff, abs=2e-6)


@settings(max_examples=25)
@given(sizes, few, st.sampled_from([2, 3]), st.booleans())
def test_pqmf_streams(samples: list[int], frames: list[int], bands: int, centred: bool) -> None:
    assert_streams(PQMFAnalysis(bands, 24, centred=centred), torch.randn(2, 1, sum(samples)), samples)
    assert_streams(PQMFSynthesis(bands, 24, centred=centred), torch.randn(2, bands, sum(frames)), frames)


def test_gradient_flows() -> None:
    assert_learns(CausalSTFT(8, 4), torch.randn(1, 1, 20))
    assert_learns(CausalISTFT(8, 2), torch.randn(1, 10, 5))
    assert_learns(LogMel(MelScale(16_000, 64, 16, 4)), torch.randn(1, 1, 80))
    assert_learns(PQMFAnalysis(2, 8), torch.randn(1, 1, 20))
    assert_learns(PQMFSynthesis(2, 8), torch.randn(1, 2, 20))


def test_autocast_leaves_spectra_alone() -> None:
    stft, istft, wave = CausalSTFT(64, 32), CausalISTFT(64), torch.randn(1, 1, 640)
    with torch.autocast("cpu", torch.bfloat16):
        spectrum = stft(wave)
        sound = istft(spectrum.bfloat16())
    assert spectrum.dtype == sound.dtype == torch.float32
    torch.testing.assert_close(spectrum, stft(wave))


def test_compress_takes_roots_and_keeps_phases() -> None:
    spectrum = torch.tensor([3.0, 0.0, 4.0, 0.0]).reshape(1, 4, 1)  # bins 3 + 4i and 0
    assert torch.allclose(compress(spectrum).flatten(), torch.tensor([3.0, 0, 4, 0]) / 5**0.5)


def test_filters_are_found_though_the_module_is_on_no_device() -> None:
    with torch.device("meta"):
        analysis = PQMFAnalysis(4)
    assert torch.equal(analysis.filters, PQMFAnalysis(4).filters)
