"""The curves of runs side by side, as TensorBoard draws them: a column a run, a row a curve, one small PNG.

    python benchmarks/curves.py PICTURE.png --curves perplexity usage --runs healthy=runs/one collapsed=runs/other

Needs matplotlib. The runs behind docs/pictures/training-*.png, on a CPU, are `nacre train RECIPE` with

    codebooks, healthy     pearl-24k, the run that made the shipped weights (docs/pearl.md)
    codebooks, collapsed   hificodec-16k-320d --scale small --data CLIP.wav (two seconds) --set lr=1e-3 --set crop=0.25
                           --set steps=80 --set log_every=13 --set adversarial_on_cpu=false
    discriminators         pearl-24k --scale small --data ../shared/dev-set/speech --set steps=300 --set batch=4
                           --set crop=0.25 --set weights.intelligibility=0 --set adversarial_start=0.33
                           --set 'discriminators=["periods-academicodec"]' --set log_every=5
    ... that win           the same, --set discriminator_lr=0.01 --set lr=0.03 --set clip=0 --set weights.commitment=0
                           --set 'betas=[0.0,0.9]'
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

SMOOTH = 0.6  # TensorBoard's own
COLOUR, FAINT = "#ff7043", "#ffd0bf"


def points(run: Path, name: str) -> dict[str, tuple[list[int], list[float]]]:
    """Steps and values of a curve, or of each level where it has levels."""
    rows: list[dict[str, Any]] = [json.loads(line) for line in (run / "metrics.jsonl").read_text("utf-8").splitlines()]
    found: dict[str, tuple[list[int], list[float]]] = {}
    for row in rows:
        value = row.get(name)
        for k, each in enumerate(value if isinstance(value, list) else [value]):
            if each is not None:
                steps, values = found.setdefault(f"{name}/{k + 1}" if isinstance(value, list) else name, ([], []))
                steps.append(row["step"])
                values.append(each)
    return found


def smooth(values: Sequence[float], weight: float = SMOOTH) -> list[float]:
    """An average that forgets, without TensorBoard's pull towards zero at the start."""
    last, held, out = 0.0, 0.0, []
    for value in values:
        last, held = weight * last + (1 - weight) * value, weight * held + (1 - weight)
        out.append(last / held)
    return out


def draw(path: Path, names: Sequence[str], runs: dict[str, Path]) -> None:
    """Draw and write."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import colormaps, pyplot

    figure, axes = pyplot.subplots(len(names), len(runs), figsize=(3.6 * len(runs), 1.6 * len(names)), squeeze=False)
    for column, (title, run) in enumerate(runs.items()):
        for row, name in enumerate(names):
            axis, curves = axes[row][column], points(run, name)
            for i, (steps, values) in enumerate(curves.values()):
                colour = COLOUR if len(curves) == 1 else colormaps["viridis"](i / len(curves))
                if len(curves) == 1:
                    axis.plot(steps, values, color=FAINT, linewidth=0.8)
                axis.plot(steps, smooth(values), color=colour, linewidth=1.1)
            axis.set_title(f"{title}: {name}", fontsize=8, loc="left")
            axis.tick_params(labelsize=7)
            axis.grid(alpha=0.25, linewidth=0.5)
    for pair in axes:  # one scale a row, so that runs compare
        low, high = (function(axis.get_ylim()[i] for axis in pair) for i, function in enumerate((min, max)))
        for axis in pair:
            axis.set_ylim(low, high)
    figure.tight_layout(pad=0.6)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=80, pil_kwargs={"optimize": True})


def main() -> None:
    """Read the command line and draw."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("picture", type=Path)
    parser.add_argument("--curves", nargs="+", required=True, metavar="NAME")
    parser.add_argument("--runs", nargs="+", required=True, metavar="TITLE=RUN")
    options = parser.parse_args()
    pairs = [word.partition("=") for word in options.runs]
    draw(options.picture, options.curves, {title: Path(run) for title, _, run in pairs})


if __name__ == "__main__":
    main()
