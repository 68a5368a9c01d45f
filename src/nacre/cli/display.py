"""What the command line shows: tables, JSON, progress, errors."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from threading import Lock
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Any

import typer

from ..batch import Failure, Report, Skipped

if TYPE_CHECKING:  # it costs a start more than most verbs do
    from ..catalogue import Model
    from ..evaluation.speed import Speed
    from ..files import Outcome
    from ..training.library import Listed

MODELS = ("model", "state", "bitrate", "rate", "licence", "for")  # the head of the table of `nacre models`
_EVERY = 0.1  # seconds between two looks of the progress line
_BAR = 24  # columns
_CONTAINERS = {
    "nac": ".nac, version 1",
    "nac0": ".nac of 2023 (version 0)",
    "ecdc": ".ecdc of EnCodec",
    "dac": ".dac of the Descript Audio Codec",
    "lyra": ".lyra of Lyra v2",
}


def show_error(sentence: str) -> None:
    """One plain sentence on standard error."""
    typer.echo(f"nacre: {sentence}", err=True)


def print_json(data: Any, err: bool = False) -> None:
    """Data as JSON on standard output, or on standard error where that one carries sound."""
    import json

    typer.echo(json.dumps(data, indent=2, ensure_ascii=False), err=err)


def print_table(rows: Sequence[Sequence[str]], right: Sequence[int] = (), err: bool = False, keep: int = 0) -> None:
    """Rows in aligned columns, those numbered in `right` to the right.

    With `keep`, what is too wide for a terminal goes on below, behind the first `keep` columns once more.
    """
    narrow = keep and rows and sys.stdout.isatty()
    tables = folded(rows, keep, shutil.get_terminal_size().columns) if narrow else [rows]
    for place, table in enumerate(tables):
        if place:
            typer.echo(err=err)
        for line in aligned(table, right):
            typer.echo(line, err=err)


def folded(rows: Sequence[Sequence[str]], keep: int, fits: int) -> list[list[list[str]]]:
    """Tables at most `fits` wide of the columns of one, each beginning with its first `keep`."""
    widths = [max(map(len, column)) + 2 for column in zip(*rows, strict=True)]
    tables: list[list[int]] = [[]]
    for column in range(keep, len(widths)):
        if tables[-1] and sum(widths[:keep]) + sum(widths[each] for each in [*tables[-1], column]) - 2 > fits:
            tables.append([])
        tables[-1].append(column)
    return [[[*row[:keep], *(row[column] for column in columns)] for row in rows] for columns in tables]


def aligned(rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> list[str]:
    """Rows as lines, columns two spaces apart; a column that is empty in all rows is left out."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
            if width
        ).rstrip()
        for row in rows
    ]


def report_outcomes(
    verb: str, outcomes: Sequence[Outcome | Failure | Skipped], as_json: bool = False, quiet: bool = False
) -> int:
    """Tell what became of each file; the exit code is the worst that happened."""
    made = [each for each in outcomes if not isinstance(each, Failure | Skipped)]
    skipped = sum(isinstance(each, Skipped) for each in outcomes)
    to_pipe = any(each.target == "-" for each in outcomes)
    for each in outcomes:
        for sentence in _complaints(each):
            show_error(sentence if each.source in ("-", sentence[: len(each.source)]) else f"{each.source}: {sentence}")
    if as_json:
        print_json([_as_json(each) for each in outcomes], err=to_pipe)
    elif not quiet:
        print_table([_outcome_row(verb, outcome) for outcome in made], right=(4, 5, 6), err=to_pipe)
        for outcome in made:
            if outcome.mixed_from:
                show_error(f"{outcome.source}: {_count(outcome.mixed_from)} mixed into {_count(outcome.channels)}")
        if skipped:
            typer.echo(f"{skipped} of {len(outcomes)} were there already")
    return max(map(_exit_code, outcomes))


def _exit_code(each: Outcome | Failure | Skipped) -> int:
    if isinstance(each, Failure):
        return each.error.exit_code
    return 0 if isinstance(each, Skipped) else 2 * bool(each.damage)


