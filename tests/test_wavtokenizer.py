"""WavTokenizer: sizes as published, windows that only long sounds notice, chunks that are the file."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from small_wavtokenizer import CONFIG, small_wavtokenizer
from torch import Tensor, nn

from nacre import Codes
from nacre.codecs.wavtokenizer import PRESETS, SelfAttention, WavTokenizer, Windowed, resnet
from nacre.nn.state import State

HOP = 320
LONG = 2 * CONFIG.window * HOP  # samples from which on there are windows


@pytest.fixture(scope="module")
def codec() -> WavTokenizer:
    return small_wavtokenizer()


def noise(length: int, batch: int = 1) -> np.ndarray:
    return np.random.default_rng(length).normal(0, 0.3, (batch, 1, length)).astype(np.float32)


def off(a: np.ndarray, b: np.ndarray) -> float:
    """How far apart, of the peak."""
    assert a.shape == b.shape
    return float(np.abs(a - b).max(initial=0) / max(1e-9, np.abs(b).max(initial=0)))


@pytest.mark.parametrize(
    ("name", "parameters", "kbps", "rate"),
    [("wavtokenizer-75", 71_750_146, 0.9, 75), ("wavtokenizer-40", 72_111_714, 0.48, 40)],
)
def test_released_sizes(name: str, parameters: int, kbps: float, rate: int) -> None:
    with torch.device("meta"):
        codec = WavTokenizer(PRESETS[name], name)
    info = codec.info
    assert sum(parameter.numel() for parameter in codec.parameters()) == parameters
    assert (info.sample_rate, info.frame_rate, info.codebook_sizes) == (24_000, rate, (4096,))
    assert info.bitrate() == 1000 * kbps
    assert PRESETS[name].window / rate == 15  # seconds
    assert 30 < info.latency < 32


@settings(max_examples=10)
@given(st.integers(1, 9_000), st.lists(st.sampled_from([0, 1, 17, 320, 509, 3_000]), max_size=6))
@example(LONG, [HOP])
@example(LONG + 1, [])
@example(1, [1])
def test_stream_is_file(codec: WavTokenizer, length: int, sizes: list[int]) -> None:
    wave, stream, pieces, sounds = noise(length), codec.stream(), [], []
    edges = np.minimum(np.cumsum([0, *sizes]), length).tolist()
    for begin, end in zip(edges, [*edges[1:], length], strict=True):
        pieces.append(stream.encode(wave[:, :, begin:end]))
        sounds.append(stream.decode(pieces[-1]))
    pieces.append(stream.encode(wave[:, :, :0], last=True))
    sounds.append(stream.decode(pieces[-1], last=True))
    codes = codec.encode(wave)
    assert Codes.join(pieces) == codes and codes.frames == -(-length // HOP)
    assert off(np.concatenate(sounds, axis=2), codec.decode(codes)) < 1e-5


def test_blocks_are_one_pass_and_a_batch_is_its_items(codec: WavTokenizer) -> None:
    wave = noise(10 * 24_000 + 5_001, batch=2)
    with torch.inference_mode():
        [once] = codec.quantizer.encode(codec.encoder(torch.from_numpy(wave)))
        sound = codec.decoder(codec.quantizer.decode([once])).numpy()
    codes = codec.encode(wave)
    assert (codes.levels[0] != once.numpy()).sum() <= 1e-3 * once.numel()
    assert len(np.unique(codes.levels[0])) > 10
    ours = codec.decode(Codes((once.numpy(),), wave.shape[2], codec.info))
    assert off(ours, sound[:, :, : wave.shape[2]]) < 1e-5
    alone = codec.decode(Codes((once.numpy()[1:],), wave.shape[2], codec.info))
    assert off(alone, ours[1:]) < 1e-5


def test_short_sounds_are_heard_whole(codec: WavTokenizer) -> None:
    frames = 2 * CONFIG.window
    whole = WavTokenizer(replace(CONFIG, window=1_000)).eval()
    whole.decoder.load_state_dict(codec.decoder.state_dict())
    z = torch.randn(2, CONFIG.latent, frames)
    with torch.no_grad():
        for count, same in ((frames - 1, True), (frames, False)):
            assert torch.allclose(codec.decoder(z[..., :count]), whole.decoder(z[..., :count])) == same


def test_windows_never_grow_and_none_is_short() -> None:
    heard: list[int] = []

    class Note(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            heard.append(x.shape[-1])
            return x

    layer = Windowed(32, 6)
    layer.body = Note()  # type: ignore[assignment]
    for frames in range(1, 60):
        heard.clear()
        x, state = torch.randn(1, 32, frames), State()
        assert torch.equal(layer(x), x)
        whole = heard.copy()
        heard.clear()
        for i in range(frames):
            state.last = i == frames - 1
            layer(x[..., i : i + 1], state)
        assert heard == whole and sum(whole) == frames and max(whole) < 12
        assert min(whole) >= min(frames, 6)


def test_a_stream_is_late_by_no_more_than_it_says(codec: WavTokenizer) -> None:
    stream, frames = codec.stream(), 60
    given = []
    for i in range(frames):
        codes = stream.encode(noise(HOP))
        given.append(stream.decode(codes).shape[2])
        late = (i + 1) * HOP - sum(given)
        assert late <= codec.info.lookahead
    assert sum(given) > 0


def test_a_place_is_near_after_the_preroll(codec: WavTokenizer) -> None:
    codes = codec.encode(noise(40 * HOP))
    part = codec.decode(codes.cut(2 * CONFIG.window, 40))  # a place where windows begin
    whole = codec.decode(codes)[:, :, 2 * CONFIG.window * HOP :]
    beyond = CONFIG.vocoder.preroll * HOP
    assert beyond < part.shape[2]
    assert np.abs(part - whole)[:, :, beyond + CONFIG.window * HOP :].max() < 1e-5 * np.abs(whole).max()


def test_attention_is_over_all_frames() -> None:
    torch.manual_seed(0)
    layer, x = SelfAttention(32), torch.randn(2, 32, 9)
    y = nn.functional.group_norm(x, 32, layer.norm.weight, layer.norm.bias, 1e-6)
    q, k, v = (torch.einsum("oi,bit->bot", w[..., 0], y) for w in layer.qkv.weight.chunk(3))
    q, k, v = (part + bias[:, None] for part, bias in zip((q, k, v), layer.qkv.bias.chunk(3), strict=True))
    mixed = v @ (q.transpose(1, 2) @ k / 32**0.5).softmax(2).transpose(1, 2)
    expected = x + torch.einsum("oi,bit->bot", layer.out.weight[..., 0], mixed) + layer.out.bias[:, None]
    torch.testing.assert_close(layer(x), expected, atol=1e-5, rtol=1e-5)


def test_a_unit_is_norm_swish_convolution_twice() -> None:
    torch.manual_seed(0)
    unit, x = resnet(64), torch.randn(2, 64, 9)
    norms, convolutions = [unit.body[0], unit.body[3]], [unit.body[2], unit.body[5]]
    y = x
    for norm, convolution in zip(norms, convolutions, strict=True):
        y = nn.functional.group_norm(y, 32, norm.weight, norm.bias, 1e-6)
        y = y * torch.sigmoid(y)
        y = nn.functional.conv1d(y, convolution.weight, convolution.bias, padding=1)
    torch.testing.assert_close(unit(x), x + y)


@pytest.mark.parametrize("length", [1, 4_001])
def test_forward_is_encode_then_decode(codec: WavTokenizer, length: int) -> None:
    wave = noise(length)
    with torch.no_grad():
        passed = codec(torch.from_numpy(wave))
    codes = codec.encode(wave)
    assert np.array_equal(passed.quantized.levels[0].numpy(), codes.levels[0])
    assert off(passed.wave.numpy(), codec.decode(codes)) < 1e-5
