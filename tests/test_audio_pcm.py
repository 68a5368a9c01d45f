"""Plain samples: exact values, WAV headers of every make, and the ones that lie."""

from __future__ import annotations

import io
import struct
import wave
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from nacre.audio.pcm import WIDTHS, RawFormat, WavHeader, count_clipped, pack, quantise, read_header, unpack, wav_header
from nacre.errors import DamagedError, InputError, NacreError

FORMATS = st.builds(RawFormat, st.sampled_from(sorted(WIDTHS)), st.integers(100, 10**6), st.integers(1, 64))
S16 = RawFormat("s16le", 24000, 1)


def parse(data: bytes) -> WavHeader:
    return read_header(io.BytesIO(data), "x.wav")


@pytest.mark.parametrize(
    ("encoding", "data", "value"),
    [
        ("u8", b"\x00", -1.0),
        ("u8", b"\xc0", 0.5),
        ("s16le", b"\x00\x80", -1.0),
        ("s16le", b"\xff\x7f", 32767 / 32768),
        ("s24le", b"\x00\x00\x80", -1.0),
        ("s24le", b"\x01\x00\x00", 2.0**-23),
        ("s24le", b"\xff\xff\xff", -(2.0**-23)),
        ("s32le", b"\x00\x00\x00\xc0", -0.5),
        ("f32le", struct.pack("<f", 1.5), 1.5),
        ("f64le", struct.pack("<d", -0.25), -0.25),
    ],
)
def test_bytes_mean_what_they_should(encoding: str, data: bytes, value: float) -> None:
    block = unpack(data * 6, RawFormat(encoding, 8000, 2))
    np.testing.assert_array_equal(block, np.full((2, 3), value, np.float32))
    assert pack(block, encoding) == data * 6


@given(FORMATS, st.integers(0, 50), st.integers(0, 2**32 - 1))
def test_any_bytes_survive_being_samples(raw: RawFormat, frames: int, seed: int) -> None:
    data = np.random.default_rng(seed).bytes(frames * raw.frame_bytes)
    block = unpack(data, raw)
    assert (block.shape, block.dtype) == ((raw.channels, frames), np.float32)
    if raw.encoding in ("u8", "s16le", "s24le"):  # 32 bits are more than float32 holds
        assert pack(block, raw.encoding) == data


def test_channels_are_interleaved() -> None:
    block = np.array([[0.25, 0.5], [-0.25, -0.5]], np.float32)
    assert pack(block, "f32le") == struct.pack("<4f", 0.25, -0.25, 0.5, -0.5)


def test_clipping_counts_what_lies_beyond_full_scale() -> None:
    samples = np.array([-1.5, -1.0, 1.0, np.nextafter(np.float32(1), np.float32(2)), 0.9999999, 7], np.float32)
    assert quantise(samples, 16).tolist() == [-32768, -32768, 32767, 32767, 32767, 32767]
    assert count_clipped(samples) == 3
    assert quantise(samples, 32).tolist()[:3] == [-(2**31), -(2**31), 2**31 - 1]
    assert pack(samples[None], "f32le") == samples.tobytes()  # floats hold it all


def test_rounding_goes_to_the_nearest() -> None:
    assert quantise(np.array([0.4, 0.6, -0.6]) / np.float32(32768), 16).tolist() == [0, 1, -1]


@given(FORMATS, st.integers(0, 2**34), st.booleans())
def test_a_header_comes_back(raw: RawFormat, frames: int, patchable: bool) -> None:
    size = frames * raw.frame_bytes
    header = wav_header(raw, size, patchable)
    if not patchable and size > 0x7FFFF000 - 100:
        return  # only a patchable header has room for more
    found = parse(header)
    assert found.raw == raw
    assert len(header) == len(wav_header(raw, 0, patchable))
    if size and not 0x7FFFF000 <= size <= 0x80000000:  # where a length could be one of the stand-ins
        assert found.data_bytes == size


def test_beyond_four_gigabytes_it_is_rf64() -> None:
    edge = 0xFFFFFFFF - len(wav_header(S16, 0, patchable=True)) + 8 - 1
    assert wav_header(S16, edge, patchable=True)[:4] == b"RIFF"
    assert wav_header(S16, edge + 2, patchable=True)[:4] == b"RF64"
    assert parse(wav_header(S16, 6 << 30, patchable=True)).data_bytes == 6 << 30


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFF000, 0x80000000])
@pytest.mark.parametrize("riff", [0, 36, 0xFFFFFFFF, 0x7FFFF024])
def test_stand_in_lengths_mean_unknown(size: int, riff: int) -> None:
    header = bytearray(wav_header(S16, 0))
    header[4:8], header[-4:] = struct.pack("<I", riff), struct.pack("<I", size)
    assert parse(bytes(header)) == (S16, None)


