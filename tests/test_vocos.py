"""Vocos: sizes as published, sound of other codecs' codes, mel bands as written down, chunks that are the whole."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_encodec import small_encodec
from small_vocos import MEL, TOKENS, small_mel_vocos, small_token_vocos

from nacre import CodecInfo, Codes, InputError
from nacre.codecs.vocos import PRESETS, MelVocos, TokenVocos
from nacre.nn.state import State

HOP = 320


def tokens(frames: int, levels: int = 4, batch: int = 1, length: int | None = None) -> Codes:
    random = np.random.default_rng(frames).integers(0, 16, (levels, batch, frames))
    info = CodecInfo("small-encodec", "of some weights", 24_000, 1, HOP, (16,) * 4)
    return Codes(tuple(random), frames * HOP if length is None else length, info)


def test_released_sizes() -> None:
    mel, encodec = MelVocos(), TokenVocos()
    assert sum(p.numel() for p in mel.parameters()) == 13_531_650
    assert sum(p.numel() for p in encodec.parameters()) == 7_984_258
    assert (mel.config, encodec.config) == (PRESETS["vocos-mel-24k"], PRESETS["vocos-encodec-24k"])
    assert (mel.config.vocoder.lookahead, encodec.info.lookahead) == (27 * 256 + 512, 27 * 320 + 480)
    info = encodec.info
    assert (info.sample_rate, info.hop, info.frame_rate, info.preroll) == (24_000, 320, 75, 29)
    assert info.codebook_sizes == (1024,) * 16 and info.latency == pytest.approx(0.393, abs=1e-3)


def test_it_gives_sound_to_what_encodec_said() -> None:
    wave = np.random.default_rng(0).normal(0, 0.2, (2, 1, 9_001)).astype(np.float32)
    codes, vocos = small_encodec().encode(wave), small_token_vocos()
    sound = vocos.decode(codes)
    assert sound.shape == wave.shape and sound.std() > 1e-3
    with torch.no_grad():
        whole = vocos([torch.from_numpy(level) for level in codes.levels]).numpy()
    assert np.abs(sound - whole[:, :, :9_001]).max() < 1e-5 * np.abs(sound).max()
    for levels in (1, 2):
        assert not np.allclose(vocos.decode(codes.head(levels)), sound)


@settings(max_examples=15)
@given(st.integers(1, 40), st.lists(st.integers(0, 9), max_size=9), st.sampled_from([1, 2, 4]))
def test_chunks_are_the_whole(frames: int, sizes: list[int], levels: int) -> None:
    vocos, codes = small_token_vocos(), tokens(frames, levels, length=frames * HOP - 7)
    whole, stream, parts, at = vocos.decode(codes), vocos.stream(), [], 0
    for size in [*sizes, frames]:
        parts.append(stream.decode(codes.cut(min(at, frames), min(at + size, frames))))
        at += size
    parts.append(stream.decode(codes.cut(frames, frames), last=True))
    joined = np.concatenate(parts, axis=2)
    assert joined.shape == whole.shape
    assert np.abs(joined - whole).max() < 1e-5 * np.abs(whole).max()


def test_long_codes_in_blocks_are_one_pass_and_a_batch_is_its_items() -> None:
    vocos, codes = small_token_vocos(), tokens(1_600, batch=2)
    sound = vocos.decode(codes)
    with torch.no_grad():
        once = vocos([torch.from_numpy(level) for level in codes.levels]).numpy()
    assert np.abs(sound - once).max() < 1e-5 * np.abs(once).max()
    item = vocos.decode(replace(codes, levels=tuple(level[1:] for level in codes.levels)))
    assert np.abs(item[0] - sound[1]).max() < 1e-5 * np.abs(once).max()


def test_from_a_place_it_is_exact_after_the_preroll() -> None:
    vocos, codes = small_token_vocos(), tokens(60)
    start, exact = 20, vocos.info.preroll * HOP
    off = np.abs(vocos.decode(codes.cut(start, 60)) - vocos.decode(codes)[:, :, start * HOP :])[0, 0]
    peak = np.abs(vocos.decode(codes)).max()
    assert off[exact:].max() < 1e-5 * peak < off[: exact - HOP].max()


def test_what_it_cannot_say_is_refused() -> None:
    vocos, codes = small_token_vocos(), tokens(5)
    with pytest.raises(InputError, match=r"decodes 1, 2, 4 levels, got 3; ask for a bitrate of these"):
        vocos.decode(codes.head(3))
    with pytest.raises(InputError, match="decodes what small-encodec said, got codes of hilcodec"):
        vocos.decode(replace(codes, info=replace(codes.info, name="hilcodec")))
    with pytest.raises(InputError, match="only decodes; encode with small-encodec"):
        vocos.encode(np.zeros((1, 1, 400), np.float32))
    with pytest.raises(InputError, match="takes the Codes"):
        vocos.decode("codes")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="more than 512 samples"):
        small_mel_vocos().features(torch.zeros(1, 1, 512))


@pytest.mark.parametrize("length", [513, 2_560, 2_561, 9_999])
def test_mel_bands_are_those_of_the_definition(length: int) -> None:
    vocos, wave = small_mel_vocos(), torch.randn(2, 1, length)
    spectra = torch.stft(wave[:, 0], 1024, 256, window=torch.hann_window(1024), return_complex=True).abs()
    corners = 700 * (10 ** (torch.linspace(0, 2595 * np.log10(1 + 12_000 / 700), 22) / 2595) - 1)
    bins = torch.linspace(0, 12_000, 513)
    bands = torch.zeros(2, 20, spectra.shape[2])
    for k in range(20):
        low, middle, high = corners[k : k + 3]
        filter_ = torch.minimum((bins - low) / (middle - low), (high - bins) / (high - middle)).clamp(min=0)
        bands[:, k] = (filter_[:, None] * spectra).sum(1)
    torch.testing.assert_close(vocos.features(wave), bands.clamp(min=1e-7).log(), atol=1e-3, rtol=1e-3)


def test_silence_has_the_floor_and_can_be_said() -> None:
    vocos = small_mel_vocos()
    mel = vocos.features(torch.zeros(1, 1, 2_560))
    assert mel.shape == (1, 20, 11) and torch.allclose(mel, torch.tensor(1e-7).log())
    assert vocos(mel).shape == (1, 1, 2_560) and vocos(mel).isfinite().all()


def test_mel_streams() -> None:
    vocos, state = small_mel_vocos(), State()
    mel = vocos.features(torch.randn(2, 1, 12_800))
    parts = []
    for i, chunk in enumerate(mel.split([1, 20, 0, 30], dim=2)):
        state.last = i == 3
        parts.append(vocos(chunk, state))
    torch.testing.assert_close(torch.cat(parts, dim=2), vocos(mel), atol=1e-5, rtol=1e-4)


def test_configs_of_the_small_ones_are_shapes_of_the_released() -> None:
    assert replace(MEL, vocoder=PRESETS["vocos-mel-24k"].vocoder) == PRESETS["vocos-mel-24k"]
    assert TOKENS.vocoder.centred == PRESETS["vocos-encodec-24k"].vocoder.centred
