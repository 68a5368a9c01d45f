from __future__ import annotations

from pathlib import Path

import pytest

from nacre import audio, models
from nacre.cli.demonstration import RATES, Coded, rows, run
from nacre.cli.display import aligned
from nacre.errors import InputError


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Coded]]:
    folder = tmp_path_factory.mktemp("demo") / "new" / "folder"
    return folder, run(folder)


def test_everything_is_there_to_hear_and_see(made: tuple[Path, list[Coded]]) -> None:
    folder, results = made
    coded = [f"pearl-{rate}" for rate in RATES]
    names = [f"{name}.{kind}" for name in coded for kind in ("nac", "wav")]
    assert sorted(path.name for path in folder.iterdir()) == sorted([*names, "original.wav", "spectrogram.png"])
    assert [each.file for each in results] == ["original.wav", *(f"{name}.nac" for name in coded)]
    sample = audio.read(models.SAMPLE)
    for name in ("original", *coded):
        sound = audio.read(folder / f"{name}.wav")
        assert (sound.samples.shape, sound.sample_rate) == (sample.samples.shape, sample.sample_rate)


def test_what_is_there_is_not_overwritten(made: tuple[Path, list[Coded]]) -> None:
    folder, _ = made
    with pytest.raises(InputError, match=r"holds original.wav already; .*--force"):
        run(folder)
    assert run(folder, overwrite=True)[0].file == "original.wav"


def test_figures_are_those_of_the_files(made: tuple[Path, list[Coded]]) -> None:
    folder, (original, *coded) = made
    seconds = audio.duration(models.SAMPLE)
    for each, rate in zip(coded, RATES, strict=True):
        assert each.bytes == (folder / each.file).stat().st_size
        assert each.share == each.bytes / original.bytes
        assert each.bitrate == pytest.approx(8 * each.bytes / seconds, rel=1e-3)
        assert each.bitrate < 1.1 * rate  # header and framing of a short file
        assert each.encode > 0 and each.decode > 0


def test_a_table_of_it() -> None:
    table = rows([Coded("original.wav", 280000, 384000.0), Coded("a.nac", 1000, 1370.0, 1 / 280, 101.4, 99.0)])
    assert aligned(table, right=(1, 2, 3, 4, 5)) == [
        "file           bytes    kbps  of the wav  encode  decode",
        "original.wav  280000  384.00",
        "a.nac           1000    1.37       1/280   101 x    99 x",
    ]


def test_a_folder_that_cannot_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="name another"):
        run(tmp_path / "file")