def _complaints(each: Outcome | Failure | Skipped) -> Sequence[str]:
    if isinstance(each, Failure):
        return [str(each.error)]
    return () if isinstance(each, Skipped) else each.damage


def _as_json(each: Outcome | Failure | Skipped) -> dict[str, Any]:
    if isinstance(each, Skipped):
        return {**vars(each), "skipped": True, "error": None, "exit_code": 0}
    if isinstance(each, Failure):
        return {"source": each.source, "error": str(each.error), "exit_code": each.error.exit_code}
    said = {**vars(each), "bitrate": each.bitrate, "error": None, "exit_code": _exit_code(each)}
    del said["file_seconds"]
    return said


def _outcome_row(verb: str, outcome: Outcome) -> list[str]:
    return [
        verb,
        outcome.source,
        "->",
        outcome.target,
        f"{outcome.seconds:.2f} s",
        f"{outcome.bytes} bytes" if outcome.bytes else "",
        kbps(outcome.bitrate) if outcome.bytes and outcome.seconds else "",
        f"{outcome.clipped} samples clipped" if outcome.clipped else "",
    ]


def kbps(bitrate: float) -> str:
    """Bits a second as people say them."""
    return f"{bitrate / 1000:.2f} kbps"


def summary_rows(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The lines of `nacre info`, from what `contents.summarise` found."""
    s = summary
    packets = f" in {s['packets']} packet{'s' * (s['packets'] != 1)}" if "packets" in s else ""
    saved = f"; the codes alone, packed plainly: {kbps(s['nominal_bitrate'])}"
    rows = [
        ("file", s["file"]),
        ("container", _CONTAINERS[s["container"]]),
        ("codec", _one_line(f"{s['codec']} {s['digest']}".rstrip())),
        ("sound", f"{s['sample_rate']} Hz, {_count(s['channels'])}"),
        ("length", f"{_clock(s['seconds'])} ({s['samples']} samples)"),
        ("levels", f"{s['levels']} of {s['codec_levels']}"),
        ("size", f"{s['bytes']} bytes{packets}"),
        ("bitrate", (kbps(s["bitrate"]) if s["bitrate"] else "none") + saved),
    ]
    rows += [(_one_line(f"tag {key}"), _one_line(value)) for key, value in s.get("tags", {}).items()]
    rows += [(_one_line(f"header {key}"), _one_line(str(value))) for key, value in s.get("metadata", {}).items()]
    return rows + [("damage", place["sentence"]) for place in s.get("damage", ())]


def model_rows(models: Sequence[Model]) -> list[tuple[str, ...]]:
    """The table of `nacre models`: name, whether it is here, rates, licence of the weights, what for."""
    from ..models import state

    return [
        (model.name, state(model), _span(model), f"{model.sample_rate / 1000:g} kHz", model.licence, model.summary)
        for model in models
    ]


def recipe_rows(recipes: Sequence[Listed]) -> list[tuple[str, ...]]:
    """The table of `nacre recipes`: name, rates, size, stages, time on one A100 (estimated), hardware, what for."""
    rows: list[tuple[str, ...]] = [
        ("recipe", "rate", "bitrate", "parameters", "stages", "GPU hours", "made for", "sound")
    ]
    for each in recipes:
        rate, size = f"{each.sample_rate / 1000:g} kHz", f"{each.parameters / 1e6:.1f} M"
        counts = str(each.stages), f"~{each.gpu_hours:g}"
        rows.append((each.name, rate, _rates(*each.kbps), size, *counts, each.hardware, each.summary))
    return rows


def speed_rows(speed: Speed) -> list[tuple[str, str]]:
    """The lines of `nacre bench`."""
    return [
        ("load and first frame", f"{speed.load * 1000:.0f} ms"),
        ("encode", f"{speed.encode:.0f} x real time"),
        ("decode", f"{speed.decode:.0f} x real time"),
        ("one frame on a line", f"{speed.frame * 1000:.1f} ms of sound, encoded and decoded in"),
        ("  half of them", f"{speed.latency_p50 * 1000:.2f} ms"),
        ("  95 of 100", f"{speed.latency_p95 * 1000:.2f} ms"),
        ("  99 of 100", f"{speed.latency_p99 * 1000:.2f} ms"),
        ("algorithmic latency", f"{speed.delay * 1000:.1f} ms"),
    ]


def model_details(model: Model) -> list[tuple[str, str]]:
    """The lines of `nacre models NAME`."""
    from ..models import describe, store

    size = f"{model.size / 1e6:.1f} MB" if model.size else "not published" if model.files else ""
    hashes = [file.sha256 + ("…" * (len(file.sha256) < 64)) for file in model.files if file.sha256]
    rows = [
        ("model", model.name),
        ("for", model.summary),
        ("rate", f"{model.sample_rate} Hz"),
        ("bitrate", _span(model)),
        ("state", str(describe(model)["state"])),
        ("licence of the weights", model.licence),
        ("licence of the original code", model.code),
        ("project", model.home),
        *(("address", file.address) for file in model.files),
        *(("in it", member) for member in model.members),
        ("size", size),
        ("SHA-256", ", ".join(hashes) or ("not published" if model.files else "")),
        ("read by", model.converter and f"nacre.converters.{model.converter}"),
        ("kept in", str(store(model))),
        ("note", model.note),
    ]
    return [(key, value) for key, value in rows if value]


def _span(model: Model) -> str:
    return _rates(*model.kbps) if any(model.kbps) else model.kind


def _rates(least: float, most: float) -> str:
    return f"{most:g} kbps" if least == most else f"{least:g}–{most:g} kbps"


def _one_line(text: str) -> str:
    """`text` so that it can neither pretend to be another line nor steer the terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _count(channels: int) -> str:
    return {1: "mono", 2: "stereo"}.get(channels, f"{channels} channels")


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds, 2), 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02}:{rest:05.2f}" if hours else f"{minutes}:{rest:05.2f}" if minutes else f"{rest:.2f} s"


