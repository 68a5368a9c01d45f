"""Parameters, rates and latency of every preset at full size are the published ones, and the catalogue's.

The figures are of the projects' own code, counted there (weight norm's sizes with them, codebooks that are averages
without); where a paper says another, the comment has it. Latency is `info.latency`: a frame and what is waited for.
"""

from __future__ import annotations

import pytest
import torch
from test_every_codec import found

from nacre.catalogue import CATALOGUE
from nacre.codes import CodecInfo

# name: sample rate, parameters, frames a second, levels, kbps with all of them, ms of latency
SYM = (48_000, 7_939_936, 160, 8, 12.8, 6.25)  # "12 kbps" in the paper
FIGURES: dict[str, tuple[float, ...]] = {
    "audiodec-48k-sym": SYM,
    "audiodec-48k-sym-free": SYM,
    "audiodec-48k-asym": (48_000, 19_585_568, 160, 8, 12.8, 6.25),  # sizes are ours, none are published
    "audiodec-48k-c16": (48_000, 9_504_608, 150, 16, 24, 6.667),
    "audiodec-48k-univ": SYM,
    "audiodec-48k-activated": (48_000, 7_948_225, 160, 8, 12.8, 6.25),
    "audiodec-48k-v0": (48_000, 3_904_672 + 12_932_610, 160, 8, 12.8, 6.25),  # encoder and projector, vocoder
    "audiodec-48k-v1": (48_000, 3_904_672 + 19_461_090, 160, 8, 12.8, 6.25),
    "audiodec-48k-v2": (48_000, 3_904_672 + 6_927_330, 160, 8, 12.8, 6.25),
    "audiodec-48k-v3": (48_000, 3_904_672 + 19_461_090, 160, 8, 12.8, 6.25),
    "audiodec-24k-sym": (24_000, 7_939_936, 80, 8, 6.4, 12.5),
    "audiodec-24k-v0": (24_000, 3_904_672 + 12_932_610, 80, 8, 6.4, 12.5),
    "audiodec-24k-v1": (24_000, 3_904_672 + 19_461_090, 80, 8, 6.4, 12.5),
    "audiodec-24k-v2": (24_000, 3_904_672 + 6_927_330, 80, 8, 6.4, 12.5),
    "dac-16k": (16_000, 74_175_906, 50, 12, 6, 376.3),  # released as "8 kbps", as the next one is
    "dac-24k": (24_000, 74_708_706, 75, 32, 24, 250.9),
    "dac-44k": (44_100, 76_651_890, 86.13, 9, 7.752, 212.4),  # "8 kbps"
    "dac-44k-16kbps": (44_100, 64_213_250, 86.13, 18, 15.504, 212.4),
    "encodec-24k": (24_000, 14_851_810, 75, 32, 24, 93.33),  # the start, which is mirrored; 13.33 from then on
    "encodec-48k": (48_000, 14_856_294, 150, 16, 24, 1000),
    "encodec-32k": (32_000, 56_884_674, 50, 4, 2.2, 175.1),
    "encodec-32k-hf": (32_000, 56_884_674, 50, 4, 2.2, 175.1),
    "hac-v1.1": (24_000, 4_091_307, 75, 1, 1.35, 13.33),  # stated: 4 M, then 6 M and 3.6 M; sizes are ours
    "hac-v1.2": (24_000, 6_261_234, 200, 1, 3.6, 20),
    "hac-v1.3": (24_000, 3_630_534, 200, 1, 3.6, 20),
    "hac-150": (24_000, 3_630_534, 150, 1, 2.7, 20),
    "hificodec-16k-320d": (16_000, 63_630_882, 50, 4, 2, 283.25),  # of the decoder: its encoder hears all of a sound
    "hificodec-24k-240d": (24_000, 63_614_498, 100, 4, 4, 143.6),
    "hificodec-24k-320d": (24_000, 63_630_882, 75, 4, 3, 188.8),
    "hilcodec-speech": (24_000, 9_577_019, 75, 8, 6, 13.33),
    "hilcodec-music": (24_000, 9_577_019, 75, 12, 9, 13.33),
    "mimi-24k": (24_000, 79_308_609, 12.5, 32, 4.4, 80),
    "nac-2023": (16_000, 14_675_810, 50, 48, 24, 2000),  # blocks of 2 s; the report's 11 ms are those of computing
    "snac-24k": (24_000, 19_842_914, 46.875, 3, 0.984, 539.5),
    "snac-32k": (32_000, 54_546_338, 83.33, 4, 1.875, 940.5),
    "snac-44k": (44_100, 54_546_338, 114.84, 4, 2.584, 682.4),
    "snac-44k-early": (44_100, 50_339_746, 100, 4, 2.25, 794),  # its readme: 2.2
    "soundstream-24k": (24_000, 11_805_185, 75, 24, 18, 13.33),  # the paper counts 8.4 M
    "soundstream-24k-c16": (24_000, 3_609_089, 75, 24, 18, 13.33),  # and 2.4 M
    "soundstream-16k-320d": (16_000, 17_605_090, 50, 24, 12, 175.2),
    "soundstream-24k-240d": (24_000, 16_556_514, 100, 12, 12, 88.46),  # trained with 15 levels, tested with 12
    "encodec-16k-320d": (16_000, 17_605_090, 50, 24, 12, 175.2),
    "encodec-24k-240d": (24_000, 16_556_514, 100, 12, 12, 88.46),
    "encodec-24k-32d": (24_000, 14_016_994, 750, 2, 15, 14.58),
    "wavtokenizer-75": (24_000, 71_750_146, 75, 1, 0.9, 30_593),  # windows of up to 30 s are ours; the original: all
    "wavtokenizer-40": (24_000, 72_111_714, 40, 1, 0.48, 31_112),
}
PRESETS = {name: (make, config) for name, make, config in found()}
OURS = {"pearl-24k"}  # nobody else's figures


def full_size(name: str) -> tuple[CodecInfo, int]:
    """What a preset says of itself, and its parameters; without memory for them."""
    make, config = PRESETS[name]
    with torch.device("meta"):
        codec = make(config, name)
    return codec.info, sum(parameter.numel() for parameter in codec.parameters())


@pytest.mark.parametrize("name", FIGURES)
def test_a_preset_has_the_published_figures(name: str) -> None:
    info, parameters = full_size(name)
    rate, count, frame_rate, levels, kbps, latency = FIGURES[name]
    assert (info.sample_rate, parameters, info.levels) == (rate, count, levels)
    assert info.frame_rate == pytest.approx(frame_rate, rel=1e-4)
    assert info.bitrate() == pytest.approx(1000 * kbps, rel=1e-3)
    assert 1000 * info.latency == pytest.approx(latency, rel=1e-3)
    rows = [model for model in CATALOGUE.values() if (model.preset or model.name) == name]
    for row in rows if name != "soundstream-24k-240d" else []:  # whose row has the 15 levels that were trained
        assert row.sample_rate == rate
        assert row.kbps == pytest.approx((info.bitrate(1) / 1000, kbps), rel=5e-3)


def test_no_preset_is_left_out() -> None:
    assert set(FIGURES) == set(PRESETS) - OURS
