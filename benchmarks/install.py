"""What an install costs: seconds, packages and megabytes of nacre and of its peers, and the first encode after it.

    python benchmarks/install.py                 # nacre and all peers, some minutes and gigabytes
    python benchmarks/install.py nacre snac      # only these

Each goes into an empty virtual environment in a temporary folder, without pip's cache. Packages that need torch get
the version in constraints-test.txt; it counts in. On the project's machines that is a CPU build from a local
folder, so the peers' seconds and megabytes are far below what CUDA builds from PyPI cost.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
import venv
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / "constraints-test.txt"
TRIES = 3

# PyPI's torchaudio is built for CUDA and does not load beside a CPU build of torch. Coding needs nothing of it, so a
# hollow one stands in: in the peers' favour, for it loads at once.
HOLLOW = """
import sys, types
try:
    import torchaudio
except OSError:
    sys.modules["torchaudio"] = types.ModuleType("torchaudio")
"""

TARGETS = {"nacre": str(ROOT), "encodec": "encodec", "snac": "snac", "descript-audio-codec": "descript-audio-codec"}

# The whole of what a user waits for: import, model, ten seconds of noise coded. The peers' weights lie on hubs out
# of reach, so theirs are random: the same arithmetic, without the time to read a file.
FIRST_ENCODE = {
    "nacre": """
import numpy as np, nacre
nacre.load("pearl-24k").encode(np.random.default_rng(0).normal(0, 0.1, (1, 1, 240000)).astype(np.float32))
""",
    "encodec": f"""{HOLLOW}
import torch; from encodec import EncodecModel
model = EncodecModel.encodec_model_24khz(pretrained=False).eval(); model.set_target_bandwidth(6.0)
with torch.inference_mode(): model.encode(torch.randn(1, 1, 240000) * 0.1)
""",
    "snac": """
import torch; from snac import SNAC
model = SNAC(sampling_rate=24000, encoder_dim=48, encoder_rates=[2, 4, 8, 8], decoder_dim=1024,
    decoder_rates=[8, 8, 4, 2], attn_window_size=None, codebook_size=4096, vq_strides=[4, 2, 1]).eval()
with torch.inference_mode(): model.encode(torch.randn(1, 1, 240000) * 0.1)
""",
    "descript-audio-codec": f"""{HOLLOW}
import torch, dac
model = dac.DAC(sample_rate=24000, encoder_rates=[2, 4, 5, 8], decoder_rates=[8, 5, 4, 2], n_codebooks=32).eval()
with torch.inference_mode(): model.encode(torch.randn(1, 1, 240000) * 0.1)
""",
}


@dataclass(frozen=True)
class Cost:
    """What one install took; None where it could not be measured, with the reason in `note`."""

    name: str
    seconds: float | None = None
    packages: int | None = None
    megabytes: float | None = None
    first_encode: float | None = None  # seconds, the best of TRIES fresh processes
    note: str = ""

    def row(self) -> tuple[str, ...]:
        """The cells of the table."""
        return (
            self.name,
            _cell(self.seconds, ".1f"),
            _cell(self.packages, "d"),
            _cell(self.megabytes, ".0f"),
            _cell(self.first_encode, ".2f"),
            self.note,
        )


def measure(name: str, timeout: float) -> Cost:
    """Install `name` into a new environment and take its measure."""
    with tempfile.TemporaryDirectory(prefix="nacre-install-") as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder) / "bin" / "python"
        packages, size = _packages(python), _megabytes(Path(folder))
        start = time.perf_counter()
        error = _run(_pip(python, "install", "--no-cache-dir", "-c", str(CONSTRAINTS), TARGETS[name]), timeout)
        seconds = time.perf_counter() - start
        if error:
            return Cost(name, seconds, note=f"install failed: {error}")
        added, grown = _packages(python) - packages, _megabytes(Path(folder)) - size
        best, error = _first_encode(python, FIRST_ENCODE[name], timeout)
        return Cost(name, seconds, len(added), grown, best, f"first encode failed: {error}" if error else "")


def _first_encode(python: Path, code: str, timeout: float) -> tuple[float | None, str]:
    times = []
    for _ in range(TRIES):
        start = time.perf_counter()
        error = _run([str(python), "-W", "ignore", "-c", code], timeout)
        if error:
            return None, error
        times.append(time.perf_counter() - start)
    return min(times), ""


def _pip(python: Path, *arguments: str) -> list[str]:
    return [str(python), "-m", "pip", "--disable-pip-version-check", *arguments]


def _run(command: list[str], timeout: float) -> str:
    """Run it outside the repository; "" when it went well, else the line that says best what went wrong."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, cwd=tempfile.gettempdir())
    except subprocess.TimeoutExpired:
        return f"no end after {timeout:.0f} s"
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()] or ["no message"]
    errors = [line for line in lines if re.match(r"\w+Error: |ERROR: ", line)] or lines
    return errors[-1][:160] if done.returncode else ""


def _packages(python: Path) -> set[str]:
    listed = subprocess.run(_pip(python, "list", "--format", "json"), capture_output=True, text=True, check=True)
    return {package["name"] for package in json.loads(listed.stdout)}


def _megabytes(folder: Path) -> float:
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_symlink() and path.is_file()) / 1e6


def _cell(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def table(rows: list[tuple[str, ...]]) -> str:
    """The rows under a heading: the name left, numbers right, the note as it is."""
    rows = [("package", "install s", "packages", "MB", "first encode s", "note"), *rows]
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    return "\n".join(
        "  ".join([row[0].ljust(widths[0]), *(row[i].rjust(widths[i]) for i in range(1, 5)), row[5]]).rstrip()
        for row in rows
    )


def main() -> None:
    """Measure one after the other and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("packages", nargs="*", metavar="PACKAGE", help=f"of {', '.join(TARGETS)}; all by default")
    parser.add_argument("--timeout", type=float, default=900, help="seconds for each install (900)")
    chosen = parser.parse_args()
    if unknown := set(chosen.packages) - set(TARGETS):
        parser.error(f"unknown: {', '.join(unknown)}; choose from {', '.join(TARGETS)}")
    rows = []
    for name in chosen.packages or TARGETS:
        print(f"installing {name} ...", file=sys.stderr)
        rows.append(measure(name, chosen.timeout).row())
    pin = CONSTRAINTS.read_text().split()[-1]
    print(table(rows))
    print(f"Fresh environments, no pip cache, pip and setuptools not counted. {pin} counts in where it is needed;")
    print("here it may be a local CPU build. First encode: import, model and 10 s of audio in a new process,")
    print(f"best of {TRIES}; the peers run random weights, for theirs must be downloaded.")


if __name__ == "__main__":
    main()
