"""Where sound comes from: files, pipes and streams of every kind, whole, cut short, and hostile."""

from __future__ import annotations

import io
import os
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from nacre import audio
from nacre.audio.pcm import wav_header
from nacre.errors import DamagedError, InputError, NacreError

KINDS = ["wav", "flac", "ogg", "opus", "mp3", "aiff", "au", "ulaw.wav"]
FRAMES = 30_000


def voice(frames: int = FRAMES) -> NDArray[np.float32]:
    t = np.arange(frames) / 24000
    noise = np.random.default_rng(0).standard_normal(frames) * (t > 0.5)  # makes a variable-rate MP3 vary
    return np.float32(0.3 * np.sin(2 * np.pi * (200 + 100 * t) * t) + 0.1 * noise)[None, None]


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """One file of each kind, as bytes."""
    folder, found = tmp_path_factory.mktemp("sounds"), {}
    for kind in KINDS:
        path = folder / f"a.{kind}"
        if kind == "ulaw.wav":
            soundfile.write(path, voice()[0, 0], 24000, "ULAW")
        elif kind == "au":
            soundfile.write(path, voice()[0, 0], 24000)
        elif kind == "mp3":
            soundfile.write(path, voice()[0, 0], 24000, bitrate_mode="VARIABLE", compression_level=0.5)
        else:
            audio.write(path, voice(), 24000)
        found[kind] = path.read_bytes()
    return found


@contextmanager
def pipe(data: bytes) -> Iterator[str]:
    """The path of a real pipe that `data` comes through."""
    out, into = os.pipe()

    def fill() -> None:
        try:
            with os.fdopen(into, "wb") as file:
                file.write(data)
        except BrokenPipeError:
            pass

    thread = threading.Thread(target=fill)
    thread.start()
    try:
        yield f"/dev/fd/{out}"
    finally:
        os.close(out)
        thread.join(10)
        assert not thread.is_alive()


@pytest.mark.parametrize("kind", KINDS)
def test_a_pipe_gives_what_the_file_gives(tmp_path: Path, sounds: dict[str, bytes], kind: str) -> None:
    path = tmp_path / "no-suffix"
    path.write_bytes(sounds[kind])
    from_file = audio.read(path)
    with pipe(sounds[kind]) as name:
        from_pipe = audio.read(name)
    np.testing.assert_array_equal(from_pipe.samples, from_file.samples)
    np.testing.assert_array_equal(audio.read(io.BytesIO(sounds[kind])).samples, from_file.samples)
    assert from_file.samples.shape == (1, 1, FRAMES)
    assert from_pipe.sample_rate == 24000


@pytest.mark.parametrize("kind", ["wav", "mp3", "flac"])
def test_a_pipe_may_be_left_in_the_middle(sounds: dict[str, bytes], kind: str) -> None:
    with pipe(sounds[kind] * 20) as name, audio.open_audio(name) as reader:
        assert next(reader.blocks(0.1)).shape == (1, 1, 2400)


def headless_mp3(data: bytes) -> bytes:
    """What lame writes on a pipe: no first frame that tells the length."""
    assert b"Xing" in data[:200]
    return data[data.find(data[:2], 10) :]


def test_an_mp3_without_a_length_is_read_to_its_end(tmp_path: Path, sounds: dict[str, bytes]) -> None:
    path = tmp_path / "a.mp3"
    path.write_bytes(headless_mp3(sounds["mp3"]))
    assert soundfile.info(path).frames < FRAMES / 2  # what libsndfile believes of the file, and would stop at
    got = audio.read(path).samples
    assert FRAMES <= got.shape[2] < FRAMES + 3 * 1152  # with the coder's delay and padding, which nothing declares
    with audio.open_audio(path) as reader:
        assert reader.frames is None


