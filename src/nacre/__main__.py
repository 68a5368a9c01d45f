"""`python -m nacre`: the command line without the installed script."""

from __future__ import annotations

from .cli import main

if __name__ == "__main__":
    main()
