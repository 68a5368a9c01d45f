"""The table of the README: codecs of ours that are on this machine beside Opus and others, by one command.

    python benchmarks/peers.py                        # ../shared/dev-set/speech, all that is here
    python benchmarks/peers.py --readme README.md     # and put the table into the page, between its two marks
    python benchmarks/peers.py --codecs pearl-24k dac-24k opus --data FOLDER --clips 5

Needs `pip install 'nacre[eval]'`. It is `nacre evaluate` with a smaller table: the report with all figures, curves and
sounds is in `--out`. What was measured before is not measured again, so a run that was stopped goes on, and new weights
cost only their own rows. Nothing is downloaded.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from nacre import NacreError
from nacre.catalogue import CATALOGUE
from nacre.cli.display import Progress
from nacre.evaluation import campaign
from nacre.evaluation.baselines import BASELINES
from nacre.evaluation.intervals import Interval
from nacre.evaluation.report import Report, as_markdown, digits, headline, make, metric_title
from nacre.models import is_here, is_readable

CLIPS = Path(__file__).resolve().parents[2] / "shared" / "dev-set" / "speech"
BITRATES = (1_500, 3_000, 6_000, 12_000)  # bit/s
METRICS = ("pesq_wb", "stoi", "estoi", "mel_distance")  # what is measured: minutes, where ViSQOL takes an hour
SHOWN = (*METRICS, "visqol_speech", "si_sdr")  # columns, where measured
EXPLAINED = "means ± half of their 95 % bootstrap intervals; kbps are bits on disk, others' packets without a container"
MORE = "more in [docs/pearl.md](docs/pearl.md)"
BEGIN, END = "<!-- peers -->", "<!-- /peers -->"


def present() -> list[str]:
    """Models whose weights are here, then baselines that are installed."""
    ours = [name for name, model in CATALOGUE.items() if is_here(model) and is_readable(model)]
    return ours + [name for name, baseline in BASELINES.items() if baseline.present()]


def table(report: Report) -> list[list[str]]:
    """A line for each codec and bitrate, the head first; a codec's name stands at its first line, ours in bold."""
    metrics = [metric for metric in SHOWN if metric in report.campaign.metrics]
    body: list[list[str]] = []
    before = ""
    for row in report.summary.rows:
        name = "" if row.label == before else row.label if row.baseline else f"**{row.label}**"
        timing, before = report.timings.get(row.label), row.label
        figures = [cell(row.means.get(metric), digits(metric)) for metric in metrics]
        speed = [f"{timing.both:.0f}" if timing and name else ""] if report.timings else []
        body.append([name, f"{row.kbps:.2f}", *figures, *speed])
    last = ["× real time, both ways"] if report.timings else []
    return [["codec", "kbps", *map(metric_title, metrics), *last], *body]


def cell(mean: Interval | None, places: int) -> str:
    """A mean and half of its interval."""
    return f"{mean.mean:.{places}f} ± {(mean.high - mean.low) / 2:.{places}f}" if mean else "–"


def text(report: Report) -> str:
    """The command, what the table is of, and the table."""
    weights = [f"{each.label} {each.digest[:8]}" for each in report.campaign.entrants if not each.baseline]
    of = f"weights {', '.join(weights)}; " if weights else ""
    said = f"`python benchmarks/peers.py --readme README.md`: {headline(report)}; {EXPLAINED}; {of}{MORE}"
    lines = as_markdown(table(report)).replace("\\*\\*", "**")  # bold is meant
    return f"{said}\n\n{lines}"


def put_into(page: Path, words: str) -> None:
    """Replace what stands between the marks of a page."""
    before, begin, rest = page.read_text("utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        sys.exit(f"{page} has no lines {BEGIN} and {END}; put them where the table shall stand")
    page.write_text(f"{before}{BEGIN}\n\n{words}\n\n{END}{after}", "utf-8")


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--codecs", nargs="+", default=None, help="names, folders, baselines (all that is here)")
    parser.add_argument("--data", type=Path, default=CLIPS, help="folder of sound files (../shared/dev-set/speech)")
    parser.add_argument("--clips", type=int, default=0, help="so many clips, evenly spread (all)")
    parser.add_argument("--metrics", nargs="+", default=METRICS, help=f"({' '.join(METRICS)})")
    parser.add_argument("--bitrates", nargs="+", type=int, default=BITRATES, help="bit/s")
    parser.add_argument("--rate", type=int, default=24_000, help="Hz to compare at (24000)")
    parser.add_argument("--out", type=Path, default=Path("runs/peers"), help="folder of the whole report (runs/peers)")
    parser.add_argument("--workers", type=int, default=0, help="processes (one a core); figures do not depend on it")
    parser.add_argument("--no-speed", action="store_true", help="leave timing out")
    parser.add_argument("--readme", type=Path, help=f"a page with the lines {BEGIN} and {END}")
    return parser.parse_args(words)


def main() -> None:
    """Measure, print the table, write it where asked."""
    asked = parse()
    plan = campaign.Plan(
        codecs=tuple(asked.codecs or present()),
        data=(str(asked.data),),
        out=str(asked.out),
        bitrates=tuple(asked.bitrates),
        metrics=tuple(asked.metrics),
        sample_rate=asked.rate,
    )
    plan = replace(plan, clips=asked.clips, workers=asked.workers)
    try:
        with Progress(campaign.size(plan)) as progress:
            report = make(plan, progress, timed=not asked.no_speed)
    except NacreError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("stopped; the same command goes on where it was")
    words = text(report)
    print(f"{words}\n\nthe whole report: {asked.out / 'report.html'}")
    if asked.readme:
        put_into(asked.readme, words)


if __name__ == "__main__":
    main()
