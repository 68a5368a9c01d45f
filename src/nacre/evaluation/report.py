"""A campaign as files: `report.json` for programs, `report.md` for pages, `report.html` for people."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from .. import __version__
from ..atomic import write_whole
from ..batch import Watcher
from .campaign import Campaign, Plan, run
from .intervals import Interval
from .page import Sheet, build
from .plugins import find_metric
from .scores import plain, save
from .summary import Row, Summary, scores_of, summarise
from .timing import Timing, time_all

PACKAGES = ("onnxruntime", "pesq", "pystoi", "visqol-python", "ai-edge-litert", "speechmos", "av", "soundfile")
DIGITS = {"stoi": 3, "estoi": 3, "si_sdr": 1, "log_spectral_distance": 1}  # decimals, 2 elsewhere

SPEED = "Speed and weight, one thread"
SPEEDS = (  # what is told of a codec's speed, the field of Timing, how many of the field's unit are one
    ("encode, × real time", "encode", 1.0),
    ("decode, × real time", "decode", 1.0),
    ("both, × real time", "both", 1.0),
    ("cold start, s", "cold_start", 1.0),
    ("a frame, ms of sound", "frame", 1e3),
    ("both ways on a line, ms: median", "latency_p50", 1e3),
    ("95 of 100 within", "latency_p95", 1e3),
    ("99 of 100 within", "latency_p99", 1e3),
    ("algorithmic delay, ms", "delay", 1e3),
    ("peak memory, MB", "memory", 1e-6),
    ("parameters, M", "parameters", 1e-6),
    ("encode, GMAC/s", "encode_work", 1e-9),
    ("decode, GMAC/s", "decode_work", 1e-9),
)


@dataclass(frozen=True)
class Report:
    """Everything about a campaign that is shown."""

    campaign: Campaign
    summary: Summary
    timings: Mapping[str, Timing]


def metric_title(name: str) -> str:
    """How people write a metric, with its unit where it is not a mark."""
    metric = find_metric(name)
    return f"{metric.name} {metric.unit}" if metric.unit not in ("", "MOS") else metric.name


def digits(metric: str) -> int:
    """Decimals of a metric's figures."""
    return DIGITS.get(metric, 2)


def interval(mean: Interval, places: int) -> str:
    """A mean with its interval behind it."""
    return f"{mean.mean:.{places}f} [{mean.low:.{places}f}, {mean.high:.{places}f}]"


def quality_table(report: Report) -> list[list[str]]:
    """Codecs and bitrates against metrics, the head first."""
    metrics = report.campaign.metrics
    head = ["codec", "kbps", "clips", *map(metric_title, metrics)]
    return [head, *(_quality_row(row, metrics) for row in report.summary.rows)]


def speed_table(timings: Mapping[str, Timing]) -> list[list[str]]:
    """Time and weight against codecs, the head first; empty where nothing was timed."""
    head = ["", *(timing.label for timing in timings.values())]
    body = [
        [words, *(_number(getattr(timing, name), scale) for timing in timings.values())]
        for words, name, scale in SPEEDS
    ]
    return [head, *body] if timings else []


def level_table(summary: Summary) -> list[list[str]]:
    """What each level of each codebook says, the head first; empty without codecs of ours."""
    head = ["codec", "level", "entries", "used", "perplexity", "bits a code", "codes"]
    body = [
        [
            label,
            f"{k + 1}",
            f"{u.size}",
            f"{100 * u.used:.1f} %",
            f"{u.perplexity:.0f}",
            f"{u.entropy:.2f}",
            f"{u.codes}",
        ]
        for label, use in summary.levels.items()
        for k, u in enumerate(use)
    ]
    return [head, *body] if body else []


def test_table(summary: Summary) -> list[list[str]]:
    """Pairs of codecs, the head first; empty where there is but one."""
    head = ["metric", "asked kbps", "codecs", "difference", "p", "p (Holm)", "clips"]
    body = []
    for test in summary.tests:
        gap = test.paired.difference
        places = digits(test.metric) + 1
        body.append(
            [
                metric_title(test.metric),
                f"{test.asked / 1000:g}",
                f"{test.first} − {test.second}",
                interval(gap, places),
                chance(test.paired.p),
                chance(test.paired.p_holm),
                f"{gap.count}",
            ]
        )
    return [head, *body] if body else []


