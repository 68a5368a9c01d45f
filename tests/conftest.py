"""What all tests share: hypothesis without deadlines, the same examples on every CI run, one thread."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

try:
    import torch
except ImportError:  # half of the house is tested without
    torch = None  # type: ignore[assignment]

settings.register_profile("here", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    """Every file begins with one thread: of small tensors more only wait for each other."""
    if torch:
        torch.set_num_threads(1)
