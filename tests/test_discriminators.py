"""Every family of discriminators: one contract, the published sizes, and the wit to tell two sounds apart."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from nacre.training.adversarial import OBJECTIVES, FeatureMatching, discriminator_loss, generator_loss
from nacre.training.discriminators import (
    MULTI_PERIOD,
    MULTI_SCALE,
    MULTI_SCALE_STFT,
    Discriminator,
    Discriminators,
    FrameRateConfig,
    FrameRateSTFT,
    MultiBandMultiResolution,
    MultiFilterBank,
    MultiFilterBankConfig,
    MultiPeriod,
    MultiPeriodConfig,
    MultiResolutionConfig,
    MultiScale,
    MultiScaleConfig,
    MultiScaleSTFT,
    MultiScaleSTFTConfig,
    ResidualSTFT,
    ResidualSTFTConfig,
    SubBand,
    SubBandConfig,
)

SMALL: dict[str, Callable[[], Discriminator]] = {
    "stft": lambda: MultiScaleSTFT(MultiScaleSTFTConfig((256, 128), channels=4)),
    "stft-growing": lambda: MultiScaleSTFT(MultiScaleSTFTConfig((256, 128), channels=2, growth=2, max_channels=6)),
    "stft-magnitude": lambda: MultiScaleSTFT(
        MultiScaleSTFTConfig((240, 120), (50, 30), (256, 128), channels=4, magnitude=True, long_in_time=True)
    ),
    "stft-residual": lambda: ResidualSTFT(ResidualSTFTConfig(128, 32, 8, (2, 2, 1, 2), (1, 2, 1, 2))),
    "multi-band": lambda: MultiBandMultiResolution(MultiResolutionConfig((128, 64), channels=4)),
    "frame-rate": lambda: FrameRateSTFT(FrameRateConfig((256, 128), (2, 4), width=16)),
    "period": lambda: MultiPeriod(MultiPeriodConfig((2, 3), (4, 8, 8))),
    "scale": lambda: MultiScale(MultiScaleConfig((4, 8, 8), (15, 41, 5), (1, 4, 1), (1, 4, 1), norms=("weight",) * 2)),
    "filter-bank": lambda: MultiFilterBank(MultiFilterBankConfig((1, 3), taps=64, channels=(4, 8, 8))),
    "sub-band": lambda: SubBand(
        SubBandConfig(4, 64, 9, ((0, 2), (0, 4)), (8, 8), strides=(1, 3), kernels=(5, 3), dilations=((1, 2), (1, 2)))
    ),
}
EACH_FAMILY = pytest.mark.parametrize("name", SMALL)


@pytest.fixture(autouse=True)
def _repeatable() -> None:
    torch.manual_seed(0)


@EACH_FAMILY
@pytest.mark.parametrize("samples", [1000, 1201])
def test_one_contract(name: str, samples: int) -> None:
    """Two at least, or SoundStream's one; scores and features keep the batch, and an item's do not hang on others'."""
    model = SMALL[name]()
    wave = torch.randn(3, 1, samples)
    model.eval()  # spectral norm moves on while training
    outputs = model(wave)
    assert len(outputs) >= (1 if name == "stft-residual" else 2)
    for output, alone in zip(outputs, model(wave[1:2]), strict=True):
        assert len(output.features) >= 2
        for x, y in zip((output.logits, *output.features), (alone.logits, *alone.features), strict=True):
            assert len(x) == 3
            torch.testing.assert_close(x[1:2], y, rtol=1e-3, atol=1e-4)


@EACH_FAMILY
def test_gradients_reach_every_weight_and_the_wave(name: str) -> None:
    model = SMALL[name]()
    wave = (0.1 * torch.randn(2, 1, 1000)).requires_grad_()
    generator_loss(model(wave), OBJECTIVES["hinge"]).backward()
    assert wave.grad is not None
    assert wave.grad.isfinite().all()
    assert (wave.grad != 0).float().mean() > 0.9
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key


