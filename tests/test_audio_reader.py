"""Reading in blocks: the same samples whatever the blocks, little memory, live pipes, refusals by time."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from nacre import audio
from nacre.audio.pcm import wav_header
from nacre.errors import DamagedError, InputError

RAW = audio.RawFormat("s16le", 44100, 2)
NOISE = np.random.default_rng(0).integers(-(2**15), 2**15, 2 * 50_000).astype("<i2").tobytes()


def joined(blocks: Iterator[NDArray[np.float32]]) -> NDArray[np.float32]:
    return np.concatenate([np.zeros((1, 1, 0), np.float32), *blocks], axis=2)


@settings(max_examples=40)
@given(
    st.integers(0, 50_000), st.sampled_from([8000, 22050, 24000, 44100, 48000]), st.floats(1e-3, 2) | st.just(1 / 8000)
)
def test_blocks_of_any_length_join_to_the_whole(frames: int, sample_rate: int, seconds: float) -> None:
    data = NOISE[: 4 * frames]
    whole = audio.read(io.BytesIO(data), sample_rate, 1, RAW).samples
    with audio.open_audio(io.BytesIO(data), sample_rate, 1, RAW) as reader:
        blocks = list(reader.blocks(seconds))
    size = round(seconds * sample_rate)
    assert [block.shape[2] for block in blocks[:-1]] == [size] * (len(blocks) - 1)
    assert all(block.dtype == np.float32 and 0 < block.shape[2] <= size for block in blocks)
    np.testing.assert_array_equal(joined(iter(blocks)), whole)
    np.testing.assert_array_equal(
        whole[0],
        audio.resample(
            audio.mix_channels(np.frombuffer(data, "<i2").reshape(-1, 2).T / np.float32(32768), 1), 44100, sample_rate
        ),
    )


def test_a_reader_says_what_it_reads_and_what_it_gives() -> None:
    with audio.open_audio(io.BytesIO(wav_header(RAW, 4 * 441) + NOISE[: 4 * 441]), 24000, 1) as reader:
        assert (reader.source_rate, reader.source_channels, reader.source_frames) == (44100, 2, 441)
        assert (reader.sample_rate, reader.channels, reader.frames, reader.duration) == (24000, 1, 240, 0.01)


class Endless(io.RawIOBase):
    """A stream of `frames` silent samples that notes how much is asked for at once."""

    def __init__(self, frames: int) -> None:
        self.left, self.most = frames * RAW.frame_bytes, 0

    def read(self, count: int = -1, /) -> bytes:
        assert count >= 0, "asked for everything"
        self.most = max(self.most, count)
        count = min(count, self.left)
        self.left -= count
        return bytes(count)


def peak(seconds: int) -> tuple[int, int]:
    """Bytes of memory at most, and bytes read at once at most, while `seconds` of sound go by."""
    source = Endless(seconds * RAW.sample_rate)
    tracemalloc.start()
    with audio.open_audio(source, 24000, 1, RAW) as reader:  # type: ignore[arg-type]
        total = sum(block.shape[2] for block in reader.blocks(1.0))
    memory = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == seconds * 24000
    return memory, source.most


def test_memory_does_not_grow_with_length() -> None:
    peak(1)  # whatever is made once
    short, at_once = peak(10)
    long, _ = peak(200)
    assert long < 1.1 * short
    assert at_once <= 1 << 17


def test_a_sound_is_read_once() -> None:
    with audio.open_audio(io.BytesIO(NOISE), raw=RAW) as reader:
        reader.read()
        with pytest.raises(InputError, match="the stream is read once, front to back; open it again"):
            reader.blocks()


@pytest.mark.parametrize("seconds", [0, -1, 1e-9])
def test_blocks_hold_something(seconds: float) -> None:
    with (
        audio.open_audio(io.BytesIO(NOISE), raw=RAW) as reader,
        pytest.raises(InputError, match="blocks of at least one sample, got"),
    ):
        reader.blocks(seconds)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 40_000])
def test_a_broken_sample_is_refused_with_its_time(tmp_path: Path, value: float, place: int) -> None:
    samples = np.zeros(50_000, "<f4")
    samples[place] = value
    raw = audio.RawFormat("f32le", 10_000)
    (tmp_path / "a.wav").write_bytes(wav_header(raw, samples.nbytes) + samples.tobytes())
    with pytest.raises(
        InputError, match=rf"a.wav holds a NaN, infinite .* at {place / 10_000:.3f} s \(sample {place}\)"
    ):
        audio.read(tmp_path / "a.wav", 24000)


def test_doubles_too_large_for_floats_are_refused() -> None:
    raw = audio.RawFormat("f64le", 8000)
    with pytest.raises(InputError, match=r"at 0.000 s \(sample 1\)"):
        audio.read(io.BytesIO(struct.pack("<2d", 0.5, 1e300)), raw=raw)


def test_an_impossible_wish_is_refused_at_the_door() -> None:
    with pytest.raises(InputError, match="no rule to make 3 channels of 2"):
        audio.open_audio(io.BytesIO(NOISE), channels=3, raw=RAW)
    with pytest.raises(InputError, match="sample rate"):
        audio.open_audio(io.BytesIO(NOISE), sample_rate=7, raw=RAW)


def test_a_pipe_that_ends_early_gives_what_came_and_then_an_error() -> None:
    data = wav_header(RAW, 4 * 20_000) + NOISE[: 4 * 15_000]
    with audio.open_audio(io.BytesIO(data)) as reader:
        blocks = reader.blocks(0.1)
        assert next(blocks).shape == (1, 2, 4410)
        with pytest.raises(
            DamagedError, match=r"the stream was cut short .* promises 0\.454 s of sound, 0\.340 s could"
        ):
            list(blocks)


def script(code: str, *arguments: str) -> list[str]:
    return [sys.executable, "-c", "import sys\nfrom nacre import audio\n" + code, *arguments]


READ_STDIN = """
raw = audio.RawFormat(sys.argv[1], 16000) if sys.argv[1] else None
with audio.open_audio("-", 8000, 1, raw) as reader:
    for block in reader.blocks(0.1):
        print(block.shape[2], flush=True)
