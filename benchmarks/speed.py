"""How fast our codecs are beside the originals: the same random weights, the same sound, the same run, as ratios.

    python benchmarks/speed.py                                   # every table, one and two threads
    python benchmarks/speed.py --quick                           # 2 s of sound, one thread, short files
    python benchmarks/speed.py --only encodec-24k dac-44k --tables whole memory
    python benchmarks/speed.py --keep speed.json                 # in parts: what is in there is not measured again

Four tables: `whole` files, `stream` frame by frame, peak `memory`, cold `start`. A ratio is the time of the
original over ours: above 1 ours is faster. Rounds take turns, so that what else the machine does hits both, and the
fastest round counts. On a machine that is busy, `--clock cpu` counts the time that the process ran instead of the time
on the wall (one thread only). Memory and cold starts are those of a process for each side (`originals.py`). Originals
that are not installed are named and left out (`pip install --no-deps -r requirements-parity.txt`).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import originals
import torch
from originals import ORIGINALS, OURS, THEIRS, fresh, sound

from nacre.contract import CodecContract
from nacre.converters.to_files import save_as
from nacre.errors import NacreError
from nacre.onnx_runtime import OnnxCodec

Row = list[str]
WARM_UP = 10  # frames of a stream that are not counted
STREAMS = (
    "pearl-24k",
    "encodec-24k",
    "mimi-24k",
    "hilcodec-speech",
    "audiodec-48k-sym",
    "audiodec-48k-v2",
    "hac-150",
    "dac-44k",
    "snac-24k",
)
MISSING = "–"
NO_MEMORY = ("not enough memory", "can't allocate memory", "MemoryError")  # what a process says that hit its limit


@dataclass(frozen=True)
class Settings:
    """How to measure."""

    seconds: float  # of sound in whole files
    rounds: int
    frames: int  # of a stream
    minutes: tuple[float, ...]  # of sound in long files
    threads: tuple[int, ...]
    clock: str  # wall or cpu
    limit: float  # MB that a process with a long file may take
    patience: float  # seconds that it may

    def now(self) -> float:
        """Seconds of what counts as time."""
        return time.process_time() if self.clock == "cpu" else time.perf_counter()


@dataclass(frozen=True)
class Table:
    """One of the four: its columns, what it has rows for, and what measures the rows of one of these."""

    head: Row
    names: Sequence[str]
    rows: Callable[[str, Settings], list[Row]]


@contextmanager
def both_sides(name: str) -> Iterator[Path]:
    """A folder with one random codec as ours and as the original's, for as long as it is needed."""
    with tempfile.TemporaryDirectory(prefix="nacre-speed-") as folder:
        originals.save(name, Path(folder))
        yield Path(folder)


def least(works: Sequence[Callable[[], Any]], settings: Settings) -> list[float]:
    """The least seconds of each; every round runs all, each time another one first."""
    for work in works:
        work()
    best = [float("inf")] * len(works)
    for turn in range(settings.rounds):
        for i in range(len(works))[:: -1 if turn % 2 else 1]:
            begin = settings.now()
            works[i]()
            best[i] = min(best[i], settings.now() - begin)
    return best


def whole_rows(name: str, settings: Settings) -> list[Row]:
    """Seconds of sound a second, ours and theirs, and the ratio."""
    original, rows = ORIGINALS[name], []
    with both_sides(name) as folder:
        sides = [originals.open_side(name, folder, side) for side in (OURS, THEIRS)]
    wave = sound(sides[0].sample_rate, settings.seconds)
    codes = [side.encode(wave) for side in sides]
    directions = {
        "encode": [partial(side.encode, wave) for side in sides],
        "decode": [partial(side.decode, said) for side, said in zip(sides, codes, strict=True)],
    }
    for threads in settings.threads:
        torch.set_num_threads(threads)
        for direction in ("encode", "decode") if original.encodes else ("decode",):
            ours, theirs = least(directions[direction], settings)
            figures = [f"{settings.seconds / x:.2f}" for x in (ours, theirs)]
            rows.append([name, original.package, str(threads), direction, *figures, f"{theirs / ours:.2f}"])
    return rows