def chance(p: float) -> str:
    """A probability as people write it."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def headline(report: Report) -> str:
    """What was measured, in a sentence."""
    campaign = report.campaign
    lengths = {key: results.seconds for entrant in campaign.entrants for key, results in entrant.results.items()}
    measured = len({row.label for row in report.summary.rows})  # what has no rate in the table is told below it
    codecs = "codec" if measured == 1 else "codecs"
    clips = "clip" if len(lengths) == 1 else "clips"
    return f"{measured} {codecs} on {len(lengths)} {clips}, {sum(lengths.values()):.0f} s of sound"


def markdown(report: Report) -> str:
    """The whole report but for single clips, as Markdown."""
    campaign = report.campaign
    parts = [f"# {headline(report)}", EXPLAINED, as_markdown(quality_table(report))]
    for title, table in ((SPEED, speed_table(report.timings)), *_tables(report)):
        parts += [f"## {title}", as_markdown(table)] if table else []
    parts += (
        ["## Left out", "\n".join(f"- {_escape(line)}" for line in left_out(campaign))] if left_out(campaign) else []
    )
    parts += ["## Measured with", ", ".join(f"{name} {number}" for name, number in versions().items())]
    return "\n\n".join(parts) + "\n"


EXPLAINED = (
    "Means with 95 % bootstrap intervals over clips. kbps are bits on disk: whole .nac files, packets of other codecs "
    "without a container. Delay is estimated and removed, levels are matched."
)


def left_out(campaign: Campaign) -> list[str]:
    """What is missing and why: clips that failed, bitrates that a codec has not, metrics that are not installed."""
    lines = list(campaign.unread)
    for clip, failed in campaign.failures.items():
        if len(set(failed.values())) == 1 and len(failed) == sum(bool(e.settings) for e in campaign.entrants):
            lines.append(f"{clip}: {next(iter(failed.values()))}")
        else:
            lines += [f"{clip}, {label}: {why}" for label, why in failed.items()]
    return lines + list(dict.fromkeys(campaign.notes))


def figures(report: Report) -> dict[str, Any]:
    """Everything as plain values."""
    campaign, summary = report.campaign, report.summary
    clips: list[dict[str, Any]] = []
    for clip in campaign.clips:
        entry: dict[str, Any] = {"name": clip.name, "failures": campaign.failures.get(clip.name, {}), "scores": []}
        clips.append(entry)
    by_name = {entry["name"]: entry for entry in clips}
    for entrant in campaign.entrants:
        for setting in entrant.settings:
            for name, score in scores_of(campaign, entrant, setting.asked).items():
                by_name[name]["scores"].append({"codec": entrant.label, "asked": setting.asked, **asdict(score)})
    found: dict[str, Any] = {
        "title": headline(report),
        "matched": campaign.plan.matched,
        "metrics": [
            {"key": name, "name": (m := find_metric(name)).name, "better": m.better, "unit": m.unit}
            for name in campaign.metrics
        ],
        "codecs": [{"label": e.label, "digest": e.digest, "baseline": e.baseline} for e in campaign.entrants],
        "rows": [asdict(row) for row in summary.rows],
        "tests": [asdict(test) for test in summary.tests],
        "levels": {label: [asdict(use) for use in every] for label, every in summary.levels.items()},
        "speed": [asdict(timing) for timing in report.timings.values()],
        "clips": clips,
        "left_out": left_out(campaign),
        "versions": versions(),
    }
    told: dict[str, Any] = plain(found)
    return told


def make(plan: Plan, watcher: Watcher, timed: bool = True) -> Report:
    """Measure what is not measured yet, and write the report into `plan.out`."""
    campaign = run(plan, watcher)
    timings = time_all(campaign) if timed else {}
    report = Report(campaign, summarise(campaign), timings)
    write(report, Path(plan.out))
    return report


def write(report: Report, folder: Path) -> list[Path]:
    """Write all files of a report; where they are."""
    places = [folder / f"report.{kind}" for kind in ("json", "md", "html")]
    save(places[0], figures(report))
    write_whole(places[1], markdown(report).encode(), overwrite=True)
    write_whole(places[2], page(report).encode(), overwrite=True)
    return places


def page(report: Report) -> str:
    """The whole report as HTML."""
    campaign, summary = report.campaign, report.summary
    tables = [("All figures", quality_table(report)), *_tables(report)]
    sheet = Sheet(
        headline(report), EXPLAINED, tables, left_out(campaign), versions(), (SPEED, speed_table(report.timings))
    )
    return build(campaign, summary, report.timings, sheet)


def _tables(report: Report) -> list[tuple[str, list[list[str]]]]:
    return [
        ("Codebooks", level_table(report.summary)),
        ("Pairs of codecs", test_table(report.summary)),
    ]


def versions() -> dict[str, str]:
    """What was measured with."""
    found = {"nacre": __version__, "python": platform.python_version(), "machine": platform.machine()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "absent"
    return found


def as_markdown(table: Sequence[Sequence[str]]) -> str:
    """A table for a page."""
    lines = ["| " + " | ".join(map(_escape, row)) + " |" for row in table]
    return "\n".join([lines[0], "|" + "---|" * len(table[0]), *lines[1:]])


def _escape(cell: str) -> str:
    return "".join(f"\\{c}" if c in "|<*_`" else c for c in cell.replace("\n", " "))


def _quality_row(row: Row, metrics: Sequence[str]) -> list[str]:
    cells = [interval(row.means[m], digits(m)) if m in row.means else "–" for m in metrics]
    return [row.label, f"{row.kbps:.2f}", f"{row.clips}", *cells]


def _number(value: float | None, scale: float = 1.0) -> str:
    return "–" if value is None else f"{value * scale:.3g}" if abs(value * scale) < 1000 else f"{value * scale:.0f}"