"""


@pytest.mark.parametrize("encoding", ["", "s16le"])
def test_standard_input_is_heard_while_it_still_goes_on(encoding: str) -> None:
    raw = audio.RawFormat("s16le", 16000)
    process = subprocess.Popen(script(READ_STDIN, encoding), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"" if encoding else wav_header(raw))
    process.stdin.write(bytes(2 * 8000))  # half a second, and no end yet
    process.stdin.flush()
    assert [int(process.stdout.readline()) for _ in range(4)] == [800] * 4
    out, _ = process.communicate(bytes(2 * 1000), timeout=60)
    assert process.returncode == 0
    assert [int(line) for line in out.split()] == [800, 500]


def test_programs_join_through_pipes(tmp_path: Path) -> None:
    wave = np.random.default_rng(0).integers(-(2**15), 2**15, (1, 2, 30_000)).astype(np.float32) / 32768
    audio.write(tmp_path / "a.wav", wave, 44100)
    code = """
with audio.open_audio("-") as reader, audio.AudioWriter("-", reader.sample_rate, reader.channels) as writer:
    for block in reader.blocks(0.05):
        writer.write(block)
"""
    with (tmp_path / "a.wav").open("rb") as file:
        first = subprocess.Popen(script(code), stdin=file, stdout=subprocess.PIPE)
    second = subprocess.run(script(code), stdin=first.stdout, capture_output=True, timeout=60, check=True)
    assert first.stdout is not None
    first.stdout.close()
    assert first.wait(60) == 0
    assert second.stderr == b""
    back = audio.read(io.BytesIO(second.stdout))
    assert back.sample_rate == 44100
    np.testing.assert_array_equal(back.samples, wave)
