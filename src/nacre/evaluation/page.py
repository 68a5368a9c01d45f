"""The page of a report: one HTML file with everything in it, charts, tables and sounds; nothing is fetched."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any

from .campaign import Campaign, job_of
from .curves import Axes, Point, Series, chart, mark
from .plugins import find_metric
from .scores import plain
from .summary import Row, Summary, scores_of, worst
from .timing import Timing

MOST = 32_000_000  # bytes of sound in a page; clips beyond are named with their files
EARS = ("visqol_speech", "pesq_wb", "estoi", "stoi", "visqol_audio", "mel_distance")  # what "worst" goes by, if there
_INTERVAL, _SMALL = re.compile(r" \[(.+), (.+)\]$"), r" <small>\1 to \2</small>"
_FOLDER = resources.files("nacre") / "evaluation" / "page"
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; media-src data:"


@dataclass(frozen=True)
class Sheet:
    """What a page shows beside what a campaign holds."""

    title: str
    explained: str
    tables: Sequence[tuple[str, list[list[str]]]]  # heading, rows with the head first
    left_out: Sequence[str]
    versions: Mapping[str, str]
    speed: tuple[str, list[list[str]]]


@dataclass
class _Sounds:
    """Sounds put into the page, by the id of their element."""

    left: int = MOST
    texts: dict[str, str] = field(default_factory=dict)

    def add(self, place: Path, name: str) -> str:
        """The id under which the file is in the page, "" where it is not there or there is no room."""
        try:
            size = place.stat().st_size * 4 // 3
            if size > self.left:
                return ""
            self.texts[name] = base64.b64encode(place.read_bytes()).decode("ascii")
        except OSError:
            return ""
        self.left -= size
        return name


def build(campaign: Campaign, summary: Summary, timings: Mapping[str, Timing], sheet: Sheet) -> str:
    """The whole page."""
    numbers = {entrant.label: i for i, entrant in enumerate(campaign.entrants)}
    sounds = _Sounds()
    data = _data(campaign, summary, sounds)
    parts = [
        "<!DOCTYPE html>",
        f'<html lang="en"><head><meta charset="utf-8"><title>{escape(sheet.title)}</title>',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<style>{_text('report.css')}</style></head><body>",
        f"<header><p class=brand>nacre evaluate</p><h1>{escape(sheet.title)}</h1><p>{escape(sheet.explained)}</p>",
        "</header>",
        *_legend(numbers),
        "<main>",
        '<section aria-labelledby="quality"><h2 id="quality">Rate and quality</h2><div class="charts">',
        *_quality(campaign, summary.rows, numbers),
        "</div></section>",
        *_speed(summary.rows, timings, numbers, campaign, sheet.speed),
        _CLIPS,
        *(part for title, table in sheet.tables if table for part in _table(title, table)),
        *_list("Left out", sheet.left_out),
        f"</main><footer>Measured with {escape(', '.join(f'{k} {v}' for k, v in sheet.versions.items()))}.</footer>",
        *(f'<script type="text/plain" id="{name}">{text}</script>' for name, text in sounds.texts.items()),
        f'<script type="application/json" id="data">{_json(data)}</script>',
        f"<script>{_text('report.js')}</script></body></html>\n",
    ]
    return "\n".join(parts)


_CLIPS = """<section aria-labelledby="clips"><h2 id="clips">Clip by clip</h2>
<p>The worst ten first. Open a clip to hear it: versions switch at once, at the same place.
Keys while a clip is open: <kbd>P</kbd> plays and pauses, <kbd>←</kbd> <kbd>→</kbd> and <kbd>1</kbd>–<kbd>9</kbd> choose
a version, <kbd>0</kbd> goes to the original and back.</p>
<div class="controls"><label>Figure <select id="metric"></select></label>
<label>Bitrate asked for <select id="asked"></select></label></div>
<div class="scroll"><table id="clip-table"><thead></thead><tbody></tbody></table></div>
<button type="button" id="more" hidden></button>
<noscript><p>This table needs JavaScript; report.json beside this page has its figures.</p></noscript></section>"""


def leading(metrics: Sequence[str]) -> str:
    """The metric that clips are ordered by."""
    return next((name for name in EARS if name in metrics), metrics[0] if metrics else "")


def _text(name: str) -> str:
    return (_FOLDER / name).read_text("utf-8")


def _json(data: Any) -> str:
    """JSON that cannot end the element that it stands in."""
    return json.dumps(plain(data), ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")


def _legend(numbers: Mapping[str, int]) -> Iterator[str]:
    yield '<ul class="legend" aria-label="Codecs">'
    for label, number in numbers.items():
        yield f'<li><svg viewBox="0 0 14 14" aria-hidden="true">{mark(number, 7, 7)}</svg>{escape(label)}</li>'
    yield "</ul>"


def _quality(campaign: Campaign, rows: Sequence[Row], numbers: Mapping[str, int]) -> Iterator[str]:
    for metric in campaign.metrics:
        known = find_metric(metric)
        unit = f" in {known.unit}" if known.unit else ""
        axes = Axes(known.name, "kbps on disk", known.name)
        shown = [row for row in rows if metric in row.means]
        series = [
            Series(label, number, tuple(_point(row, metric) for row in shown if row.label == label))
            for label, number in numbers.items()
        ]
        drawn = chart(axes, series)
        if drawn:
            arrow = "better ↑" if known.better == "higher" else "better ↓"
            yield f"<figure><figcaption><b>{escape(known.name)}</b>{escape(unit)} <span>{arrow}</span></figcaption>"
            yield f"{drawn}</figure>"


def _point(row: Row, metric: str) -> Point:
    mean = row.means[metric]
    words = f"{row.label}, {row.kbps:.2f} kbps: {mean.mean:.3f} [{mean.low:.3f}, {mean.high:.3f}], {mean.count} clips"
    return Point(row.kbps, mean.mean, mean.low, mean.high, words)


def _speed(
    rows: Sequence[Row],
    timings: Mapping[str, Timing],
    numbers: Mapping[str, int],
    campaign: Campaign,
    table: tuple[str, list[list[str]]],
) -> Iterator[str]:
    """Speed against quality, all bitrates of each codec that was timed, and the table of speeds beside it."""
    metric = leading(campaign.metrics)
    series = []
    for label, number in numbers.items():
        own = [row for row in rows if row.label == label and metric in row.means]
        if label in timings and own:
            points = [(row, row.means[metric]) for row in own]
            both = timings[label].both
            words = [f"{label}, {r.kbps:.2f} kbps: {m.mean:.3f}, {both:.0f} × real time" for r, m in points]
            marks = (Point(both, m.mean, m.mean, m.mean, w) for (_, m), w in zip(points, words, strict=True))
            series.append(Series(label, number, tuple(marks)))
    drawn = chart(Axes("Speed and quality", "× real time, one thread", find_metric(metric).name), series, joined=False)
    if drawn and table[1]:
        name = escape(find_metric(metric).name)
        yield f'<section aria-labelledby="speed"><h2 id="speed">{escape(table[0])}</h2><div class="beside">'
        yield f"<figure><figcaption><b>{name}</b> against speed <span>faster →</span></figcaption>"
        yield f"{drawn}</figure>"
        yield from _rows_of(table[1])
        yield "</div></section>"
    elif table[1]:
        yield from _table(*table)


def _table(title: str, table: list[list[str]]) -> Iterator[str]:
    yield f"<section><h2>{escape(title)}</h2>"
    yield from _rows_of(table)
    yield "</section>"


def _rows_of(table: list[list[str]]) -> Iterator[str]:
    yield '<div class="scroll"><table class="plain"><thead><tr>'
    yield "".join(f'<th scope="col">{escape(cell)}</th>' for cell in table[0])
    yield "</tr></thead><tbody>"
    before = ""
    for row in table[1:]:
        first = "" if row[0] == before else ' class="first"'
        cells = "".join(f"<td>{_INTERVAL.sub(_SMALL, escape(cell))}</td>" for cell in row[1:])
        yield f'<tr{first}><th scope="row">{escape(row[0])}</th>{cells}</tr>'
        before = row[0]
    yield "</tbody></table></div>"


def _list(title: str, lines: Sequence[str]) -> Iterator[str]:
    if lines:
        yield f"<section><h2>{escape(title)}</h2><ul>"
        yield from (f"<li>{escape(line)}</li>" for line in lines)
        yield "</ul></section>"


def _data(campaign: Campaign, summary: Summary, sounds: _Sounds) -> dict[str, Any]:
    """What the script draws the clips from; sounds of the worst clips are taken in first."""
    metric = leading(campaign.metrics)
    by_name = {clip.name: clip for clip in campaign.clips}
    order = worst(campaign, metric) if metric else list(by_name)
    clips = [_clip(campaign, by_name[name], rank, sounds) for rank, name in enumerate(order)]
    known = {name: find_metric(name) for name in campaign.metrics}
    return {
        "metrics": [{"key": k, "name": m.name, "better": m.better, "unit": m.unit} for k, m in known.items()],
        "leading": metric,
        "codecs": [entrant.label for entrant in campaign.entrants],
        "asked": sorted({row.asked for row in summary.rows}),
        "clips": clips,
    }


def _clip(campaign: Campaign, clip: Any, rank: int, sounds: _Sounds) -> dict[str, Any]:
    results = [e.results[clip.key] for e in campaign.entrants if clip.key in e.results]
    found: dict[str, Any] = {
        "name": clip.name,
        "seconds": results[0].seconds if results else 0,
        "rate": results[0].sample_rate if results else 0,
        "failed": "; ".join(dict.fromkeys(campaign.failures.get(clip.name, {}).values())),
        "original": "",
        "versions": [],
    }
    for number, entrant in enumerate(campaign.entrants):
        if clip.key not in entrant.results:
            continue
        job = job_of(campaign, entrant, clip)
        found["original"] = found["original"] or sounds.add(job.original, f"o{rank}")
        for setting in job.settings:
            score = scores_of(campaign, entrant, setting.asked).get(clip.name)
            if score is None or score.refused:
                continue
            place = job.place("sounds", setting, ".flac")
            found["versions"].append(
                {
                    "codec": number,
                    "asked": setting.asked,
                    "kbps": 8 * score.bytes / found["seconds"] / 1000,
                    "figures": score.figures,
                    "sound": sounds.add(place, f"v{rank}-{number}-{setting.asked}"),
                    "file": place.relative_to(campaign.plan.out).as_posix(),
                }
            )
    return found