@EACH_FAMILY
def test_silence_gives_finite_gradients(name: str) -> None:
    model = Discriminators({"it": SMALL[name]()}, levelled=True)
    wave = torch.zeros(1, 1, 1000, requires_grad=True)
    generator_loss(model(wave), OBJECTIVES["least-squares"]).backward()
    assert wave.grad is not None
    assert wave.grad.isfinite().all()


def real_and_coded(seed: int) -> tuple[Tensor, Tensor]:
    """The same tones, but the coded ones hiss: what a codec with too few bits does."""
    generator = torch.Generator().manual_seed(seed)
    pitch = 200 + 400 * torch.rand(4, 1, 1, generator=generator)
    real = 0.3 * torch.sin(2 * math.pi * pitch * torch.arange(1000) / 24000)
    return real, real + 0.2 * torch.randn(real.shape, generator=generator)


@EACH_FAMILY
def test_it_learns_to_tell_coded_from_real(name: str) -> None:
    model = SMALL[name]()
    optimizer = torch.optim.Adam(model.parameters(), 5e-3, betas=(0.5, 0.9))
    hinge = OBJECTIVES["hinge"]
    for step in range(60):
        real, coded = real_and_coded(step)
        loss = discriminator_loss(model(real), model(coded), hinge)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if loss.item() < 0.3:
            break
    real, coded = real_and_coded(1000)
    with torch.no_grad():
        for r, c in zip(model(real), model(coded), strict=True):
            assert r.logits.mean() > c.logits.mean() + 0.3


@EACH_FAMILY
def test_features_of_one_wave_match_and_of_another_do_not(name: str) -> None:
    model = SMALL[name]().eval()
    real, coded = real_and_coded(0)
    matching = FeatureMatching()
    assert matching(model(real), model(real)).item() == 0
    assert matching(model(real), model(coded)).item() > 0.01


@EACH_FAMILY
def test_weights_travel_through_a_state_dict_without_windows_or_filters(name: str) -> None:
    first, second = SMALL[name]().eval(), SMALL[name]().eval()
    second.load_state_dict(first.state_dict())
    wave = torch.randn(1, 1, 1000)
    assert torch.equal(first(wave)[0].logits, second(wave)[0].logits)
    assert not [key for key in first.state_dict() if "window" in key or "filters" in key]


@EACH_FAMILY
def test_half_precision_costs_little(name: str) -> None:
    model = SMALL[name]().eval()
    wave = real_and_coded(0)[1]
    with torch.autocast("cpu", torch.bfloat16):
        coarse = model(wave)[0].logits.float()
    exact = model(wave)[0].logits
    assert (coarse - exact).abs().max() < 0.05 * (1 + exact.abs().max())


PUBLISHED: dict[str, tuple[int, tuple[Callable[[], Discriminator], ...]]] = {
    "encodec": (5 * 94_466, (lambda: MultiScaleSTFT(MULTI_SCALE_STFT["encodec"]),)),
    "dac": (42_519_760, (lambda: MultiPeriod(MULTI_PERIOD["dac"]), MultiBandMultiResolution)),
    "audiodec": (
        70_711_277,
        (lambda: MultiPeriod(MULTI_PERIOD["audiodec"]), lambda: MultiScale(MULTI_SCALE["audiodec"])),
    ),
    "hificodec": (
        41_105_770 + 29_618_821,
        (lambda: MultiPeriod(MULTI_PERIOD["hifigan"]), lambda: MultiScale(MULTI_SCALE["hifigan"])),
    ),
    "soundstream": (5_551_170, (ResidualSTFT,)),
    "nac2023": (16_924_086, (lambda: MultiScale(MULTI_SCALE["nac2023"]),)),
    "academicodec": (
        104_485 + 80_739,
        (lambda: MultiPeriod(MULTI_PERIOD["academicodec"]), lambda: MultiScale(MULTI_SCALE["academicodec"])),
    ),
}


@pytest.mark.parametrize("codec", PUBLISHED)
def test_sizes_are_those_of_the_published_codecs(codec: str) -> None:
    expected, families = PUBLISHED[codec]
    with torch.device("meta"):  # shapes alone
        models = [make() for make in families]
    assert sum(parameter.numel() for model in models for parameter in model.parameters()) == expected