@pytest.mark.parametrize("kind", ["mp3", "flac"])
def test_tags_with_pictures_are_passed_over(tmp_path: Path, sounds: dict[str, bytes], kind: str) -> None:
    tag = b"ID3\x03\0\0" + bytes([0, 40, 0, 0]) + bytes(40 << 14)
    whole = audio.read(io.BytesIO(sounds[kind])).samples
    np.testing.assert_array_equal(audio.read(io.BytesIO(tag + tag + sounds[kind])).samples, whole)
    (tmp_path / "a").write_bytes(tag + sounds[kind])
    np.testing.assert_array_equal(audio.read(tmp_path / "a").samples, whole)


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFF000])
@pytest.mark.parametrize("spare", [0, 1])
def test_a_wav_of_unknown_length_goes_on_to_the_end(tmp_path: Path, size: int, spare: int) -> None:
    header = wav_header(audio.RawFormat("s16le", 8000, 2))
    data = header[:4] + bytes(4) + header[8:40] + struct.pack("<I", size) + struct.pack("<6h", *range(6)) + bytes(spare)
    (tmp_path / "a.wav").write_bytes(data)
    wanted = np.array([[[0, 2, 4], [1, 3, 5]]], np.float32) / 32768
    with audio.open_audio(tmp_path / "a.wav") as reader:
        assert reader.frames == 3  # a file knows its size
        np.testing.assert_array_equal(reader.read().samples, wanted)
    with pipe(data) as name, audio.open_audio(name) as reader:
        assert reader.frames is None
        np.testing.assert_array_equal(reader.read().samples, wanted)


@pytest.mark.parametrize("encoding", ["s16le", "s24le", "s32le", "f32le"])
def test_raw_samples_need_their_format(tmp_path: Path, encoding: str) -> None:
    raw = audio.RawFormat(encoding, 16000, 2)
    stereo = np.stack([voice(500)[0, 0], -voice(500)[0, 0]])
    audio.write(tmp_path / "a.raw", stereo, 16000, raw=raw)
    data = (tmp_path / "a.raw").read_bytes()
    assert len(data) == 500 * raw.frame_bytes
    from_file = audio.read(tmp_path / "a.raw", raw=raw)
    np.testing.assert_allclose(from_file.samples[0], stereo, atol=2**-16)
    assert audio.duration(tmp_path / "a.raw", raw=raw) == 500 / 16000
    with pipe(data) as name:
        np.testing.assert_array_equal(audio.read(name, raw=raw).samples, from_file.samples)
    with pytest.raises(InputError, match="state the format of raw samples"):
        audio.read(io.BytesIO(data))
    with pytest.raises(DamagedError, match=f"ends inside a sample; .*not {encoding} with 2 channel"):
        audio.read(io.BytesIO(data[:-1]), raw=raw)
    (tmp_path / "a.raw").write_bytes(data[:-1])
    with pytest.raises(DamagedError, match="ends inside a sample"):
        audio.read(tmp_path / "a.raw", raw=raw)


def test_surround_in_ogg_comes_in_the_order_of_wav(tmp_path: Path) -> None:
    loud = np.array([1, 2, 3, 0, 5, 6])[:, None] / 10  # the low channel is filtered by the coder: leave it silent
    wave = np.float32(loud * np.sin(np.arange(24000) / 20))[None]
    audio.write(tmp_path / "a.ogg", wave, 24000)
    levels = np.sqrt(2 * np.mean(audio.read(tmp_path / "a.ogg").samples[0] ** 2, axis=1))
    np.testing.assert_allclose(levels, loud[:, 0], atol=0.02)
    inside = soundfile.read(tmp_path / "a.ogg")[0].T  # as it lies in the file
    np.testing.assert_allclose(np.sqrt(2 * np.mean(inside**2, axis=1)), [0.1, 0.3, 0.2, 0.5, 0.6, 0], atol=0.02)


def test_what_is_not_there_or_no_sound_says_so(tmp_path: Path) -> None:
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "text.wav").write_text("Once upon a time there was a codec. " * 100)
    (tmp_path / "film.avi").write_bytes(b"RIFF" + struct.pack("<I", 5004) + b"AVI " + bytes(5000))
    (tmp_path / "zeros.mp3").write_bytes(bytes(5000))
    for name, said in [
        ("none.wav", "none.wav does not exist; check the name"),
        ("empty.wav", "empty.wav is empty; expected a sound file"),
        ("text.wav", "text.wav is not a sound file that can be read here; expected WAV, FLAC"),
        ("zeros.mp3", "zeros.mp3 is not a sound file"),
        (".", "cannot be read: Is a directory"),
        ("a\0b", "cannot be read: .*null byte"),
    ]:
        with pytest.raises(InputError, match=said):
            audio.open_audio(tmp_path / name)
    with pytest.raises(NacreError, match=r"film.avi .*cannot be read"):
        audio.open_audio(tmp_path / "film.avi")
    with pytest.raises(InputError, match="the stream is empty"):
        audio.read(io.BytesIO())
    with pytest.raises(InputError, match="the stream is not sound of a known kind"):
        audio.read(io.BytesIO(b"Once upon a time"))


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    class Broken(io.RawIOBase):
        def read(self, count: int = -1, /) -> bytes:
            raise OSError(5, "Input/output error")

    with pytest.raises(InputError, match="the stream cannot be read: Input/output error"):
        audio.read(Broken())  # type: ignore[arg-type]


