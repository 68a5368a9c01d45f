"""legacy: one door for three formats, no file too hostile for it, and the packages that own the formats agree."""

from __future__ import annotations

import importlib
import io
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from makers import beside_packages

from nacre.codes import Codes
from nacre.container import legacy
from nacre.errors import InputError, NacreError

GOLDEN = Path(__file__).parent / "golden" / "legacy"
FILES = sorted(path for path in GOLDEN.iterdir() if path.suffix in (".nac", ".ecdc", ".dac"))
KINDS = {".nac": "nac0", ".ecdc": "ecdc", ".dac": "dac"}


def rewrite(file: legacy.LegacyFile) -> bytes:
    if file.kind == "dac":
        return legacy.write_dac(file.codes, file.metadata)
    return legacy.write_ecdc(file.codes) if file.kind == "ecdc" else legacy.write_nac0(file.codes)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_any_golden_file_is_recognised_read_and_written(path: Path) -> None:
    file = legacy.read(path)
    assert file.kind == legacy.sniff(path.read_bytes()[:6]) == KINDS[path.suffix]
    assert legacy.CODECS[file.codes.info.name] == file.codes.info
    again = legacy.read(io.BytesIO(rewrite(file)))
    assert again.codes == file.codes
    assert again.metadata.items() >= file.metadata.items()
    assert all(isinstance(value, str | int | float | tuple | None) for value in file.metadata.values())


def test_all_three_formats_have_golden_files() -> None:
    assert {path.suffix for path in FILES} == set(KINDS)
    assert sum(path.stat().st_size for path in GOLDEN.iterdir() if path.is_file()) < 200_000


def test_only_a_chunked_dac_has_windows() -> None:
    windows = {path.name: legacy.read(path).window for path in FILES}
    assert {name: window for name, window in windows.items() if window} == {"chunked-stereo.dac": 24}


def test_the_table_has_the_bitrates_that_the_codecs_claim() -> None:
    claims = {
        "encodec-24k": 24000,
        "encodec-48k": 24000,
        "dac-16k": 6000,
        "dac-24k": 24000,
        "dac-44k": 7752,
        "dac-44k-16kbps": 15504,
        "nac-2023": 24000,
        "lyra-v2": 9200,
    }
    assert {name: round(info.bitrate()) for name, info in legacy.CODECS.items()} == claims


@pytest.mark.parametrize("first", [b"", b"N", b"NAC", b"NAC\x01", b"ECD", b"ecdc", b"\x93NUMP", b"RIFF", b"PK\3\4"])
def test_anything_else_is_not_ours(first: bytes) -> None:
    assert legacy.sniff(first) is None
    with pytest.raises(InputError, match="starts with"):
        legacy.read(io.BytesIO(first + b"\0" * 40 if len(first) > 4 else first))


def test_a_path_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    for path in (tmp_path / "none.ecdc", tmp_path):
        with pytest.raises(InputError, match=r"does not exist|cannot be read"):
            legacy.read(str(path))


class Endless(io.RawIOBase):
    """A file that never ends."""

    def __init__(self) -> None:
        self.given = 0

    def read(self, size: int = -1) -> bytes:
        self.given += size
        return bytes(size)


def test_a_file_without_end_is_left_at_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(legacy, "MAX_FILE", 3 << 20)
    endless = Endless()
    with pytest.raises(InputError, match="at most 3 MiB"):
        legacy.read(endless)  # type: ignore[arg-type]
    assert endless.given == 4 << 20


class Drip(io.BytesIO):
    """A pipe that hands out a few bytes at a time."""

    def read(self, size: int | None = -1) -> bytes:
        return super().read(7)


