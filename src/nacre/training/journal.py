"""What a run tells while it goes: `metrics.jsonl`, TensorBoard, and a line or a bar in the terminal."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import MissingError
from ..spectrogram import spectrogram, stack

METRICS, TENSORBOARD = "metrics.jsonl", "tensorboard"
SHOWN = ("mel", "stft", "complex_stft", "log_snr", "adversarial", "discriminator")  # losses worth a place in the bar


@dataclass
class Meter:
    """Means of figures since they were last read; sums of float32, which stay on their device until then."""

    sums: dict[str, Tensor] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, figures: Mapping[str, Tensor | float]) -> None:
        """Count one step's figures in."""
        for name, value in figures.items():
            value = torch.as_tensor(value, dtype=torch.float32).detach()
            self.sums[name] = self.sums[name] + value if name in self.sums else value
            self.counts[name] = self.counts.get(name, 0) + 1

    def means(self) -> dict[str, float]:
        """The mean of each figure, after which counting begins anew."""
        means = {name: float(total) / self.counts[name] for name, total in self.sums.items()}
        self.sums, self.counts = {}, {}
        return means

    def state_dict(self) -> dict[str, Any]:
        """What was counted so far; a float of 32 bits survives JSON exactly."""
        return {"sums": {name: plain(float(total)) for name, total in self.sums.items()}, "counts": dict(self.counts)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Put it back."""
        self.sums = {
            name: torch.tensor(math.nan if total is None else total, dtype=torch.float32)
            for name, total in state["sums"].items()
        }
        self.counts = dict(state["counts"])


class Journal:
    """Writes what the first process sees; made with `run=None` it says nothing, for all other processes."""

    def __init__(self, run: Path | None, step: int = 0, bar: Bar | None = None) -> None:
        self.run, self.bar = run, bar or Bar(False)
        self._board: Any = None
        self._heard = False  # the originals are written once
        if run is not None:
            run.mkdir(parents=True, exist_ok=True)
            _rewind(run / METRICS, step)
            self._board = _board(run / TENSORBOARD, step)

    def row(self, row: Mapping[str, Any]) -> None:
        """One line of figures; lists are one figure a level."""
        self._line(row)
        self.bar.show(row)
        for name, value in row.items() if self._board else ():
            if isinstance(value, list):
                for k, each in enumerate(value):
                    self._board.add_scalar(f"{name}/{k + 1}", each, row["step"])
            elif isinstance(value, int | float) and name != "step":
                self._board.add_scalar(name, value, row["step"])

    def warn(self, step: int, sentence: str) -> None:
        """One sentence that somebody should read."""
        self._line({"step": step, "warning": sentence})
        self.bar.say(f"step {step}: {sentence}")
        if self._board:
            self._board.add_text("warnings", sentence, step)

    def sounds(self, step: int, original: NDArray[np.float32], coded: NDArray[np.float32], sample_rate: int) -> None:
        """Clips `[B, C, T]` and what became of them, to hear and to see (the first channel)."""
        if not self._board:
            return
        for i, (before, after) in enumerate(zip(original[:, 0], coded[:, 0], strict=True)):
            self._board.add_audio(f"coded/{i}", np.clip(after, -1, 1)[None], step, sample_rate)
            if not self._heard:
                self._board.add_audio(f"original/{i}", before[None], step, sample_rate)
            picture = stack([spectrogram(before, 400, 128), spectrogram(after, 400, 128)])
            self._board.add_image(f"spectrogram/{i}", picture, step, dataformats="HWC")
        self._heard = True

    def close(self) -> None:
        """Finish the files."""
        if self._board:
            self._board.close()

    def _line(self, row: Mapping[str, Any]) -> None:
        if self.run is not None:
            with (self.run / METRICS).open("a", encoding="utf-8") as file:
                file.write(json.dumps({name: plain(value) for name, value in row.items()}, ensure_ascii=False) + "\n")


class Bar:
    """A bar on standard error where that is a terminal, else a plain line a row."""

    def __init__(self, show: bool) -> None:
        self._bars: Any = None
        self._console: Any = None
        self._decoded = 0  # tenths told of
        if show:
            from rich.console import Console

            self._console = Console(stderr=True, highlight=False)
        if show and sys.stderr.isatty():
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            columns = BarColumn(20), TextColumn("{task.percentage:.0f} %  {task.description}"), TimeRemainingColumn()
            self._bars = Progress(*columns, console=self._console)
            self._task = self._bars.add_task("", total=1.0)
            self._bars.start()

    def advance(self, done: float) -> None:
        """So much of the run is over."""
        if self._bars:
            self._bars.update(self._task, completed=min(1.0, done))

    def decoding(self, done: float, total: float) -> None:
        """So many hours of the sound are decoded; a line every tenth of them where there is no bar to move."""
        if self._bars:
            self._bars.update(self._task, completed=done / total, description="decoding")
        elif (tenth := int(10 * done / total)) > self._decoded:
            self._decoded = tenth
            self.say(f"decoded {10 * tenth} %")

    def show(self, row: Mapping[str, Any]) -> None:
        """The figures that matter, of one row."""
        if self._bars and "progress" in row:
            self._bars.update(self._task, description=headline(row))
        else:
            self.say("  ".join([headline(row), *remaining(row)]))

    def say(self, sentence: str) -> None:
        """One line that stays."""
        if self._console:
            self._console.print(sentence, markup=False, soft_wrap=True)

    def close(self) -> None:
        """Take the bar away."""
        if self._bars:
            self._bars.stop()


def headline(row: Mapping[str, Any]) -> str:
    """A row in one line: losses, codebooks, speed, waiting."""
    parts = [f"step {row['step']}"]
    parts += [f"{name} {row[name]:.3f}" for name in SHOWN if name in row]
    parts += [f"{name} {value:.3f}" for name, value in row.items() if name.startswith("validation/")]
    if row.get("perplexity"):
        parts.append(f"perplexity {min(row['perplexity']):.0f}–{max(row['perplexity']):.0f}")
    if "steps_per_second" in row:
        parts.append(f"{row['steps_per_second']:.2f} steps/s, waiting {row['wait_share']:.0%}")
    return "  ".join(parts)


def remaining(row: Mapping[str, Any]) -> list[str]:
    """How much of a run is over and what is left at the same pace, for lines that stand beside no bar."""
    done, seconds = row.get("progress", 0.0), row.get("seconds", 0.0)
    return [f"{done:.0%}, {clock(seconds / done - seconds)} left"] if done and seconds else []


def clock(seconds: float) -> str:
    """A length of time in its two largest units: 45 s, 12 min 5 s, 2 h 3 min."""
    whole = round(seconds)
    for unit, size, lower, part in (("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // part} {lower}"
    return f"{whole} s"


def kept_lines(path: Path, step: int) -> Iterator[str]:
    """Lines of a `metrics.jsonl` up to `step`: what came later will come again, and may end in half a line."""
    for line in path.read_text("utf-8", errors="replace").splitlines() if path.is_file() else ():
        try:
            if json.loads(line)["step"] <= step:
                yield line + "\n"
        except (ValueError, KeyError, TypeError):
            continue


def _rewind(path: Path, step: int) -> None:
    part = path.with_suffix(".part")
    part.write_text("".join(kept_lines(path, step)), "utf-8")
    part.replace(path)


def _board(folder: Path, step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise MissingError("training writes for TensorBoard; pip install 'nacre[train]'") from error
    return SummaryWriter(str(folder), purge_step=step or None)


def plain(value: Any) -> Any:
    """`value` as JSON can say it, which has no word for NaN."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
