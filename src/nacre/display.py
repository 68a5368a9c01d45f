"""What the command line shows: tables, JSON, progress, errors."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from types import TracebackType
from typing import Any

import typer

from .batch import Failure
from .codes import CodecInfo
from .files import Outcome


def show_error(sentence: str) -> None:
    """One plain sentence on standard error."""
    typer.echo(f"nacre: {sentence}", err=True)


def print_json(data: Any) -> None:
    """Data as JSON on standard output."""
    typer.echo(json.dumps(data, indent=2, ensure_ascii=False))


def print_table(rows: Sequence[Sequence[Any]]) -> None:
    """Rows in aligned columns on standard output."""
    for line in aligned(rows):
        typer.echo(line)


def aligned(rows: Sequence[Sequence[Any]]) -> list[str]:
    """Rows as lines, columns two spaces apart; numbers to the right."""
    if not rows:
        return []
    texts = [[_text(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in texts) for i in range(len(texts[0]))]
    right = [all(isinstance(row[i], int | float) for row in rows) for i in range(len(widths))]
    return [
        "  ".join(t.rjust(w) if r else t.ljust(w) for t, w, r in zip(row, widths, right, strict=True)).rstrip()
        for row in texts
    ]


def report_outcomes(
    verb: str, outcomes: Sequence[Outcome | Failure], info: CodecInfo | None, as_json: bool, quiet: bool
) -> int:
    """Tell what became of each file; the exit code is the worst that happened."""
    failures = [each for each in outcomes if isinstance(each, Failure)]
    made = [each for each in outcomes if isinstance(each, Outcome)]
    for failure in failures:
        show_error(str(failure.error))
    for outcome in made:
        for sentence in outcome.damage:
            show_error(f"{outcome.source}: {sentence}")
    to_pipe = any(outcome.target == "-" for outcome in made)
    if as_json:
        typer.echo(json.dumps([asdict(outcome) | {"bitrate": outcome.bitrate} for outcome in made], indent=2), err=to_pipe)
    elif not quiet:
        for line in aligned([_outcome_row(verb, outcome) for outcome in made]):
            typer.echo(line, err=to_pipe)
    if not quiet and info is not None:
        _tell_mixing(made, info)
    return max([failure.error.exit_code for failure in failures] + [2 * bool(o.damage) for o in made], default=0)


class Progress:
    """Bars on standard error, only where that is a terminal."""

    def __init__(self, jobs: int, quiet: bool = False) -> None:
        self._bars: Any = None
        self._tasks: dict[str, Any] = {}
        self._jobs = jobs
        if sys.stderr.isatty() and not quiet:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bars

            columns = [TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[figure]}")]
            count = [MofNCompleteColumn()] if jobs > 1 else []
            self._bars = Bars(*columns, *count, TimeRemainingColumn(), console=Console(stderr=True), transient=True)
            self._all = self._bars.add_task("files", total=jobs, figure="") if jobs > 1 else None

    def begin(self, name: str) -> Callable[[float, float | None], None]:
        """A file has begun; call what comes back with seconds done and seconds in all."""
        if self._bars is None:
            return lambda done, whole: None
        task = self._bars.add_task(name[-40:], total=None, figure="")
        self._tasks[name] = task
        return lambda done, whole: self._bars.update(task, completed=done, total=whole, figure=f"{done:.0f} s")

    def end(self, name: str) -> None:
        """A file has ended."""
        if self._bars is not None:
            self._bars.remove_task(self._tasks.pop(name))
            if self._all is not None:
                self._bars.advance(self._all)

    def __enter__(self) -> Progress:
        """Show the bars."""
        if self._bars is not None:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the bars away."""
        if self._bars is not None:
            self._bars.stop()


def _outcome_row(verb: str, outcome: Outcome) -> list[str]:
    return [
        verb,
        outcome.source,
        "->",
        outcome.target,
        f"{outcome.seconds:.2f} s",
        f"{outcome.bytes} bytes" if outcome.bytes else "",
        f"{outcome.bitrate / 1000:.2f} kbps" if outcome.bytes else "",
        f"{outcome.clipped} samples clipped" if outcome.clipped else "",
    ]


def _tell_mixing(made: Sequence[Outcome], info: CodecInfo) -> None:
    mixed = [outcome for outcome in made if outcome.mixed_from]
    if mixed:
        some = mixed[0].source if len(mixed) == 1 else f"{len(mixed)} files"
        show_error(f"{some}: {mixed[0].mixed_from} channels were mixed to the {info.channels} that {info.name} codes")


def _text(cell: Any) -> str:
    return f"{cell:.4g}" if isinstance(cell, float) else str(cell)