@pytest.mark.parametrize("path", FILES[:3], ids=lambda path: path.name)
def test_a_pipe_may_give_less_than_asked(path: Path) -> None:
    assert legacy.read(Drip(path.read_bytes())).codes == legacy.read(path).codes


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_file_cut_anywhere_is_an_error(path: Path) -> None:
    data = path.read_bytes()
    step = 1 if len(data) < 2000 else 61
    # a .nac of 2023 cannot know how many blocks it had, nor whether whole frames of a first block are all of a sound
    likely = {len(data) - 750, len(data) - 1500, *(13 + -(-60 * k // 8) for k in range(1, 100))}
    for size in set(range(0, len(data), step)) - (likely if path.name == "null.nac" else set()):
        with pytest.raises(NacreError):
            legacy.read(io.BytesIO(data[:size]))


@given(st.sampled_from(FILES), st.data())
def test_any_damage_ends_in_codes_or_an_error_and_takes_no_memory(path: Path, data: st.DataObject) -> None:
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, min(len(content), 700) - 1) | st.integers(0, len(content) - 1))
        content[at] = data.draw(st.integers(0, 255))
    tracemalloc.start()
    try:
        with suppress(NacreError):
            codes = legacy.read(io.BytesIO(bytes(content))).codes
            assert isinstance(codes, Codes)
            assert codes.length <= (codes.frames + 1) * codes.info.hop
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()


def test_no_unpickler_is_near() -> None:
    code = (
        "import builtins, pickle, sys\n"
        "def stop(*_, **__): raise SystemExit('unpickled')\n"
        "pickle.load = pickle.loads = pickle.Unpickler = stop\n"
        "sys.modules['torch'] = None\n"
        "from nacre.container import legacy\n"
        f"for path in {[str(path) for path in FILES]!r}: legacy.read(path)\n"
        "print('read')\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (result.returncode, result.stdout) == (0, "read\n"), result.stderr


# With the packages that own the formats, where they are installed (see golden/legacy/make.py).


@pytest.fixture(scope="module")
def maker() -> Iterator[ModuleType]:
    """The script that made the golden files."""
    with beside_packages() as made:
        yield made


def official(package: str) -> Any:
    """The package, or a skip when it or something it needs is not installed."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        pytest.skip(f"{package} is not installed here: {error}")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("name", "bandwidth", "lengths"),
    [("encodec_24khz", 3.0, [1, 319, 320, 321, 6720, 9280]), ("encodec_48khz", 3.0, [1, 6720, 47600])],
)
def test_encodec_and_we_agree(maker: ModuleType, name: str, bandwidth: float, lengths: list[int]) -> None:
    import torch

    compress = official("encodec").compress
    model = maker.encodec_model(name, bandwidth)
    for length in lengths:
        wave = maker.wave(model.channels, length, model.sample_rate)
        data = compress(model, wave, use_lm=False)
        codes = legacy.read(io.BytesIO(data)).codes
        with torch.no_grad():
            frames = model.encode(wave[None])
        for i, (segment, scale) in enumerate(frames):
            mine = np.concatenate(codes.levels)[:, i * codes.info.segment :][:, : segment.shape[2]]
            assert np.array_equal(mine, segment[0].numpy())
            assert scale is None or (codes.scale is not None and codes.scale[0, i] == np.float32(scale.item()))
        assert legacy.write_ecdc(codes) == data


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("sample_rate", "rates", "codebooks", "name"),
    [(44100, [2, 4, 8, 8], 9, "dac-44k"), (24000, [2, 4, 5, 8], 32, "dac-24k"), (16000, [2, 4, 5, 8], 12, "dac-16k")],
)
def test_dac_and_we_agree(
    maker: ModuleType, tmp_path: Path, sample_rate: int, rates: list[int], codebooks: int, name: str
) -> None:
    dac, audiotools = official("dac"), official("audiotools")
    model = maker.dac_model(sample_rate, rates, codebooks)
    for channels, input_rate, length, window in (
        (1, sample_rate, 11111, 1.0),
        (2, 48000, 40000, 0.8),
        (1, 22050, 30000, 5),
    ):
        signal = audiotools.AudioSignal(maker.wave(channels, length, input_rate)[None], input_rate)
        theirs = model.compress(signal, win_duration=window)
        theirs.save(tmp_path / "theirs.dac")
        file = legacy.read(tmp_path / "theirs.dac")
        assert file.codes.info.name == name
        assert np.array_equal(np.stack(file.codes.levels, axis=1), theirs.codes.numpy())
        assert file.window == (0 if theirs.padding else theirs.chunk_length)
        (tmp_path / "ours.dac").write_bytes(legacy.write_dac(file.codes, file.metadata))
        ours = dac.DACFile.load(tmp_path / "ours.dac")
        assert bool((ours.codes == theirs.codes).all()) and np.array_equal(ours.input_db, theirs.input_db.numpy())
        for field in ("original_length", "sample_rate", "chunk_length", "channels", "padding", "dac_version"):
            assert getattr(ours, field) == getattr(theirs, field)
