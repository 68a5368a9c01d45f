"""Where samples go: headers set right at the end, 4 GB and beyond, and what each kind can hold."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

from nacre.audio.pcm import RawFormat, read_header
from nacre.audio.sinks import KINDS, PcmSink, SoundSink
from nacre.errors import InputError

BLOCK = np.array([[0.5, -0.5, 0.25]], np.float32)


def test_a_wav_beyond_four_gigabytes_becomes_rf64() -> None:
    file, raw = io.BytesIO(), RawFormat("f32le", 48000, 2)
    sink = PcmSink(file, raw, header=True, patchable=True)
    sink.write(np.zeros((2, 5), np.float32))
    before = file.getvalue()
    sink._bytes += 6 << 30  # as if it had been written
    sink.finish()
    assert (before[:4], file.getvalue()[:4], len(file.getvalue())) == (b"RIFF", b"RF64", len(before))
    file.seek(0)
    assert read_header(file, "x") == (raw, (6 << 30) + 40)
    assert file.tell() == len(before) - 40


def test_odd_data_get_their_padding_byte() -> None:
    file = io.BytesIO()
    sink = PcmSink(file, RawFormat("s24le", 8000), header=True, patchable=True)
    assert sink.write(BLOCK) == 0
    sink.finish()
    data = file.getvalue()
    assert len(data) % 2 == 0
    assert int.from_bytes(data[4:8], "little") == len(data) - 8
    file.seek(0)
    assert read_header(file, "x").data_bytes == 9
    np.testing.assert_array_equal(soundfile.read(io.BytesIO(data))[0], BLOCK[0])


def test_a_pipe_gets_its_header_first_and_every_block_at_once() -> None:
    flushed: list[int] = []

    class Pipe(io.BytesIO):
        def flush(self) -> None:
            flushed.append(len(self.getvalue()))

        def seek(self, *_: int) -> int:
            raise OSError("a pipe cannot seek")

    pipe = Pipe()
    sink = PcmSink(pipe, RawFormat("s16le", 8000), header=True, patchable=False)
    sink.write(BLOCK)
    sink.write(BLOCK)
    sink.finish()
    assert flushed[:2] == [44 + 6, 44 + 12]
    np.testing.assert_array_equal(np.frombuffer(pipe.getvalue()[44:], "<i2"), [16384, -16384, 8192] * 2)


def test_without_a_header_only_samples_are_written() -> None:
    file = io.BytesIO()
    sink = PcmSink(file, RawFormat("s16le", 8000), header=False, patchable=True)
    sink.write(BLOCK)
    sink.finish()
    assert file.getvalue() == np.array([16384, -16384, 8192], "<i2").tobytes()


@pytest.mark.parametrize(
    ("suffix", "encoding"), [(s, e) for s, kind in KINDS.items() if s != ".wav" for e in kind.subtypes]
)
def test_every_encoding_of_every_kind_is_what_libsndfile_finds(tmp_path: Path, suffix: str, encoding: str) -> None:
    kind, path = KINDS[suffix], tmp_path / f"a{suffix}"
    with path.open("x+b") as file:
        sink = SoundSink(file, kind, encoding, 24000, 1)
        assert sink.write(np.repeat(BLOCK, 4000, axis=1) * 4) == (0 if encoding == "float32" else 8000)
        sink.finish()
        sink.close()
    found = soundfile.info(path)
    assert (found.format, found.subtype, found.frames) == (kind.format, kind.subtypes[encoding], 12000)
    if not encoding.startswith("float"):
        assert np.abs(soundfile.read(path)[0]).max() < 1.5  # clipped before it was coded


@pytest.mark.parametrize("suffix", [".flac", ".opus", ".mp3"])
def test_kinds_that_cannot_be_empty_say_so(tmp_path: Path, suffix: str) -> None:
    with (tmp_path / "a").open("x+b") as file:
        sink = SoundSink(file, KINDS[suffix], next(iter(KINDS[suffix].subtypes)), 24000, 1)
        with pytest.raises(InputError, match=rf"(?i)kind {suffix[1:]} cannot hold zero samples; write .wav instead"):
            sink.finish()


def test_aiff_stops_before_its_lengths_run_over(tmp_path: Path) -> None:
    with (tmp_path / "a").open("x+b") as file:
        sink = SoundSink(file, KINDS[".aiff"], "float32", 24000, 1)
        sink._frames = (1 << 30) - 1024
        with pytest.raises(InputError, match=r"AIFF holds less than 4 GB; write .wav or .flac"):
            sink.write(BLOCK)
        sink.close()


def test_vorbis_takes_minutes_at_once(tmp_path: Path) -> None:
    with (tmp_path / "a").open("x+b") as file:  # handed over whole, this many samples crash some libsndfile builds
        sink = SoundSink(file, KINDS[".ogg"], "vorbis", 8000, 1)
        sink.write(np.zeros((1, 2_000_000), np.float32))
        sink.finish()
    assert soundfile.info(tmp_path / "a").frames == 2_000_000
