"""seanet: the official models' sizes to the parameter, their lengths, and streams with and without a future."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from chunking import assert_learns, assert_streams, sizes
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import nn

from nacre.errors import InputError
from nacre.nn.conv import ConvTranspose1d
from nacre.nn.norms import TimeGroupNorm
from nacre.nn.padding import Pad
from nacre.nn.seanet import SEANetConfig, SEANetDecoder, SEANetEncoder
from nacre.nn.state import State
from nacre.nn.weight_norm import fuse

ENCODEC_48K = SEANetConfig(channels=2, causal=False, norm="time-group")
NAC = SEANetConfig(causal=False, dilations=((1,), (2,), (4,), (8,)), identity_skip=True)
ACADEMICODEC = SEANetConfig(dim=512, causal=False, strides=(2, 4, 5, 6))
SOUNDSTREAM = SEANetConfig(
    dim=512, dilations=((1, 3, 9),) * 4, unit_kernel=7, compress=1, identity_skip=True, lstm=0, pad="zero", norm="none"
)
SMALL = SEANetConfig(dim=4, filters=2, strides=(2, 3), dilations=((1, 3), (1,)), lstm=1)


@pytest.mark.parametrize(
    ("encoder", "decoder", "expected"),
    [
        (SEANetConfig(), SEANetConfig(), 14_851_810),  # EnCodec at 24 kHz
        (ENCODEC_48K, ENCODEC_48K, 14_856_294),
        (NAC, NAC, 14_675_810),
        (ACADEMICODEC, ACADEMICODEC, 16_556_514),
        (replace(SOUNDSTREAM, last_kernel=3), SOUNDSTREAM, 11_805_185),  # the 11.81 M of a literal build
    ],
)
def test_models_have_the_official_number_of_parameters(
    encoder: SEANetConfig, decoder: SEANetConfig, expected: int
) -> None:
    with torch.device("meta"):
        model = nn.ModuleList([SEANetEncoder(encoder), SEANetDecoder(decoder)])
    assert sum(parameter.numel() for parameter in model.parameters()) == expected


def test_layers_stand_where_encodec_has_them() -> None:
    with torch.device("meta"):
        encoder, decoder = SEANetEncoder(SEANetConfig()).state_dict(), SEANetDecoder(SEANetConfig()).state_dict()
    direction, size = "parametrizations.weight.original1", "parametrizations.weight.original0"
    assert encoder[f"0.{direction}"].shape == (32, 1, 7)
    assert encoder[f"0.{size}"].shape == (32, 1, 1)
    assert encoder[f"1.body.1.{direction}"].shape == (16, 32, 3)
    assert encoder[f"1.shortcut.0.{direction}"].shape == (32, 32, 1)
    assert encoder[f"12.{direction}"].shape == (512, 256, 16)
    assert encoder["13.lstm.weight_ih_l0"].shape == (2048, 512)
    assert decoder[f"3.{direction}"].shape == (512, 256, 16)
    assert decoder[f"3.{size}"].shape == (512, 1, 1)
    assert decoder[f"15.{direction}"].shape == (1, 32, 7)


@pytest.mark.parametrize("length", [0, 1, 5, 6, 7, 100])
@pytest.mark.parametrize(
    "config", [SMALL, replace(ENCODEC_48K, filters=4, strides=(2, 3), dilations=((1,), (1,)), dim=4)]
)
def test_lengths_of_every_signal(config: SEANetConfig, length: int) -> None:
    z = SEANetEncoder(config)(torch.randn(1, config.channels, length))
    assert z.shape == (1, 4, -(-length // config.hop))
    assert SEANetDecoder(config)(z).shape == (1, config.channels, z.shape[-1] * config.hop)


@settings(max_examples=20)
@given(sizes, st.booleans(), st.sampled_from(["zero", "reflect", "replicate"]))
@example([1, 1, 17, 320, 509, 0], False, "reflect")
@example([0, 509, 1, 1], True, "reflect")
def test_both_sides_stream_with_and_without_a_future(chunks: list[int], causal: bool, pad: Pad) -> None:
    config = replace(SMALL, causal=causal, pad=pad)
    encoder, decoder = fuse(SEANetEncoder(config)), SEANetDecoder(config)
    x = torch.randn(2, 1, sum(chunks))
    assert_streams(encoder, x, chunks)
    frames = [n // config.hop for n in chunks]
    assert_streams(decoder, torch.randn(2, 4, sum(frames)), frames)


def test_a_causal_stream_gives_every_frame_as_soon_as_it_is_whole() -> None:
    config = replace(SMALL, pad="zero")
    encoder, decoder, states = SEANetEncoder(config), SEANetDecoder(config), (State(), State())
    for _ in range(3):
        z = encoder(torch.randn(1, 1, config.hop), states[0])
        assert z.shape[-1] == 1
        assert decoder(z, states[1]).shape[-1] == config.hop


def test_encodec_normalises_before_it_cuts() -> None:
    decoder = SEANetDecoder(replace(ENCODEC_48K, filters=2, strides=(3,), dilations=((1,),), dim=4, lstm=0))
    layer, x = decoder[2], torch.randn(1, 4, 5)
    assert isinstance(layer, ConvTranspose1d) and isinstance(layer.norm, TimeGroupNorm)
    full = F.group_norm(F.conv_transpose1d(x, layer.weight, layer.bias, 3), 1)
    torch.testing.assert_close(layer(x), full[..., 2:-1])


def test_a_norm_over_all_time_neither_streams_nor_is_causal() -> None:
    config = replace(ENCODEC_48K, filters=4, strides=(2, 3), dilations=((1,), (1,)), dim=4)
    with pytest.raises(InputError, match="cannot stream"):
        SEANetEncoder(config)(torch.randn(1, 2, 24), State())
    with pytest.raises(InputError, match="hears the future"):
        replace(config, causal=True)
    with pytest.raises(InputError, match="expected dilations"):
        replace(config, strides=(2, 3, 4))


@pytest.mark.parametrize("causal", [False, True])
def test_gradient_flows(causal: bool) -> None:
    config = replace(SMALL, causal=causal)
    assert_learns(nn.Sequential(SEANetEncoder(config), SEANetDecoder(config)), torch.randn(1, 1, 60))
