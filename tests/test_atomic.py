"""A file is there whole or not at all."""

from __future__ import annotations

import os
import resource
import stat
from pathlib import Path

import pytest

from nacre import InputError
from nacre.atomic import WholeFile, whole_folder, write_whole


def test_it_appears_when_kept(tmp_path: Path) -> None:
    target = tmp_path / "a"
    whole = WholeFile(target)
    whole.open().write(b"all of it")
    assert not target.exists()
    whole.keep()
    assert target.read_bytes() == b"all of it"
    whole.drop()  # after keep there is nothing to drop
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_block_keeps_what_it_wrote_unless_it_fails(tmp_path: Path) -> None:
    with WholeFile(tmp_path / "a") as file:
        file.write(b"all of it")
    with pytest.raises(ZeroDivisionError), WholeFile(tmp_path / "b") as file:
        file.write(b"half")
        1 / 0  # noqa: B018
    assert [path.name for path in tmp_path.iterdir()] == ["a"] and (tmp_path / "a").read_bytes() == b"all of it"


def test_bytes_are_written_at_once(tmp_path: Path) -> None:
    write_whole(tmp_path / "a", b"first")
    with pytest.raises(InputError, match="exists"):
        write_whole(tmp_path / "a", b"second")
    assert (tmp_path / "a").read_bytes() == b"first"
    write_whole(tmp_path / "a", b"second", overwrite=True)
    assert (tmp_path / "a").read_bytes() == b"second" and len(list(tmp_path.iterdir())) == 1


def test_nothing_is_left_when_dropped(tmp_path: Path) -> None:
    target = tmp_path / "a"
    target.write_bytes(b"old")
    whole = WholeFile(target, overwrite=True)
    whole.open().write(b"half")
    whole.drop()
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert target.read_bytes() == b"old"


@pytest.mark.parametrize("size", [5000, 50_000], ids=["refused on closing", "refused on writing"])
def test_a_full_disk_leaves_nothing(tmp_path: Path, size: int) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))  # no file may grow beyond
    try:
        with pytest.raises(InputError, match="a cannot be written: File too large"), WholeFile(tmp_path / "a") as file:
            file.write(bytes(size))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_what_waits_to_be_written_does_not_keep_the_file(tmp_path: Path, error: type[BaseException]) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(error), WholeFile(tmp_path / "a") as file:
            file.write(bytes(5000))
            raise error
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(tmp_path.iterdir())


def test_one_that_was_never_opened_leaves_nothing(tmp_path: Path) -> None:
    whole = WholeFile(tmp_path / "a")
    whole.keep()
    whole.drop()
    assert not list(tmp_path.iterdir())


def test_a_link_stays_and_what_it_names_changes(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    whole = WholeFile(tmp_path / "link", overwrite=True)
    whole.open().write(b"new")
    whole.keep()
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"


def test_somebody_elses_file_is_not_replaced(tmp_path: Path) -> None:
    target = tmp_path / "a"
    whole = WholeFile(target)
    whole.open().write(b"ours")
    target.write_bytes(b"theirs")
    with pytest.raises(InputError, match="exists; choose another name"):
        whole.keep()
    whole.drop()
    assert target.read_bytes() == b"theirs"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("taken", "taken exists; choose another name or allow overwriting"),
        (".", "is not a plain file; use - to write to a pipe"),
        ("none/a", "the folder .*none does not exist"),
        ("a\0b", "cannot be written"),
        ("x" * 300, "cannot be written"),
    ],
)
def test_names_that_cannot_be_are_told(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "taken").touch()
    with pytest.raises(InputError, match=message):
        WholeFile(os.path.join(tmp_path, name)).open()


def test_devices_are_never_replaced() -> None:
    with pytest.raises(InputError, match="is not a plain file"):
        WholeFile("/dev/null", overwrite=True)


def test_what_overwrites_a_private_file_is_private(tmp_path: Path) -> None:
    write_whole(tmp_path / "a", b"first")
    (tmp_path / "a").chmod(0o600)
    with WholeFile(tmp_path / "a", overwrite=True) as file:
        file.write(b"second")
        assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}  # while it is written, too
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600


def test_files_that_belong_together_appear_together(tmp_path: Path) -> None:
    place = tmp_path / "new" / "model"
    with whole_folder(place) as folder:
        (folder / "a").write_text("first")
        assert not place.exists()
    assert (place / "a").read_text() == "first"
    for name in ("old.onnx", "others.onnx"):
        (place / name).write_text("was here")
    with whole_folder(place, instead_of=("old.onnx", "new.onnx")) as folder:
        (folder / "a").write_text("second")
        (folder / "new.onnx").write_text("graph")
    there = {path.name: path.read_text() for path in place.iterdir()}
    assert there == {"a": "second", "new.onnx": "graph", "others.onnx": "was here"}
    assert [path.name for path in place.parent.iterdir()] == ["model"]


def test_half_a_folder_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "a.onnx").write_text("old")
    with pytest.raises(ZeroDivisionError), whole_folder(tmp_path / "model", instead_of=("a.onnx",)) as folder:
        (folder / "b").write_text("half")
        1 / 0  # noqa: B018
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["a.onnx"]


def test_a_folder_that_cannot_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    for place in ("file", "file/below"):
        with pytest.raises(InputError, match=f"{place} cannot be written: "), whole_folder(tmp_path / place) as folder:
            (folder / "a").write_text("x")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
