"""The scripts that make golden files, as modules, and packages that import torchaudio where there is none."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest

GOLDEN = Path(__file__).parent / "golden"


def script(path: Path) -> ModuleType:
    """A script that makes golden files, as a module."""
    spec = importlib.util.spec_from_file_location(f"{path.parent.name}_{path.stem}", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextmanager
def beside_packages(*names: str) -> Iterator[ModuleType]:
    """The script that makes the golden files of old formats; its stand-in for torchaudio is in place meanwhile.

    The test is skipped where one of the packages `names` is not installed.
    """
    pytest.importorskip("torch")
    pytest.importorskip("scipy")
    made, before = script(GOLDEN / "legacy" / "make.py"), set(sys.modules)
    made.stand_in_for_torchaudio()
    try:
        for name in names:
            pytest.importorskip(name, exc_type=ImportError)
        yield made
    finally:
        for name in set(sys.modules) - before:
            if name.startswith("torchaudio"):
                del sys.modules[name]