def stream_rows(name: str, settings: Settings) -> list[Row]:
    """Milliseconds a frame, one frame at a time, in torch and as ONNX graphs."""
    codec, rows = fresh(name), []
    for threads in settings.threads:
        torch.set_num_threads(threads)
        rows.append([name, "torch", str(threads), *frame_times(codec, settings)])
    with tempfile.TemporaryDirectory(prefix="nacre-speed-") as folder:
        try:
            save_as(codec, folder, "onnx", overwrite=True)
        except NacreError as error:
            print(f"{name} has no graphs: {error}", file=sys.stderr)
            return [*rows, [name, "no graphs yet", *[MISSING] * 8]]
        for threads in settings.threads:
            rows.append([name, "onnx", str(threads), *frame_times(OnnxCodec(folder, threads), settings)])
    return rows


def frame_times(codec: CodecContract, settings: Settings) -> Row:
    """How long a frame sounds; then p50 and p95 of encoding it, of decoding it, and of both together."""
    info, took = codec.info, []
    step = info.hop * info.stride
    wave = sound(info.sample_rate, (settings.frames + WARM_UP + 1) * step / info.sample_rate)
    stream = codec.stream()
    for i in range(settings.frames + WARM_UP):
        begin = settings.now()
        codes = stream.encode(wave[:, :, i * step : (i + 1) * step])
        middle = settings.now()
        stream.decode(codes)
        took.append((middle - begin, settings.now() - middle))
    encode, decode = 1e3 * np.array(took[WARM_UP:]).T
    points = [np.percentile(side, p) for side in (encode, decode, encode + decode) for p in (50, 95)]
    return [f"{1e3 * step / info.sample_rate:.2f}", *(f"{point:.2f}" for point in points)]


def memory_rows(name: str, settings: Settings) -> list[Row]:
    """Peak MB of coding files of several lengths both ways, either side in processes of its own."""
    cells, growths = [], []
    with both_sides(name) as folder:
        for side in (OURS, THEIRS):
            found = [alone("memory", folder, name, side, 60 * m, settings) for m in settings.minutes]
            cells += [f["why"] if "why" in f else f"{f['peak']:.0f}" for f in found]
            first, last = found[0], found[-1]
            known = "why" not in first and "why" not in last
            growths.append(
                f"{last['peak'] - last['sound'] - first['peak'] + first['sound']:+.0f}" if known else MISSING
            )
    return [[name, ORIGINALS[name].package, *cells, *growths]]


def start_rows(name: str, settings: Settings) -> list[Row]:
    """Seconds of a new process until 0.1 s of sound is coded both ways."""
    best: dict[str, dict[str, Any]] = {}
    with both_sides(name) as folder:
        for _ in range(settings.rounds):
            for side in (OURS, THEIRS):
                found = alone("start", folder, name, side, 0.1, settings)
                best[side] = min(best.get(side, found), found, key=lambda f: float(f["all"]))
    ours, theirs = best[OURS], best[THEIRS]
    steps = [f"{each[step]:.2f}" for each in (ours, theirs) for step in ("import", "load", "first", "all")]
    return [[name, ORIGINALS[name].package, *steps, f"{theirs['all'] / ours['all']:.2f}"]]


def alone(task: str, folder: Path, name: str, side: str, seconds: float, settings: Settings) -> dict[str, Any]:
    """What a process of its own finds out about one side, or `why` it does not."""
    words = [sys.executable, originals.__file__, task, str(folder), name, side, str(seconds)]
    words += ["--threads", str(settings.threads[0])]
    if task == "memory":
        words += ["--limit", str(settings.limit)]
    elif settings.clock == "wall":
        words += ["--began", str(time.monotonic())]
    patience = settings.patience if task == "memory" else None
    # an installed package is compiled already; a checkout is by its first round, where Python may keep what it makes
    surroundings = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=patience, env=surroundings)
    except subprocess.TimeoutExpired:
        return {"why": f"> {settings.patience:.0f} s"}
    if not done.returncode:
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return found
    if task == "memory" and any(word in done.stderr for word in NO_MEMORY):
        return {"why": f"> {settings.limit:.0f}"}
    raise SystemExit(f"{' '.join(words)} ended with {done.returncode}: {done.stderr[-800:]}")


