"""HiFi-Codec: sizes as its code makes them; one pass, blocks and chunks alike; four codes a frame or another split."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from nacre import Codes, InputError
from nacre.codecs import hificodec
from nacre.codecs.hificodec import PRESETS, HiFiCodec, HiFiCodecConfig, Moments, NormedMean
from nacre.nn.state import State
from nacre.nn.weight_norm import fuse

# Hz, parameters, samples a frame, kbps, samples that the decoder is late by
FIGURES = {
    "hificodec-16k-320d": (16_000, 63_630_882, 320, 2.0, 4212),
    "hificodec-24k-240d": (24_000, 63_614_498, 240, 4.0, 3206),
    "hificodec-24k-320d": (24_000, 63_630_882, 320, 3.0, 4212),
}
SMALL = HiFiCodecConfig(24_000, (2, 3, 5, 8), (4, 7, 11, 16), filters=2, normed=2, codebook_size=32)
HOP = 240


def small(config: HiFiCodecConfig = SMALL) -> HiFiCodec:
    """A HiFi-Codec whose every part matters: norms that scale and shift, latents and entries of one size."""
    torch.manual_seed(0)
    codec = HiFiCodec(config, "small-hificodec")
    with torch.no_grad():
        for name, parameter in codec.named_parameters():
            if "norms" in name:
                parameter.add_(0.3 * torch.randn(parameter.shape))
            elif name.endswith("entries"):
                parameter.normal_(0, 0.4)
        codec.encoder[-1].weight.normal_(0, 0.4)  # type: ignore[union-attr, operator]
    return fuse(codec).eval()


@pytest.fixture(scope="module")
def codec() -> HiFiCodec:
    return small()


def noise(length: int, batch: int = 1) -> np.ndarray:
    return np.random.default_rng(length).normal(0, 0.2, (batch, 1, length)).astype(np.float32)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_has_its_figures(name: str) -> None:
    with torch.device("meta"):
        codec = HiFiCodec(PRESETS[name], name)
    info, count = codec.info, sum(parameter.numel() for parameter in codec.parameters())
    assert (info.sample_rate, count, info.hop, info.bitrate() / 1000, info.lookahead) == FIGURES[name]
    assert info.codebook_sizes == (1024,) * 4 and info.preroll == 14
    assert info.latency == (info.hop + info.lookahead) / info.sample_rate
    parts = [sum(p.numel() for p in part.parameters()) for part in (codec.encoder, codec.decoder, codec.quantizer)]
    assert [round(part / 1e6, 2) for part in parts] in ([47.23, 15.35, 1.05], [47.22, 15.35, 1.05])


@settings(max_examples=4)
@given(st.integers(0, 2_000), st.lists(st.sampled_from([0, 1, 17, 240, 509, 1_300]), max_size=8))
@example(1, [1])
@example(240, [239, 1])
@example(1_999, [700, 700])
def test_stream_is_file(codec: HiFiCodec, length: int, sizes: list[int]) -> None:
    wave, stream, pieces = noise(length), codec.stream(), []
    edges = np.minimum(np.cumsum([0, *sizes]), length).tolist()
    for begin, end in itertools.pairwise(edges):
        pieces.append(stream.encode(wave[:, :, begin:end]))
        assert pieces[-1].frames == 0  # no code is certain before the end
    pieces.append(stream.encode(wave[:, :, edges[-1] :], last=True))
    whole = codec.encode(wave)
    assert Codes.join(pieces) == whole and whole.frames == -(-length // HOP)
    sounds = [stream.decode(whole.cut(at, at + 3)) for at in range(0, whole.frames, 3)]
    sounds.append(stream.decode(whole.cut(whole.frames, whole.frames), last=True))
    sound = np.concatenate(sounds, axis=2)
    assert sound.shape == wave.shape
    assert np.abs(sound - codec.decode(whole)).max(initial=0) < 1e-5


def test_a_branch_of_a_stream_keeps_what_was_heard(codec: HiFiCodec) -> None:
    wave, state = np.concatenate([noise(2 * HOP), noise(2 * HOP)[..., ::-1]]), codec.new_state()
    codec.encode_frames(np.ascontiguousarray(wave), state, 4)
    branch, one = state.clone(), state.select([1])
    for each in (state, branch, one):
        each.last = True
    nothing = np.zeros((2, 1, 0), np.float32)
    whole = codec.encode_frames(nothing, state, 4)
    for level, same, alone in zip(
        whole, codec.encode_frames(nothing, branch, 4), codec.encode_frames(nothing[:1], one, 4), strict=True
    ):
        assert np.array_equal(level, same) and np.array_equal(level[1:], alone)


def test_sound_is_late_by_the_lookahead_and_no_more(codec: HiFiCodec) -> None:
    codes, stream = codec.encode(noise(60 * HOP)), codec.stream()
    assert stream.decode(codes.cut(0, 50)).shape[2] == 50 * HOP - codec.info.lookahead
    assert stream.decode(codes.cut(50, 51)).shape[2] == HOP
    other = [level.copy() for level in codes.levels]
    other[0][:, 30] = (other[0][:, 30] + 1) % 32
    changed = np.flatnonzero(codec.decode(codes) != codec.decode(replace(codes, levels=tuple(other))))
    assert 30 * HOP - codec.info.lookahead <= changed[0] < 30 * HOP - codec.info.lookahead + 2 * HOP


def test_a_place_that_is_sought_out_has_the_files_samples_after_the_preroll(codec: HiFiCodec) -> None:
    codes = codec.encode(noise(60 * HOP))
    whole, skip = codec.decode(codes), codec.info.preroll * HOP
    off = np.abs(codec.decode(codes.cut(20, 60)) - whole[:, :, 20 * HOP :])
    assert off[:, :, skip:].max() < 1e-5 < off[:, :, : 2 * HOP].max()


@pytest.mark.parametrize("size", [7, 29])
def test_blocks_have_the_norms_of_the_whole(codec: HiFiCodec, size: int) -> None:
    wave = torch.from_numpy(noise(30 * HOP, batch=2))
    wave[0, :, 15 * HOP :] *= 4
    with torch.no_grad():
        whole = codec.encoder(wave)
        pieces = list(codec.encoder.in_blocks(wave, size * HOP))
    assert len(pieces) == -(-30 // size)
    assert (torch.cat(pieces, dim=2) - whole).abs().max() < 1e-5 * whole.abs().max()


def test_a_long_file_is_one_pass(codec: HiFiCodec, monkeypatch: pytest.MonkeyPatch) -> None:
    wave = noise(30_007)
    whole = codec.encode(wave)
    monkeypatch.setattr(hificodec, "BLOCK", 1)
    codes = codec.encode(wave)
    flips = sum((a != b).sum() for a, b in zip(codes.levels, whole.levels, strict=True))
    assert codes.frames == whole.frames and flips <= 1  # of near ties: sums are rounded by their place
    assert codec.decode(codes).shape == wave.shape


def test_every_code_hears_the_whole_sound(codec: HiFiCodec) -> None:
    wave = torch.from_numpy(noise(20 * HOP))
    other = wave.clone()
    other[:, :, -1] += 1
    with torch.no_grad():
        assert (codec.encoder(wave) != codec.encoder(other)).any(dim=1).all()
        with pytest.raises(InputError, match="cannot stream"):
            codec.encoder(wave, State())


def test_settled_norms_are_group_norms_one_after_another() -> None:
    torch.manual_seed(0)
    layer = NormedMean(6, 2, [nn.Conv1d(6, 6, 1) for _ in range(3)])
    for norm in layer.norms:
        nn.init.normal_(norm.weight)  # type: ignore[arg-type]
        nn.init.normal_(norm.bias)  # type: ignore[arg-type]
    parts = [torch.randn(2, 6, 50) * 3 + 5 * i for i in range(3)]
    total = torch.zeros(2, 6, 50)
    for part, norm in zip(parts, layer.norms, strict=True):
        total = F.group_norm(total + part, 3, norm.weight, norm.bias, 1e-6)  # type: ignore[arg-type]
    moments = Moments()
    for begin, end in ((0, 7), (7, 7), (7, 50)):
        moments.add([part[..., begin:end] for part in parts])
    gains, shift = layer.settled(moments)
    mixed = (gains[..., None] * torch.stack(parts, 1)).sum(1) + shift[..., None]
    torch.testing.assert_close(mixed, total / 3, atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("length", [1, 1_001])
def test_a_batch_is_its_items_and_forward_is_both_ways(codec: HiFiCodec, length: int) -> None:
    wave = noise(length, batch=3)
    together = codec.encode(wave)
    sound = codec.decode(together)
    for i, item in enumerate(wave):
        alone = codec.encode(item[None])
        assert all(np.array_equal(a[0], b[i]) for a, b in zip(alone.levels, together.levels, strict=True))
        assert np.abs(codec.decode(alone)[0] - sound[i]).max() < 1e-5
    with torch.no_grad():
        passed = codec(torch.from_numpy(wave))
    assert all(np.array_equal(a.numpy(), b) for a, b in zip(passed.quantized.levels, together.levels, strict=True))
    assert np.abs(passed.wave.numpy() - sound).max() < 1e-5


@pytest.mark.parametrize(("groups", "layers"), [(2, 2), (1, 4), (4, 1), ((20, 8, 4), 3)])
def test_any_other_split(groups: int | tuple[int, ...], layers: int) -> None:
    codec = small(replace(SMALL, groups=groups, layers=layers))
    count = layers * (groups if isinstance(groups, int) else len(groups))
    wave = noise(1_500)
    codes = codec.encode(wave)
    assert len(codes.levels) == codec.info.levels == count
    assert codec.encode(wave, count - 1) == codes.head(count - 1)
    assert codec.decode(codes.head(1)).shape == wave.shape
    assert codec.info.bitrate() == 100 * 5 * count


def test_it_starts_near_zero() -> None:
    codec = HiFiCodec(SMALL)
    with torch.no_grad():
        z = codec.encoder(torch.from_numpy(noise(2_400)))
    entries = [p for name, p in codec.named_parameters() if name.endswith("entries")]
    assert len(entries) == 4 and all(0.9 / 32 < p.abs().max() <= 1 / 32 for p in entries)
    assert z.abs().max() < 0.5
    plain = [name for name, _ in codec.encoder.named_parameters() if name.startswith("14.")]
    assert plain == ["14.bias", "14.weight"] or plain == ["14.weight", "14.bias"]  # no weight norm


def learn(codec: HiFiCodec, wave: torch.Tensor, steps: int, rate: float) -> list[float]:
    """Errors of some steps with the recipe's weights of the quantizer's losses."""
    optimizer, errors = torch.optim.Adam(codec.parameters(), rate, (0.5, 0.9)), []
    for _ in range(steps):
        result = codec(wave)
        quantized = result.quantized
        error = (result.wave - wave).square().mean()
        optimizer.zero_grad()
        (error + 10 * (quantized.codebook + 0.25 * quantized.commitment)).backward()
        optimizer.step()
        errors.append(float(error.detach()))
    return errors


def test_entries_may_begin_as_the_sound_has_them() -> None:
    """Where the original falls to a few entries a level, more than a third is in use."""
    perplexity = {}
    for revive in (False, True):
        torch.manual_seed(0)
        codec = HiFiCodec(replace(SMALL, revive=revive)).train()
        learn(codec, torch.from_numpy(noise(481, batch=4)), 15, 1e-3)
        perplexity[revive] = [float(value) for value in codec.quantizer.perplexity()]
    assert all(now > 2 * then for now, then in zip(perplexity[True], perplexity[False], strict=True)), perplexity
    assert min(perplexity[True]) > 32 / 3


def test_every_parameter_learns_and_codebooks_stay_sane() -> None:
    """Thirty steps on a little sound: the error falls, every parameter moves, entries stay finite and some in use."""
    torch.manual_seed(0)
    codec = HiFiCodec(SMALL).train()
    before = {name: parameter.detach().clone() for name, parameter in codec.named_parameters()}
    losses = learn(codec, torch.from_numpy(noise(481, batch=2)), 30, 2e-3)
    assert np.isfinite(losses).all() and np.mean(losses[-5:]) < np.mean(losses[:5])
    untouched = [name for name, parameter in codec.named_parameters() if torch.equal(parameter, before[name])]
    assert untouched == []
    # a level may still fall to one entry, perplexity 1: there is no revival, as in the original
    assert all(0.99 < value < 32.01 for value in codec.quantizer.perplexity())
    assert all(0 < share <= 1 for share in codec.quantizer.usage())
    assert all(parameter.isfinite().all() for parameter in codec.parameters())
