"""`nacre` and `python -m nacre`: where the command line begins, before anything is imported that takes time."""

from __future__ import annotations

import signal


def main() -> None:
    """Run the command line and exit; Ctrl-C ends it without a word as long as there is nothing to tidy."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # which would show a traceback
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from .cli import main as run  # takes a tenth of a second, and listens to signals itself from then on

    run()


if __name__ == "__main__":
    main()
