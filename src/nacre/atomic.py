"""Files that are there whole or not at all.

Bytes go to a hidden file beside the target and appear under its name only when they are complete; so do the files of a
folder that belong together.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from .errors import InputError


class WholeFile:
    """One file to be: `open()` it, write, then `keep()` it; `drop()` leaves nothing behind of what was not kept.

    Or `with WholeFile(path) as file:`, which keeps what was written unless an error ends it. What overwrites a file
    is as private as that was.
    """

    def __init__(self, path: str | os.PathLike[str], overwrite: bool = False) -> None:
        self.name = os.fspath(path)
        try:
            self.path = Path(os.path.realpath(path))  # a link stays, what it names changes
            self._part = _beside(self.path)
        except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
            raise self.sorry(error) from error
        self._overwrite = overwrite
        self._file: BinaryIO | None = None
        self.check()

    def __enter__(self) -> BinaryIO:
        return self.open()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, *_: object) -> None:
        try:
            if kind is None:
                self.keep()
        finally:
            self.drop()
        if isinstance(error, OSError) and error.filename is None:  # no other file's, so this one's
            raise self.sorry(error) from error

    def check(self) -> None:
        """An error when the name is taken or cannot be."""
        try:
            taken, plain, housed = self.path.exists(), self.path.is_file(), self.path.parent.is_dir()
        except (OSError, ValueError) as error:
            raise self.sorry(error) from error
        if taken and not plain:
            raise InputError(f"{self.name} is not a plain file; use - to write to a pipe")
        if taken and not self._overwrite:
            raise InputError(f"{self.name} exists; choose another name or allow overwriting")
        if not housed:
            raise InputError(f"{self.name} cannot be written: the folder {self.path.parent} does not exist")

    def open(self) -> BinaryIO:
        """The hidden file, for reading and writing."""
        try:
            self._file = self._part.open("x+b")
            with suppress(OSError):  # nothing is overwritten, or this disk knows no modes
                os.chmod(self._part, stat.S_IMODE(os.stat(self.path).st_mode))
        except OSError as error:
            raise self.sorry(error) from error
        except BaseException:  # Ctrl-C may come when the file is there and not yet ours
            self.drop()
            raise
        return self._file

    def keep(self) -> None:
        """Close the file and put it in its place."""
        if self._file is None:
            return
        try:
            self._file.close()
            self.check()  # someone else may have written it meanwhile
            os.replace(self._part, self.path)
        except OSError as error:
            raise self.sorry(error) from error

    def drop(self) -> None:
        """Close the file and remove it, unless it was kept."""
        if self._file is not None:
            with suppress(OSError):  # a full disk refuses what still waits to be written, which nobody wants now
                self._file.close()
        self._part.unlink(missing_ok=True)

    def sorry(self, error: Exception) -> InputError:
        """The system's word for why the file cannot be, in a sentence."""
        return _unwritable(self.name, error)


def write_whole(path: str | os.PathLike[str], data: bytes, overwrite: bool = False) -> None:
    """All of `data` at `path`, or nothing."""
    with WholeFile(path, overwrite) as file:
        file.write(data)


@contextmanager
def whole_folder(path: str | os.PathLike[str], instead_of: tuple[str, ...] = ()) -> Iterator[Path]:
    """A hidden folder to fill; when the block ends well, its files take their places in the folder `path`.

    Of what is there, files of the same names are replaced, those named in `instead_of` go, and all others stay.
    """
    try:
        place = Path(os.path.realpath(path))  # a link stays, what it names changes
        place.parent.mkdir(parents=True, exist_ok=True)
        filled = _beside(place)
        filled.mkdir()
    except (OSError, ValueError) as error:
        raise _unwritable(os.fspath(path), error) from error
    try:
        yield filled
        place.mkdir(exist_ok=True)
        for name in instead_of:
            if not (filled / name).exists():
                (place / name).unlink(missing_ok=True)
        for file in filled.iterdir():
            file.replace(place / file.name)
    except OSError as error:
        raise _unwritable(os.fspath(path), error) from error
    finally:
        shutil.rmtree(filled, ignore_errors=True)


def _beside(path: Path) -> Path:
    return path.with_name(f".nacre-{os.urandom(8).hex()}.part")


def _unwritable(name: str, error: Exception) -> InputError:
    return InputError(f"{name} cannot be written: {getattr(error, 'strerror', None) or error}")
