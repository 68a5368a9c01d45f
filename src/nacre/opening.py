"""Files to read: opened, or a plain sentence why not."""

from __future__ import annotations

import os
from typing import BinaryIO

from .errors import InputError


def open_file(path: str | os.PathLike[str], buffering: int = -1) -> BinaryIO:
    """The file at `path`, open for reading; `buffering` is that of `open`."""
    name = os.fspath(path)
    try:
        return open(path, "rb", buffering)
    except FileNotFoundError:
        raise InputError(f"{name} does not exist; check the name") from None
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        raise unreadable(name, error) from error


def unreadable(name: str, error: Exception) -> InputError:
    """The system's word for why something cannot be read, in a sentence."""
    return InputError(f"{name} cannot be read: {getattr(error, 'strerror', None) or error}")