# the length of an .au is optional, and libsndfile does not check it
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "au"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_a_file_cut_short_is_never_taken_for_whole(
    tmp_path: Path, sounds: dict[str, bytes], kind: str, share: float
) -> None:
    data = sounds[kind]
    cut = data[: max(13, int(len(data) * share))]
    (tmp_path / "a").write_bytes(cut)
    with pytest.raises(NacreError, match=r"a (was cut short|ends inside|is damaged|begins like|is not a sound)"):
        audio.read(tmp_path / "a")
    with pytest.raises(NacreError, match="the stream"):
        audio.read(io.BytesIO(cut))


@pytest.mark.parametrize("kind", ["wav", "flac", "ogg", "aiff", "ulaw.wav"])
def test_hostile_bytes_end_in_sound_or_in_a_plain_error(
    tmp_path_factory: pytest.TempPathFactory, sounds: dict[str, bytes], kind: str
) -> None:
    path = tmp_path_factory.getbasetemp() / f"hostile.{kind}"

    @settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
    @given(
        st.lists(st.tuples(st.integers(0, 300) | st.integers(0, 10**6), st.binary(min_size=1, max_size=4)), max_size=6)
    )
    def attack(flips: list[tuple[int, bytes]]) -> None:
        data = bytearray(sounds[kind][:9000])
        for place, new in flips:
            place %= len(data)
            data[place : place + len(new)] = new
        path.write_bytes(data)
        for source in (path, io.BytesIO(data)):
            try:
                total, bound = 0, 10**7
                with audio.open_audio(source) as reader:
                    for block in reader.blocks(0.5):
                        assert np.isfinite(block).all()
                        total += block.size
                assert total < bound
            except NacreError as error:
                assert str(error)[0] in "t/"  # begins with the name: "the stream", or the path

    attack()


def test_random_bytes_after_a_true_beginning_end_plainly(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for magic in (
        b"RIFF\xff\0\0\0WAVE",
        b"RF64\xff\xff\xff\xffWAVE",
        b"fLaC",
        b"OggS\0\2",
        b"FORM\0\0\0\0AIFF",
        b"caff",
    ):
        for length in (0, 10, 100, 3000):
            (tmp_path / "a").write_bytes(magic + rng.bytes(length))
            with pytest.raises(NacreError):
                audio.read(tmp_path / "a")


class Breaking(io.BytesIO):
    """A stream whose disk fails after its last byte."""

    def read(self, count: int | None = -1, /) -> bytes:
        data = super().read(count)
        if not data:
            raise OSError(5, "Input/output error")
        return data


def test_a_stream_that_breaks_is_not_one_that_ends(sounds: dict[str, bytes]) -> None:
    with pytest.raises(InputError, match="the stream cannot be read: Input/output error"):
        audio.read(Breaking(sounds["mp3"]))


class Ending(io.BytesIO):
    """A stream of somebody else's, which fails in its own way."""

    def read(self, count: int | None = -1, /) -> bytes:
        data = super().read(count)
        if not data:
            raise EOFError("compressed file ended early")
        return data


@pytest.mark.parametrize("kind", ["mp3", "flac"])
def test_what_a_callers_stream_raises_reaches_the_caller(sounds: dict[str, bytes], kind: str) -> None:
    with pytest.raises(EOFError, match="compressed file ended early"):
        audio.read(Ending(sounds[kind]))


def test_an_mp3_from_a_pipe_that_stays_open_can_be_left(tmp_path: Path, sounds: dict[str, bytes]) -> None:
    os.mkfifo(tmp_path / "live.mp3")
    left = threading.Event()

    def play() -> None:
        with (tmp_path / "live.mp3").open("wb") as file:
            file.write(3 * sounds["mp3"])
            file.flush()
            left.wait(60)

    def hear() -> None:
        with audio.open_audio(tmp_path / "live.mp3") as reader:
            next(reader.blocks(0.1))

    player, listener = (threading.Thread(target=each, daemon=True) for each in (play, hear))
    player.start()
    listener.start()
    listener.join(30)
    stuck = listener.is_alive()
    left.set()
    player.join(30)
    assert not stuck