def test_no_sound_with_a_note_after_it_is_no_sound() -> None:
    note = b"LIST" + struct.pack("<I", 4) + b"INFO"
    header = wav_header(S16, 0)
    data = header[:4] + struct.pack("<I", len(header) - 8 + len(note)) + header[8:] + note
    assert parse(data).data_bytes == 0


def test_a_pipe_header_says_that_it_does_not_know() -> None:
    header = wav_header(RawFormat("s24le", 44100, 2))
    assert len(header) == 44
    assert parse(header) == (RawFormat("s24le", 44100, 2), None)


@pytest.mark.parametrize("channels", [1, 2, 3, 6])
@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
@pytest.mark.parametrize("form", ["WAV", "WAVEX", "RF64"])
def test_headers_of_libsndfile_are_read(tmp_path: Path, form: str, subtype: str, channels: int) -> None:
    samples = np.random.default_rng(0).uniform(-1, 1, (99, channels))
    soundfile.write(tmp_path / "a.wav", samples, 32000, subtype, format=form)
    data = (tmp_path / "a.wav").read_bytes()
    stream = io.BytesIO(data)
    raw, size = read_header(stream, "a.wav")
    assert raw is not None
    assert (raw.sample_rate, raw.channels, size) == (32000, channels, 99 * raw.frame_bytes)
    got = unpack(stream.read(size), raw)
    np.testing.assert_array_equal(got.T, soundfile.read(tmp_path / "a.wav", dtype="float32", always_2d=True)[0])


def test_others_read_our_headers() -> None:
    data = pack(np.array([[0.5, -0.5, 0.25]], np.float32), "s16le")
    for patchable in (False, True):
        with wave.open(io.BytesIO(wav_header(S16, len(data), patchable) + data)) as file:
            assert (file.getframerate(), file.getnchannels(), file.getnframes()) == (24000, 1, 3)
            assert file.readframes(3) == data


def test_other_chunks_are_passed_over_odd_ones_with_their_padding() -> None:
    header = wav_header(S16, 10)
    note = b"bext" + struct.pack("<I", 5) + b"hello\0"
    assert parse(header[:12] + note + header[12:]) == (S16, 10)


def test_what_is_not_pcm_is_left_to_others() -> None:
    header = bytearray(wav_header(S16, 10))
    header[20:22] = struct.pack("<H", 7)  # µ-law
    assert parse(bytes(header)) == (None, None)


@pytest.mark.parametrize("raw", [S16, RawFormat("f32le", 48000, 6)])
def test_every_truncation_of_a_header_is_found(raw: RawFormat) -> None:
    header = wav_header(raw, 10, patchable=True)
    for length in range(12, len(header)):
        with pytest.raises(DamagedError, match=r"x.wav ends inside its WAV header; it was cut short"):
            parse(header[:length])


@given(st.data())
def test_a_header_with_flipped_bytes_parses_or_ends_plainly(data: st.DataObject) -> None:
    header = bytearray(wav_header(RawFormat("s24le", 48000, 6), 300, patchable=True))
    for place in data.draw(st.lists(st.integers(0, len(header) - 1), min_size=1, max_size=4)):
        header[place] = data.draw(st.integers(0, 255))
    try:
        raw, size = parse(bytes(header) + bytes(300))
    except NacreError as error:
        assert str(error).startswith("x.wav ")
    else:
        assert raw is None or raw.frame_bytes <= 8 * 64
        assert size is None or size >= 0


def test_a_header_without_end_is_refused_before_it_is_read() -> None:
    endless = b"RIFF" + bytes(4) + b"WAVE" + b"junk" + struct.pack("<I", 0xFFFFFF00)
    with pytest.raises(DamagedError, match="no samples within its first 16 MiB"):
        parse(endless)
    early = b"RIFF" + bytes(4) + b"WAVEdata" + bytes(4)
    with pytest.raises(DamagedError, match="no format chunk"):
        parse(early)
    with pytest.raises(DamagedError, match="format chunk of 4 bytes"):
        parse(b"RIFF" + bytes(4) + b"WAVEfmt " + struct.pack("<I", 4) + bytes(4))


@pytest.mark.parametrize(("rate", "channels"), [(0, 1), (2**32 - 1, 1), (8000, 1000)])
def test_absurd_rates_and_channels_are_refused(rate: int, channels: int) -> None:
    body = struct.pack("<HHIIHH", 1, channels, rate, 0, channels * 2, 16)
    with pytest.raises(InputError, match=r"x.wav cannot be (read|used): expected .* got"):
        parse(b"RIFF" + bytes(4) + b"WAVEfmt " + struct.pack("<I", 16) + body)


def test_a_raw_format_is_checked_at_once() -> None:
    with pytest.raises(InputError, match=r"expected a raw format out of u8, s16le, .* got 's16be'"):
        RawFormat("s16be", 8000)
    with pytest.raises(InputError, match="sample rate"):
        RawFormat("s16le", 0)