class Progress:
    """One line on standard error while files are made, only where that is a terminal."""

    def __init__(self, jobs: int, quiet: bool = False) -> None:
        self._shown = sys.stderr.isatty() and not quiet and os.environ.get("TERM") != "dumb"
        self._jobs, self._ended = jobs, 0
        self._going: dict[str, tuple[float, float | None]] = {}
        self._lock, self._began, self._drawn = Lock(), monotonic(), 0.0

    def begin(self, name: str) -> Report:
        """A file has begun; call what comes back with seconds done and seconds in all."""

        def report(done: float, whole: float | None) -> None:
            with self._lock:
                self._going[name] = (done, whole)
                self._draw()

        report(0.0, None)
        return report

    def end(self, name: str) -> None:
        """A file has ended."""
        with self._lock:
            self._going.pop(name, None)
            self._ended += 1
            self._draw()

    def line(self, elapsed: float) -> str:
        """What is going on, after so many seconds."""
        shares = [min(1.0, done / whole) for done, whole in self._going.values() if whole]
        share = (self._ended + sum(shares)) / self._jobs
        name = next(iter(self._going), "")
        what = name if self._jobs == 1 else f"{self._ended} of {self._jobs} files"
        what = "".join(letter if letter.isprintable() else "?" for letter in what[-40:])
        if not share:
            return f"{what}  {_clock(sum(done for done, _ in self._going.values()))}"
        full = int(share * _BAR)
        left = _clock(round(elapsed * (1 - share) / share)).replace(".00", "")
        return f"{what}  [{'#' * full}{'.' * (_BAR - full)}] {share:4.0%}  {left} left"

    def _draw(self) -> None:
        now = monotonic()
        if self._shown and self._going and now - self._drawn >= _EVERY:
            self._drawn = now
            columns = shutil.get_terminal_size().columns
            self._write(self.line(now - self._began)[: columns - 1])

    def _write(self, text: str) -> None:
        sys.stderr.write(f"\r{text}\x1b[K")  # back to the left edge; clear what stood there
        sys.stderr.flush()

    def __enter__(self) -> Progress:
        """Begin to count the time."""
        self._began = monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the line away."""
        if self._shown:
            self._write("")
