"""What training costs: a few real steps of every recipe at small scale, and the arithmetic of whole recipes.

    python benchmarks/training.py                                  # every recipe: about ten minutes of one core
    python benchmarks/training.py --only dac-16k pearl-24k --steps 10
    python benchmarks/training.py --page benchmarks/training.md    # and put the tables between the marks of that page
    python benchmarks/training.py --keep FILE --only ...           # in parts: what FILE has is not measured again

Each stage is trained in a process of its own, on the bundled sentence or on `--data`: first the codec alone, then with
its discriminators. On a machine that is busy, `--clock cpu` counts the time that the process ran instead of the time
on the wall (one thread only). Stages that differ in nothing but their length are measured once.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import platform
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from accelerate import Accelerator
from torch.utils.flop_counter import FlopCounterMode

from nacre.models import SAMPLE
from nacre.training.adversary import build_discriminators
from nacre.training.library import names
from nacre.training.recipe import About, Recipe
from nacre.training.run import Data, open_material, seed_all, stages_for, without_absent
from nacre.training.trainer import Trainer

SPEED = ("<!-- speed: made by benchmarks/training.py -->", "<!-- /speed -->")
WORK = ("<!-- work: made by benchmarks/training.py -->", "<!-- /work -->")
NEVER = 1e9  # the step from which discriminators join in, where they should not
A100 = 10.0  # TFLOP/s that one sustains on such convolutions, about
CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}


@dataclass(frozen=True)
class Row:
    """What one stage of a recipe costs at small scale."""

    recipe: str
    stage: int  # 0 where there is one
    parameters: int
    batch: int
    samples: int  # of a crop, in all its channels
    alone: float  # steps a second without discriminators
    whole: float  # with them, if the stage has any
    megabytes: float  # at most, of the whole process
    waiting: float  # share of the time


@dataclass(frozen=True)
class Job:
    """One stage to measure, and how."""

    recipe: Recipe
    name: str
    data: str
    steps: int
    threads: int
    clock: str


def measure(job: Job) -> Row:
    """Train a few steps in this process."""
    torch.set_num_threads(job.threads)
    recipe, _ = without_absent(replace(job.recipe, adversarial_start=NEVER))
    seed_all(recipe.seed)
    codec, accelerator = recipe.build(), Accelerator(cpu=True)
    material = open_material(recipe, codec, Data(job.data, background=job.data), accelerator)
    trainer = Trainer(recipe, codec, material, accelerator)
    alone, waiting = pace(trainer, job)
    whole = alone
    if trainer.adversary:
        trainer.recipe = replace(recipe, adversarial_start=0.0)
        whole, waiting = pace(trainer, job)
    material.close()
    return Row(
        recipe=job.name,
        stage=recipe.stage,
        parameters=sum(each.numel() for each in codec.parameters()),
        batch=recipe.batch,
        samples=round(recipe.crop * codec.info.sample_rate) * codec.info.channels,
        alone=alone,
        whole=whole,
        megabytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "linux" else 2**20),
        waiting=waiting,
    )


def pace(trainer: Trainer, job: Job) -> tuple[float, float]:
    """Steps a second after one that starts codebooks and optimizers, and the share of the time that went by waiting."""
    now = CLOCKS[job.clock]
    trainer.step()
    trainer.batches.reset_clock()
    began = now()
    for _ in range(job.steps):
        trainer.step()
    return job.steps / (now() - began), trainer.batches.wait_share


def stages(only: Sequence[str]) -> Iterator[tuple[str, Recipe]]:
    """Every stage at small scale that differs from those before it in more than its name and length."""
    seen = set()
    for name in only:
        for stage in stages_for(name, scale="small"):
            alike = replace(stage, name="", stage=0, steps=1, about=About(), lr=0.0, schedule="constant", drops=())
            if alike not in seen:
                seen.add(alike)
                yield name, stage


def measured(options: argparse.Namespace) -> list[Row]:
    """All rows asked for, those of `--keep` without measuring."""
    keep: Path | None = options.keep
    known = [Row(**row) for row in json.loads(keep.read_text("utf-8"))] if keep and keep.is_file() else []
    rows = []
    fresh = multiprocessing.get_context("fork")  # a child has all imports, and a peak of memory of its own
    for name, stage in stages(options.only):
        found = [row for row in known if (row.recipe, row.stage) == (name, stage.stage)]
        if not found:
            job = Job(stage, name, options.data, options.steps, options.threads, options.clock)
            with fresh.Pool(1) as pool:
                found = [pool.apply(measure, (job,))]
            known += found
            print(" ".join(speed_line(found[0])), file=sys.stderr, flush=True)
            if keep:
                keep.write_text(json.dumps([asdict(row) for row in known], indent=1), "utf-8")
        rows += found
    return rows


def speed_line(row: Row) -> list[str]:
    """A row as words."""
    return [
        row.recipe,
        str(row.stage or 1),
        f"{row.parameters / 1e6:.2f} M",
        f"{row.batch} × {row.samples}",
        f"{row.alone:.2f}",
        f"{row.whole:.2f}" if row.whole != row.alone else "–",
        f"{row.whole * row.batch * row.samples:,.0f}".replace(",", " "),
        f"{row.megabytes:.0f}",
        f"{100 * row.waiting:.1f} %",
    ]


SPEED_HEAD = ["recipe", "stage", "parameters", "crops × samples", "steps/s, codec alone", "steps/s, whole"]
SPEED_HEAD += ["samples/s", "memory, MB", "data wait"]


def work(recipe: Recipe) -> float:
    """TFLOP of one step of a stage: three passes of the codec, two where its first half is held, nine of the others.

    A way back counts as two passes, or as one where no weights learn. Discriminators pass real and coded crops and go
    back when they learn, which is six; when they judge, two and the way back to the coded wave.
    """
    codec = recipe.build().eval()
    wave = torch.zeros(1, codec.info.channels, round(recipe.crop * codec.info.sample_rate))
    passes = 2 if {"encoder", "quantizer"} <= set(recipe.held) else 3
    total = passes * flops(lambda: codec(wave))
    if recipe.discriminators:
        judges = build_discriminators(recipe).eval()
        total += (3 + 6 * recipe.discriminator_share) * flops(lambda: judges(wave.reshape(-1, 1, wave.shape[-1])))
    return total * recipe.batch / 1e12


@torch.no_grad()
def flops(call: Callable[[], object]) -> float:
    """Multiply-adds of a call, as PyTorch counts them (two each)."""
    with FlopCounterMode(display=False) as counter:
        call()
    return float(counter.get_total_flops())


def work_line(name: str) -> list[str]:
    """What a whole recipe asks for, as words."""
    whole = stages_for(name)
    steps = sum(stage.steps for stage in whole)
    total = sum(stage.steps * work(stage) for stage in whole)
    last = whole[-1]
    crops = "–".join(f"{crop:g}" for crop in sorted({stage.crop for stage in whole}))
    count, hours = f"{steps:,}".replace(",", " "), total / A100 / 3600
    size = f"{last.about.parameters / 1e6:.1f} M"
    return [name, size, crops, str(last.batch), count, f"{total / steps:.2g}", f"~{hours:.2g}"]


WORK_HEAD = ["recipe", "parameters", "crop, s", "batch", "steps", "TFLOP a step", "GPU hours"]


def table(lines: Sequence[Sequence[str]]) -> str:
    """Markdown in which columns stand under one another too; the first line is the head."""
    first, *widths = (max(map(len, column)) for column in zip(*lines, strict=True))
    rule = ["-" * first, *("-" * (width - 1) + ":" for width in widths)]
    rows = []
    for name, *words in (lines[0], rule, *lines[1:]):
        rows.append([name.ljust(first), *(word.rjust(width) for word, width in zip(words, widths, strict=True))])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def put_into(page: Path, marks: tuple[str, str], words: str) -> None:
    """Replace what stands between two marks of a page."""
    before, begin, rest = page.read_text("utf-8").partition(marks[0])
    _, end, after = rest.partition(marks[1])
    if not begin or not end:
        sys.exit(f"{page} has no lines {marks[0]} and {marks[1]}; put them where the table shall stand")
    page.write_text(f"{before}{begin}\n\n{words}\n\n{end}{after}", "utf-8")


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--only", nargs="+", default=names(), metavar="RECIPE", help="some recipes (all)")
    parser.add_argument("--data", default=str(SAMPLE), help="sound to train on (the bundled sentence)")
    parser.add_argument("--steps", type=int, default=3, help="steps of each kind that are timed (3)")
    parser.add_argument("--threads", type=int, default=1, help="threads (1)")
    parser.add_argument("--clock", choices=CLOCKS, default="wall", help="what is counted (wall)")
    parser.add_argument("--keep", type=Path, default=None, help="a file that keeps what was measured")
    parser.add_argument("--page", type=Path, default=None, help="a page with marks for the tables")
    parser.add_argument("--arithmetic", action="store_true", help="the table of arithmetic too; gigabytes and minutes")
    options = parser.parse_args(words)
    if options.clock == "cpu" and options.threads > 1:
        parser.error("--clock cpu adds up what threads take; use one thread")
    return options


def main(words: Sequence[str] | None = None) -> None:
    """Measure, print, and put into the page."""
    options = parse(words)
    tables = [(SPEED, table([SPEED_HEAD, *map(speed_line, measured(options))]))]
    if options.arithmetic:
        tables.append((WORK, table([WORK_HEAD, *map(work_line, options.only)])))
    for marks, words_ in tables:
        print(words_)
        if options.page:
            put_into(options.page, marks, words_)
    print(f"{platform.machine()}, {options.threads} thread, PyTorch {torch.__version__}", file=sys.stderr)


if __name__ == "__main__":
    main()
