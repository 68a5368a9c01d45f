"""Discriminators: families that tell coded waves from real ones, each with one kind of output."""

from .family import Discriminator, DiscriminatorOutput, Discriminators, level
from .filterbank import MultiFilterBank, MultiFilterBankConfig, SubBand, SubBandConfig
from .stft import (
    MULTI_SCALE_STFT,
    FrameRateConfig,
    FrameRateSTFT,
    MultiBandMultiResolution,
    MultiResolutionConfig,
    MultiScaleSTFT,
    MultiScaleSTFTConfig,
    ResidualSTFT,
    ResidualSTFTConfig,
)
from .waveform import MULTI_PERIOD, MULTI_SCALE, MultiPeriod, MultiPeriodConfig, MultiScale, MultiScaleConfig

__all__ = [
    "MULTI_PERIOD",
    "MULTI_SCALE",
    "MULTI_SCALE_STFT",
    "Discriminator",
    "DiscriminatorOutput",
    "Discriminators",
    "FrameRateConfig",
    "FrameRateSTFT",
    "MultiBandMultiResolution",
    "MultiFilterBank",
    "MultiFilterBankConfig",
    "MultiPeriod",
    "MultiPeriodConfig",
    "MultiResolutionConfig",
    "MultiScale",
    "MultiScaleConfig",
    "MultiScaleSTFT",
    "MultiScaleSTFTConfig",
    "ResidualSTFT",
    "ResidualSTFTConfig",
    "SubBand",
    "SubBandConfig",
    "level",
]
