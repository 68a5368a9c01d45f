"""Lyra: graphs of its shapes run behind the contract, each stream with a memory of its own; its own graphs where given.

Lyra's graphs are not on the test machines. Name a copy of github.com/google/lyra in NACRE_LYRA to run them too.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from small_lyra import FORGET, HOP, weights, write_small_lyra
from streamed import streamed

from nacre import Codes, DamagedError, InputError, MissingError, read
from nacre.container.lyra_file import read_lyra, write_lyra
from nacre.lyra import DECODER, ENCODER, QUANTIZER, Lyra

pytest.importorskip("ai_edge_litert")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_lyra(tmp_path_factory.mktemp("lyra") / "model_coeffs")


@pytest.fixture(scope="module")
def lyra(folder: Path) -> Lyra:
    return Lyra(folder)


def noise(length: int, batch: int = 1) -> np.ndarray:
    return np.random.default_rng(length).normal(0, 0.2, (batch, 1, length)).astype(np.float32)


def remembered(matrix: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """What a stand-in gives for frames `[F, in]`: its product, and half of what it gave before."""
    given = [np.zeros(len(matrix), np.float32)]
    for frame in frames:
        given.append(matrix @ frame + FORGET * given[-1])
    return np.stack(given[1:])


def expected(wave: np.ndarray, levels: int) -> tuple[np.ndarray, np.ndarray]:
    """Codes `[F, K]` and sound of one wave `[F * 320]`."""
    there, back = weights()
    features = remembered(there, wave.reshape(-1, HOP))
    codes = np.floor(np.clip(4 * features[:, :46] + 8, 0, 15)).astype(np.int64)[:, :levels]
    heard = np.zeros_like(features)
    heard[:, :levels] = (codes - 7.5) / 4
    return codes, remembered(back, heard).ravel()


@pytest.mark.parametrize("levels", [16, 30, 46, 1])
def test_graphs_give_what_they_compute(lyra: Lyra, levels: int) -> None:
    wave = noise(7 * HOP)
    codes = lyra.encode(wave, levels)
    told, sound = expected(wave[0, 0], levels)
    assert len(codes.levels) == levels and np.array_equal(np.stack([c[0] for c in codes.levels], 1), told)
    assert np.abs(lyra.decode(codes)[0, 0] - sound).max() < 1e-4 * np.abs(sound).max()


@pytest.mark.parametrize("sizes", [[1] * 5, [320, 319, 2], [3_000], []])
def test_stream_is_file(lyra: Lyra, sizes: list[int]) -> None:
    wave = noise(3_333, batch=2)
    codes, sound = streamed(lyra, wave, sizes)
    whole = lyra.encode(wave)
    assert codes == whole and codes.frames == 11
    assert sound.shape == wave.shape and np.array_equal(sound, lyra.decode(whole))


def test_streams_side_by_side_remember_apart(lyra: Lyra) -> None:
    waves = [noise(5 * HOP), noise(5 * HOP)[:, :, ::-1].copy()]
    streams = [lyra.stream() for _ in waves]
    pieces: list[list[Codes]] = [[], []]
    for i in range(0, 5 * HOP, HOP):
        for wave, stream, kept in zip(waves, streams, pieces, strict=True):
            kept.append(stream.encode(wave[:, :, i : i + HOP]))
    for wave, kept in zip(waves, pieces, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(Codes.join(kept).levels, lyra.encode(wave).levels, strict=True))


def test_a_batch_is_its_items(lyra: Lyra) -> None:
    wave = noise(2_000, batch=3)
    together = lyra.encode(wave)
    sounds = lyra.decode(together)
    for i, item in enumerate(wave):
        alone = lyra.encode(item[None])
        assert all(np.array_equal(a[0], b[i]) for a, b in zip(alone.levels, together.levels, strict=True))
        assert np.array_equal(lyra.decode(alone)[0], sounds[i])


def test_its_figures(lyra: Lyra) -> None:
    info = lyra.info
    assert (info.name, info.sample_rate, info.hop, info.latency, info.lookahead) == ("lyra-v2", 16_000, 320, 0.02, 0)
    assert [info.levels_for(bitrate) for bitrate in (3_200, 6_000, 9_200)] == [16, 30, 46]
    assert len(info.digest) == 16


def test_packets_of_its_codes_decode(lyra: Lyra) -> None:
    codes = lyra.encode(noise(4 * HOP), 30)
    data = write_lyra(codes)
    assert len(data) == 60
    back = read_lyra(data, 6_000)
    sound = lyra.decode(Codes(back.levels, back.length, lyra.info))
    assert np.array_equal(sound, lyra.decode(codes))


def test_what_is_missing_or_damaged_is_said_at_once(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=f"no {ENCODER} in .*model_coeffs of github"):
        Lyra(tmp_path)
    with pytest.raises(InputError, match="1 to 256 threads, got 0"):
        Lyra(folder, threads=0)
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / QUANTIZER).write_bytes(b"no graph")
    with pytest.raises(DamagedError, match=f"{QUANTIZER} has no encode that LiteRT can run"):
        Lyra(copy)
    shutil.copy(folder / DECODER, copy / QUANTIZER)
    with pytest.raises(DamagedError, match=f"{QUANTIZER} has no encode that LiteRT can run"):
        Lyra(copy)
    shutil.copy(folder / QUANTIZER, copy)
    shutil.copy(folder / DECODER, copy / ENCODER)
    with pytest.raises(
        DamagedError, match=rf"{ENCODER} should take one array of shape \(1, 320\), got \[\(1, 1, 64\)\]"
    ):
        Lyra(copy)


def test_without_litert_a_sentence_says_what_to_install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    with pytest.raises(MissingError, match=r"pip install 'nacre\[lyra\]'"):
        Lyra(folder)


def test_another_file_is_another_codec(folder: Path, lyra: Lyra, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / DECODER).write_bytes((folder / DECODER).read_bytes() + b"\0")
    assert Lyra(copy).info.digest != lyra.info.digest


@pytest.mark.skipif("NACRE_LYRA" not in os.environ, reason="NACRE_LYRA names no copy of github.com/google/lyra")
def test_lyras_own_graphs_say_what_they_said() -> None:
    home = Path(os.environ["NACRE_LYRA"]) / "lyra"
    wave = read(home / "testdata" / "sample1_16kHz.wav").samples
    codes = Lyra(home / "model_coeffs").encode(wave, 16)
    frames = np.stack([level[0] for level in codes.levels], 1)
    assert frames[0].tolist() == [10, 0, 0, 8, 0, 9, 0, 12, 7, 5, 11, 6, 12, 14, 3, 9]
    assert frames[20].tolist() == [10, 4, 8, 3, 3, 13, 11, 14, 7, 5, 6, 7, 3, 10, 15, 11]
