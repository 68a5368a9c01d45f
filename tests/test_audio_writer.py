"""Writing: a whole file or none, whatever goes wrong; clipping counted, NaN refused."""

from __future__ import annotations

import io
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from nacre import audio
from nacre.errors import InputError

SUFFIXES = ["wav", "flac", "ogg", "opus", "mp3", "aiff"]
TONE = np.sin(np.arange(24000) / 9).astype(np.float32)[None, None]


def script(code: str, *arguments: str) -> list[str]:
    return [sys.executable, "-c", "import sys\nimport numpy as np\nfrom nacre import audio\n" + code, *arguments]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, InputError])
def test_an_exception_leaves_nothing(tmp_path: Path, suffix: str, error: type[BaseException]) -> None:
    with pytest.raises(error), audio.AudioWriter(tmp_path / f"a.{suffix}", 24000) as writer:
        writer.write(TONE)
        assert len(list(tmp_path.iterdir())) == 1  # the hidden one
        assert not (tmp_path / f"a.{suffix}").exists()
        raise error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_an_exception_leaves_what_was_there(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(b"before")
    with pytest.raises(RuntimeError), audio.AudioWriter(path, 24000, overwrite=True) as writer:
        writer.write(TONE)
        raise RuntimeError
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("suffix", ["wav", "mp3"])
def test_control_c_leaves_nothing(tmp_path: Path, suffix: str) -> None:
    code = """
with audio.AudioWriter(sys.argv[1], 24000) as writer:
    print("writing", flush=True)
    while True:
        writer.write(np.zeros((1, 2400), np.float32))
"""
    process = subprocess.Popen(
        script(code, str(tmp_path / f"a.{suffix}")),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # ignored where tests run in the background
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"writing\n"
        time.sleep(0.1)
        assert len(list(tmp_path.iterdir())) == 1
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()  # or it would write until the disk is full
    assert b"KeyboardInterrupt" in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_full_disk_is_a_plain_error_and_leaves_nothing(tmp_path: Path, suffix: str) -> None:
    code = """
import resource
from nacre.errors import InputError
resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
noise = np.random.default_rng(0).uniform(-1, 1, (1, 480000)).astype(np.float32)
try:
    audio.write(sys.argv[1], noise, 24000)
except InputError as error:
    print(error)
"""
    path = tmp_path / f"a.{suffix}"
    done = subprocess.run(script(code, str(path)), capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.startswith(f"{path} cannot be written: ")
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten_unasked(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    audio.write(path, TONE, 24000)
    before = path.read_bytes()
    with pytest.raises(InputError, match=r"a.wav exists; choose another name or allow overwriting"):
        audio.write(path, TONE[:, :, :5], 24000)
    assert path.read_bytes() == before
    audio.write(path, TONE[:, :, :5], 24000, overwrite=True)
    assert audio.read(path).samples.shape == (1, 1, 5)


def test_a_file_that_came_up_meanwhile_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    with pytest.raises(InputError, match="exists"), audio.AudioWriter(path, 24000) as writer:
        writer.write(TONE)
        path.write_bytes(b"theirs")
    assert path.read_bytes() == b"theirs"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    link = tmp_path / "link.wav"
    link.symlink_to(tmp_path / "real" / "a.wav")
    audio.write(link, TONE, 24000)
    assert link.is_symlink()
    assert audio.read(tmp_path / "real" / "a.wav").samples.shape == TONE.shape


def test_rights_are_those_of_any_new_file(tmp_path: Path) -> None:
    audio.write(tmp_path / "a.wav", TONE, 24000)
    (tmp_path / "b").touch()
    assert stat.S_IMODE((tmp_path / "a.wav").stat().st_mode) == stat.S_IMODE((tmp_path / "b").stat().st_mode)


def test_blocks_add_up_to_the_whole(tmp_path: Path) -> None:
    for suffix in SUFFIXES:
        audio.write(tmp_path / f"a.{suffix}", TONE, 24000)
        with audio.AudioWriter(tmp_path / f"b.{suffix}", 24000) as writer:
            for size in (0, 1, 4096, 9999, 9904):
                writer.write(TONE[:, :, writer.frames : writer.frames + size])
        assert writer.frames == 24000
        a, b = (audio.read(tmp_path / f"{name}.{suffix}").samples for name in "ab")
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("suffix", "encoding"), [("wav", "int16"), ("flac", "int24"), ("aiff", "int32"), ("ogg", None)]
)
def test_clipping_is_counted(tmp_path: Path, suffix: str, encoding: str | None) -> None:
    wave = np.zeros((1, 2, 3000), np.float32)
    wave[0, 0, 5:8], wave[0, 1, 2000], wave[0, 1, 2001] = 1.5, -1.01, -1.0
    assert audio.write(tmp_path / f"a.{suffix}", wave, 24000, encoding=encoding) == 4


def test_floats_are_not_clipped(tmp_path: Path) -> None:
    assert audio.write(tmp_path / "a.wav", TONE * 3, 24000, encoding="float32") == 0
    np.testing.assert_array_equal(audio.read(tmp_path / "a.wav").samples, TONE * 3)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_broken_samples_are_refused_with_their_time(tmp_path: Path, value: float) -> None:
    bad = TONE.copy()
    bad[0, 0, 12000] = value
    with (
        pytest.raises(InputError, match=r"the sound for .*a.wav holds a NaN.* at 1\.500 s \(sample 36000\)"),
        audio.AudioWriter(tmp_path / "a.wav", 24000) as writer,
    ):
        writer.write(TONE)
        writer.write(bad)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "rate", "channels", "encoding", "said"),
    [
        ("a.xyz", 24000, 1, None, r"a.xyz: the kind of file is not known by its suffix; use one of .wav .flac"),
        ("a.flac", 24000, 1, "float32", "can hold samples as int16, int24, not as float32"),
        ("a.opus", 44100, 1, None, "cannot hold 44100 Hz, only 8000, 12000, 16000, 24000, 48000 Hz; resample first"),
        ("a.mp3", 24000, 3, None, "can hold up to 2 channels, not 3"),
        ("a.wav", 24000, 0, None, "expected 1 to 64 channels, got 0"),
        ("none/a.wav", 24000, 1, None, "the folder .*none does not exist"),
        ("folder.wav", 24000, 1, None, "is not a plain file; use - to write to a pipe"),
        ("a\0.wav", 24000, 1, None, "cannot be written: .*null"),
    ],
)
def test_what_cannot_be_written_is_said_at_once(
    tmp_path: Path, name: str, rate: int, channels: int, encoding: str | None, said: str
) -> None:
    (tmp_path / "folder.wav").mkdir()
    with pytest.raises(InputError, match=said):
        audio.AudioWriter(tmp_path / name, rate, channels, encoding=encoding)


def test_a_raw_format_must_fit(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"raw samples go out as s16le, 1 channel\(s\) at 8000 Hz"):
        audio.write(tmp_path / "a.raw", TONE, 24000, raw=audio.RawFormat("s16le", 8000))


def test_a_writer_wants_a_with_statement(tmp_path: Path) -> None:
    writer = audio.AudioWriter(tmp_path / "a.wav", 24000)
    with pytest.raises(InputError, match="is used in a with statement"):
        writer.write(TONE)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("encoding", ["s16le", "s24le", "s32le", "f32le"])
def test_standard_output_carries_raw_samples(encoding: str) -> None:
    code = """
wave = np.array([[0.5, -0.5, 0.25]], np.float32)
audio.write("-", wave, 8000, raw=audio.RawFormat(sys.argv[1], 8000))
"""
    done = subprocess.run(script(code, encoding), capture_output=True, timeout=60, check=True)
    got = audio.read(io.BytesIO(done.stdout), raw=audio.RawFormat(encoding, 8000))
    assert got.samples.tolist() == [[[0.5, -0.5, 0.25]]]


def test_a_listener_who_leaves_is_a_plain_error() -> None:
    code = """
from nacre.errors import InputError
try:
    with audio.AudioWriter("-", 8000) as writer:
        while True:
            writer.write(np.zeros((1, 8000), np.float32))
except InputError as error:
    print(error, type(error.__cause__).__name__, file=sys.stderr)
    import os
    os._exit(1)
"""
    process = subprocess.Popen(script(code), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.read(100)[:4] == b"RIFF"
    process.stdout.close()
    assert process.stderr.read() == b"standard output cannot be written: Broken pipe BrokenPipeError\n"
    process.stderr.close()
    assert process.wait(60) == 1


def test_a_terminal_gets_no_samples() -> None:
    code = """
from nacre.errors import InputError
try:
    audio.write("-", np.zeros((1, 8), np.float32), 8000)
except InputError as error:
    print(error)
"""
    ours, theirs = os.openpty()
    subprocess.run(script(code), stdout=theirs, timeout=60, check=True)
    os.close(theirs)
    assert os.read(ours, 1000).startswith(b"standard output is a terminal; send it to a file")
    os.close(ours)