def tables(settings: Settings) -> dict[str, Table]:
    """All there is to measure."""
    minutes = [f"{m:g} min" for m in settings.minutes]
    both = [f"{side} {word}" for side in (OURS, THEIRS) for word in minutes]
    steps = [f"{side} {word}" for side in (OURS, THEIRS) for word in ("import", "load", "first", "all")]
    figures = ["frame", "enc p50", "enc p95", "dec p50", "dec p95", "both p50", "both p95"]
    names = tuple(ORIGINALS)
    return {
        "whole": Table(
            ["whole files", "package", "threads", "direction", "ours ×", "theirs ×", "ratio"], names, whole_rows
        ),
        "stream": Table(["stream, ms a frame", "with", "threads", *figures], STREAMS, stream_rows),
        "memory": Table(
            ["peak memory, MB", "package", *both, "ours grows", "theirs grows"],
            names,
            memory_rows,
        ),
        "start": Table(["cold start, s", "package", *steps, "ratio"], names, start_rows),
    }


def measured(word: str, table: Table, only: Sequence[str], settings: Settings, keep: Path | None) -> Iterator[Row]:
    """The rows of a table; with `keep` those that are in there already are taken from there, and new ones put there."""
    for name in table.names:
        if only and name not in only:
            continue
        kept: dict[str, list[Row]] = json.loads(keep.read_text()) if keep and keep.exists() else {}
        key = f"{word} {name} {settings}"
        if key not in kept:
            print(f"{word} {name} …", file=sys.stderr, flush=True)
            try:
                kept[key] = table.rows(name, settings)
            except ImportError as missing:
                print(f"{name} left out: {ORIGINALS[name].package} is not installed ({missing})", file=sys.stderr)
                continue
            if keep:
                keep.write_text(json.dumps(kept, indent=1))
        yield from kept[key]


def aligned(head: Row, rows: Sequence[Row]) -> str:
    """A Markdown table whose columns line up; figures to the right."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    right = [all(row[i][:1] in "+-–>0123456789" for row in rows) for i in range(len(head))]

    def line(cells: Row) -> str:
        parts = (c.rjust(w) if r else c.ljust(w) for c, w, r in zip(cells, widths, right, strict=True))
        return f"| {' | '.join(parts)} |"

    rule = [("-" * (w - 1) + ":") if r else "-" * w for w, r in zip(widths, right, strict=True)]
    return "\n".join([line(head), line(rule), *map(line, rows)])


def chosen_settings(chosen: argparse.Namespace) -> Settings:
    """What the command line asks for."""
    if chosen.quick:
        chosen.seconds, chosen.rounds, chosen.frames, chosen.threads, chosen.minutes = 2.0, 2, 30, [1], [0.1, 0.2]
    if chosen.clock == "cpu":
        chosen.threads = [1]
    return Settings(
        chosen.seconds,
        chosen.rounds,
        chosen.frames,
        tuple(sorted(chosen.minutes)),
        tuple(chosen.threads),
        chosen.clock,
        1e3 * chosen.limit,
        chosen.patience,
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    words = ["whole", "stream", "memory", "start"]
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="2 s of sound, one thread, short files")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", choices=sorted({*ORIGINALS, *STREAMS}))
    parser.add_argument("--tables", nargs="+", default=words, choices=words)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--seconds", type=float, default=5, help="of sound in whole files (5)")
    parser.add_argument("--rounds", type=int, default=5, help="of which the fastest counts (5)")
    parser.add_argument("--frames", type=int, default=120, help="of a stream (120)")
    parser.add_argument("--minutes", type=float, nargs="+", default=[1, 10], help="of sound in long files (1 10)")
    parser.add_argument("--limit", type=float, default=12, help="GB that a process with a long file may take (12)")
    parser.add_argument("--patience", type=float, default=3600, help="seconds that it may (3600)")
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall", help="what counts as time")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="JSON of what is measured, to go on from")
    chosen = parser.parse_args(arguments)
    settings = chosen_settings(chosen)
    with suppress(ImportError):  # transformers looks for torchaudio once, and must not find the stand-in
        import_module("transformers.utils").is_torchaudio_available()
    originals.stand_in_for_torchaudio()
    for word in chosen.tables:
        table = tables(settings)[word]
        rows = list(measured(word, table, chosen.only, settings, chosen.keep))
        if rows:
            print(f"\n{aligned(table.head, rows)}", flush=True)


if __name__ == "__main__":
    main()
