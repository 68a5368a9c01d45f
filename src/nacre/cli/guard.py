"""What leaves the command line when something goes wrong: a plain sentence and an exit code, and no half file."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

import typer

from ..errors import NacreError
from .display import show_error

STOPPED = 130  # the exit code after Ctrl-C
_STOPPED = "stopped; what was finished stays, nothing half-written does"
UsageError: Any = typer.BadParameter.__base__  # typer keeps its copy of click to itself


def listen() -> None:
    """Take every signal to end as Ctrl-C, so that files that are half written go away."""
    stop = Stop()
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:  # nohup stays in force
            signal.signal(number, stop)


class Stop:
    """Raises KeyboardInterrupt, but not twice within a second: who hammers on Ctrl-C may not stop the tidying up."""

    def __init__(self) -> None:
        self._last = -1.0

    def __call__(self, number: int, frame: Any) -> None:
        """Take a signal."""
        before, self._last = self._last, time.monotonic()
        if before < 0 or self._last - before > 1.0:
            raise KeyboardInterrupt


def guarded(command: Callable[[], Any]) -> int:
    """The exit code of `command`, with errors told in a sentence."""
    try:
        result = command()
        sys.stdout.flush()
        if result == STOPPED:  # typer's word for an interrupt that came while it called the verb
            raise KeyboardInterrupt
    except NacreError as error:
        show_error(str(error))
        return error.exit_code
    except (typer.Abort, KeyboardInterrupt):
        show_error(_STOPPED)
        return STOPPED
    except ImportError as error:  # what a compiled module makes of a signal while it is loaded
        if not isinstance(error.__cause__ or error.__context__, KeyboardInterrupt):
            raise
        show_error(_STOPPED)
        return STOPPED
    except UsageError as error:
        show_error(usage_sentence(error))
        return 1
    except (OSError, SystemExit) as error:
        if isinstance(error, BrokenPipeError) or isinstance(error.__context__, BrokenPipeError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains while it flushes
            return 0  # the program that we wrote to has heard enough; typer makes of it an exit with 1
        if isinstance(error, SystemExit):
            raise
        what = f"{error.filename} cannot be used" if error.filename else "the output cannot be written"
        show_error(f"{what}: {error.strerror or error}")
        return 1
    return result if isinstance(result, int) else 0


def usage_sentence(error: Any) -> str:
    """One sentence about words on the command line that make no sense."""
    said = " ".join(error.format_message().split()).rstrip(".?")
    where = error.ctx.command_path if error.ctx is not None else "nacre"
    return f"{said[:1].lower()}{said[1:]}; see {where} --help"
