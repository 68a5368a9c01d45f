"""How good pearl is: its levels beside Opus and Codec2 on the same clips, measured in one run.

    python benchmarks/pearl.py                                  # the bundled model on ../shared/dev-set/speech
    python benchmarks/pearl.py --quick                          # 5 clips, no ViSQOL; --fast: all clips, no ViSQOL
    python benchmarks/pearl.py --model RUN/onnx --clips FOLDER --out report

Needs `pip install 'nacre[eval]'`, and Debian's codec2 for its rows. Delay is estimated and removed, levels are matched.
Each mean stands with its 95 % bootstrap interval over clips. `kbps` are bits on disk: whole .nac files, Opus and
Codec2 packets without a container. ViSQOL takes most of the time; `pip install numba` makes it several times faster.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from io import BytesIO
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nacre import NacreError, load, read
from nacre.audio import KINDS
from nacre.codes import CodecInfo, Codes
from nacre.container import nac
from nacre.contract import CodecContract
from nacre.evaluation import speed
from nacre.evaluation.baselines import BASELINES
from nacre.evaluation.codebooks import LevelUse, codebook_use
from nacre.evaluation.intervals import Interval, bootstrap
from nacre.evaluation.metrics import METRICS, align
from nacre.models import DEFAULT

CLIPS = Path(__file__).resolve().parents[2] / "shared" / "dev-set" / "speech"
BITRATES = (1_350, 2_700, 4_050, 6_075)  # bit/s
MEASURED = ("pesq_wb", "stoi", "estoi", "visqol_speech", "si_sdr", "mel_distance")
SLOW = "visqol_speech"
DIGITS = {"stoi": 3, "estoi": 3, "si_sdr": 1}  # decimals, 2 elsewhere
QUICK_CLIPS = 5
TIMED_SECONDS = 30
PACKAGES = ("nacre", "onnxruntime", "pesq", "pystoi", "visqol-python", "ai-edge-litert", "av")


@dataclass(frozen=True)
class System:
    """A codec at one bitrate."""

    name: str
    bitrate: int  # bit/s, asked for
    levels: int = 0  # of our codec; 0 for a baseline


@dataclass(frozen=True)
class Score:
    """One system on one clip."""

    bytes: int
    delay: int  # samples, as estimated
    figures: dict[str, float]


@dataclass(frozen=True)
class Clip:
    """One clip through every system."""

    name: str
    seconds: float
    codes: Codes
    scores: tuple[Score, ...]  # one a system


@dataclass
class Row:
    """One line of the table: a system over all clips."""

    system: System
    kbps: float  # measured
    means: dict[str, Interval]
    clips: dict[str, Score] = field(repr=False)


_codec: CodecContract  # of a worker process


def open_codec(model: str) -> None:
    """Give this process its codec."""
    global _codec
    _codec = load(model)


def measure_clip(path: Path, systems: Sequence[System], metrics: Sequence[str]) -> Clip:
    """Code a clip with every system and score what comes back."""
    info = _codec.info
    wave = read(path, info.sample_rate, 1).samples
    codes = _codec.encode(wave)
    scores = []
    for system in systems:
        if system.levels:
            decoded, size = through_file(codes.head(system.levels))
        else:
            coded = BASELINES[system.name].code(wave[0, 0], info.sample_rate, system.bitrate)
            decoded, size = coded.wave, coded.bytes
        pair = align(wave[0, 0], decoded, info.sample_rate)
        figures = {m: METRICS[m].function(pair.reference, pair.estimate, info.sample_rate) for m in metrics}
        scores.append(Score(size, pair.delay, figures))
    return Clip(path.name, wave.shape[2] / info.sample_rate, codes, tuple(scores))


def through_file(codes: Codes) -> tuple[NDArray[np.float32], int]:
    """What a .nac file of these codes sounds like, and its size."""
    file = BytesIO()
    nac.write(file, codes)
    back: NDArray[np.float32] = _codec.decode(nac.read(BytesIO(file.getvalue())))[0, 0]
    return back, len(file.getvalue())


def choose_systems(name: str, info: CodecInfo) -> list[System]:
    """Our codec at the bitrates it has, then every baseline that is here; a word about those that are not."""
    ours = [System(name, b, info.levels_for(b)) for b in BITRATES if info.bitrate(1) <= b]
    present = {key: baseline for key, baseline in BASELINES.items() if baseline.present()}
    for key in BASELINES.keys() - present.keys():
        print(f"{BASELINES[key].name} left out: not installed ({BASELINES[key].install})", file=sys.stderr)
    return ours + [System(key, bitrate) for key, baseline in present.items() for bitrate in baseline.bitrates]


def gather(systems: Sequence[System], clips: Sequence[Clip], metrics: Sequence[str]) -> Iterator[Row]:
    """A row a system, clips in their order."""
    seconds = sum(clip.seconds for clip in clips)
    for i, system in enumerate(systems):
        scores = [clip.scores[i] for clip in clips]
        means = {metric: bootstrap([score.figures[metric] for score in scores]) for metric in metrics}
        kbps = 8 * sum(score.bytes for score in scores) / seconds / 1000
        yield Row(system, kbps, means, {clip.name: score for clip, score in zip(clips, scores, strict=True)})


def time_codec(model: str, paths: Sequence[Path], rounds: int) -> speed.Speed:
    """The best of `rounds` timings, one thread, nothing else of ours running."""
    rate = load(model).info.sample_rate
    sound = np.concatenate([read(path, rate, 1).samples for path in paths], axis=2)[:, :, : TIMED_SECONDS * rate]
    timings = [speed.measure(lambda: load(model), sound) for _ in range(rounds)]
    return min(timings, key=lambda timing: timing.latency_p95)


def cells(rows: Sequence[Row], metrics: Sequence[str]) -> list[list[str]]:
    """The table of quality, its head first."""
    head = ["codec", "kbps", *(METRICS[m].name + (" dB" if METRICS[m].unit == "dB" else "") for m in metrics)]
    body = []
    for row in rows:
        figures = []
        for metric in metrics:
            mean, digits = row.means[metric], DIGITS.get(metric, 2)
            figures.append(f"{mean.mean:.{digits}f} [{mean.low:.{digits}f}, {mean.high:.{digits}f}]")
        baseline = BASELINES.get(row.system.name)
        body.append([baseline.name if baseline else row.system.name, f"{row.kbps:.2f}", *figures])
    return [head, *body]


def use_cells(use: Sequence[LevelUse]) -> list[list[str]]:
    """The table of codebook use, its head first."""
    body = [
        [str(k + 1), str(u.size), f"{100 * u.used:.1f} %", f"{u.perplexity:.0f}", f"{u.entropy:.2f}", str(u.codes)]
        for k, u in enumerate(use)
    ]
    return [["level", "entries", "used", "perplexity", "bits a code", "codes"], *body]


def speed_cells(timing: speed.Speed) -> list[list[str]]:
    """The table of speed, its head first."""
    return [
        [
            "encode × real time",
            "decode × real time",
            "frame ms p50",
            "frame ms p95",
            "open s",
            "delay ms",
        ],
        [
            f"{timing.encode:.1f}",
            f"{timing.decode:.1f}",
            f"{1000 * timing.latency_p50:.2f}",
            f"{1000 * timing.latency_p95:.2f}",
            f"{timing.load:.2f}",
            f"{1000 * timing.delay:.1f}",
        ],
    ]


def aligned(table: list[list[str]]) -> str:
    """A table for the eye, every column as wide as its widest cell."""
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in table)
    return "\n".join(line.rstrip() for line in lines)


def markdown(table: list[list[str]]) -> str:
    """A table for a page."""
    lines = ["| " + " | ".join(row) + " |" for row in table]
    return "\n".join([lines[0], "|" + "---|" * len(table[0]), *lines[1:]])


def quoted(clips: Path) -> str:
    """The first table of a REFERENCES.md beside the clips: what others scored on them."""
    place = clips.parent / "REFERENCES.md"
    lines = place.read_text("utf-8").splitlines() if place.is_file() else []
    first = next((i for i, line in enumerate(lines) if line.startswith("|")), len(lines))
    last = next((i for i in range(first, len(lines)) if not lines[i].startswith("|")), len(lines))
    return "\n".join(lines[first:last])


def versions() -> dict[str, str]:
    """What was measured with."""
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "absent"
    return found


def parse() -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--model", default=DEFAULT, help=f"a name or an exported folder ({DEFAULT})")
    parser.add_argument("--clips", type=Path, default=CLIPS, help="folder of sound files (../shared/dev-set/speech)")
    parser.add_argument("--out", type=Path, help="folder for pearl.md and pearl.json")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_CLIPS} clips, no ViSQOL")
    parser.add_argument("--fast", action="store_true", help="all clips, no ViSQOL")
    parser.add_argument("--processes", type=int, default=2, help="worker processes (2); figures do not depend on it")
    return parser.parse_args()


def find_clips(folder: Path, quick: bool) -> list[Path]:
    """Sound files in the order of their names; five of them, evenly spread, when it has to be quick."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in KINDS) if folder.is_dir() else []
    if not paths:
        sys.exit(f"no sound files in {folder}; name a folder of speech with --clips")
    return paths[:: max(1, len(paths) // QUICK_CLIPS)][:QUICK_CLIPS] if quick else paths


def measure_all(asked: argparse.Namespace, paths: list[Path], systems: list[System], metrics: list[str]) -> list[Clip]:
    """Every clip, shared among processes, in the order of `paths`."""
    pool = ProcessPoolExecutor(asked.processes, get_context("spawn"), open_codec, (asked.model,))
    with pool:
        jobs = [pool.submit(measure_clip, path, systems, metrics) for path in paths]
        done = []
        for path, job in zip(paths, jobs, strict=True):
            try:
                done.append(job.result())
            except NacreError as error:
                pool.shutdown(cancel_futures=True)
                sys.exit(f"{path.name}: {error}")
            print(f"{len(done)}/{len(paths)} {path.name}", file=sys.stderr)
    return done


def main() -> None:
    """Measure, print the tables, write the report."""
    try:
        report(parse())
    except NacreError as error:
        sys.exit(str(error))


def report(asked: argparse.Namespace) -> None:
    """All that `main` does, but for errors."""
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # for the workers
    paths = find_clips(asked.clips, asked.quick)
    metrics = [metric for metric in MEASURED if metric != SLOW or not (asked.quick or asked.fast)]
    info = load(asked.model).info
    systems = choose_systems(info.name, info)
    clips = measure_all(asked, paths, systems, metrics)
    rows = list(gather(systems, clips, metrics))
    use = codebook_use(clip.codes for clip in clips)
    timing = time_codec(asked.model, paths, rounds=1 if asked.quick else 3)
    seconds = sum(clip.seconds for clip in clips)
    title = f"{info.name} ({info.digest}) on {len(clips)} clips, {seconds:.0f} s; means and 95 % bootstrap intervals"
    tables = [cells(rows, metrics), use_cells(use), speed_cells(timing)]
    print("\n\n".join([title, *map(aligned, tables)]))
    if asked.out:
        others = "" if asked.quick else quoted(asked.clips)  # theirs are of all clips
        parts = [title, *map(markdown, tables)]
        parts += [f"Quoted from the clips' REFERENCES.md, measured elsewhere:\n\n{others}"] if others else []
        write_report(
            asked.out,
            "\n\n".join(parts),
            {"info": asdict(info), "rows": [asdict(row) for row in rows]}
            | {"levels": [asdict(u) for u in use], "speed": asdict(timing), "versions": versions()},
        )


def write_report(folder: Path, page: str, figures: dict[str, Any]) -> None:
    """`pearl.md` for people and `pearl.json` for programs."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pearl.md").write_text(page + "\n", "utf-8")
    (folder / "pearl.json").write_text(json.dumps(figures, indent=1) + "\n", "utf-8")
    print(f"\nwritten: {folder / 'pearl.md'} and {folder / 'pearl.json'}")


if __name__ == "__main__":
    main()
