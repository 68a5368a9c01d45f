"""The command line: a file for its verbs, two for those that open a wing, and what they take, show and end with."""

from __future__ import annotations

from .verbs import app, main, run

__all__ = ["app", "main", "run"]
