"""Peak memory of `nacre encode` and `nacre decode` on a short and a long file: it must not grow with length.

    python benchmarks/memory.py                      # 1 and 60 minutes, at most 10 % apart
    python benchmarks/memory.py --minutes 0.5 5

Each verb runs in a process of its own, whose peak resident set the kernel reports when it ends.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
import wave
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

LIMIT = 1.10  # long over short


@dataclass(frozen=True)
class Run:
    """One process: its peak resident set in MB and its wall time in seconds."""

    peak: float
    seconds: float


def write_speechlike(path: Path, minutes: float, sample_rate: int) -> None:
    """Noise that comes and goes four times a second, mono, 16 bit, written second by second."""
    rng = np.random.default_rng(0)
    envelope = np.sin(np.arange(sample_rate) * (4 * np.pi / sample_rate)) ** 2
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sample_rate)
        for _ in range(round(minutes * 60)):
            noise = rng.normal(0, 3000, sample_rate) * envelope
            file.writeframes(noise.clip(-32768, 32767).astype("<i2").tobytes())


def run(*arguments: str) -> Run:
    """Run `python -m nacre ARGUMENTS` and watch its peak.

    A child's peak starts at its parent's size, which is why this file stays small and writes by the second.
    """
    start = time.perf_counter()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen([sys.executable, "-m", "nacre", *arguments], stdout=said, stderr=said)
        _, status, usage = os.wait4(process.pid, 0)  # per child; RUSAGE_CHILDREN knows only the largest of all
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            sys.exit(f"nacre {' '.join(arguments)} ended with {process.returncode}: {said.read().decode()[-500:]}")
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss: bytes there, kibibytes elsewhere
    return Run(usage.ru_maxrss * unit / 1e6, time.perf_counter() - start)


def measure(minutes: float, sample_rate: int) -> dict[str, Run]:
    """Both verbs on a file of that length."""
    with tempfile.TemporaryDirectory(prefix="nacre-memory-") as folder:
        source, coded, back = (str(Path(folder) / name) for name in ("in.wav", "out.nac", "back.wav"))
        write_speechlike(Path(source), minutes, sample_rate)
        return {"encode": run("encode", source, coded), "decode": run("decode", coded, back)}


def table(lengths: list[float], runs: list[dict[str, Run]]) -> Iterator[str]:
    """A line a verb: peaks, their ratio, and how long each took."""
    heads = [f"{minutes:g} min" for minutes in lengths]
    yield (
        "verb    "
        + "".join(f"{head + ' MB':>14}" for head in heads)
        + f"{'ratio':>8}"
        + "".join(f"{head + ' s':>14}" for head in heads)
    )
    for verb in ("encode", "decode"):
        peaks, seconds = [r[verb].peak for r in runs], [r[verb].seconds for r in runs]
        cells = "".join(f"{peak:>14.1f}" for peak in peaks) + f"{ratio(verb, runs):>8.3f}"
        yield f"{verb:<8}{cells}" + "".join(f"{s:>14.2f}" for s in seconds)


def ratio(verb: str, runs: list[dict[str, Run]]) -> float:
    """Peak of the longest over peak of the shortest."""
    return runs[-1][verb].peak / runs[0][verb].peak


def main() -> None:
    """Measure, print, and end with 1 when the long file took more than the limit."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--minutes", type=float, nargs=2, default=[1, 60], metavar=("SHORT", "LONG"))
    parser.add_argument("--sample-rate", type=int, default=24000, help="Hz of the test file (24000)")
    chosen = parser.parse_args()
    lengths = sorted(chosen.minutes)
    runs = [measure(minutes, chosen.sample_rate) for minutes in lengths]
    print("\n".join(table(lengths, runs)))
    worst = max(ratio(verb, runs) for verb in ("encode", "decode"))
    print(f"worst ratio {worst:.3f}, at most {LIMIT:.2f} allowed: {'kept' if worst <= LIMIT else 'broken'}")
    sys.exit(worst > LIMIT)


if __name__ == "__main__":
    main()
