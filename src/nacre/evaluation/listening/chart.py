"""Figures of results as SVG: a mean and its interval for each condition, and each listener as a faint dot."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from ..intervals import Interval
from .results import Results

_ROW, _LEFT, _WIDTH, _TOP, _FOOT = 34, 190, 720, 58, 46  # pixels
_INK, _FAINT, _RULE, _MARK = "#26323a", "#6d7b84", "#dfe5e6", "#2f6f73"


@dataclass(frozen=True)
class Row:
    """One line of the figure."""

    label: str
    interval: Interval
    dots: tuple[float, ...] = ()


@dataclass(frozen=True)
class Axis:
    """What is drawn from left to right."""

    low: float
    high: float
    ticks: tuple[float, ...]
    title: str


AXES = {
    "mushra": Axis(0, 100, (0, 20, 40, 60, 80, 100), "mean score: bad – poor – fair – good – excellent"),
    "acr": Axis(1, 5, (1, 2, 3, 4, 5), "mean opinion score: bad – poor – fair – good – excellent"),
    "ab": Axis(0, 1, (0, 0.25, 0.5, 0.75, 1), "share that prefers the first, ties half"),
    "abx": Axis(0, 1, (0, 0.25, 0.5, 0.75, 1), "share of trials in which X was recognised; 0.5 is guessing"),
}


def figure(results: Results) -> str:
    """The figure of a test: means for MUSHRA and ACR, shares for AB and ABX."""
    if results.kind == "ab":
        rows = [Row(f"{each.first} over {each.second}", each.estimate) for each in results.differences]
    else:
        rows = [Row(each.condition, each.interval, each.listeners) for each in results.scores]
    return draw(results.title, rows, AXES[results.kind])


def draw(title: str, rows: Sequence[Row], axis: Axis) -> str:
    """An SVG of `rows`, one below the other; texts are escaped."""
    height = _TOP + _ROW * max(1, len(rows)) + _FOOT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" '
        f'role="img" aria-label="{_clean(title)}" font-family="system-ui, sans-serif" font-size="13" fill="{_INK}">',
        f'<rect width="{_WIDTH}" height="{height}" fill="#fdfcfa"/>',
        f'<text x="20" y="30" font-size="16" font-weight="600">{_clean(title)}</text>',
        *_grid(axis, height),
    ]
    for i, row in enumerate(rows):
        parts += _row(row, axis, _TOP + _ROW * i + _ROW / 2)
    if not rows:
        parts.append(f'<text x="{_LEFT}" y="{_TOP + 20}" fill="{_FAINT}">no answers that count yet</text>')
    return "\n".join([*parts, "</svg>\n"])


def _grid(axis: Axis, height: int) -> Iterator[str]:
    foot = height - _FOOT
    for tick in axis.ticks:
        x = _at(tick, axis)
        yield f'<line x1="{x:.1f}" y1="{_TOP - 8}" x2="{x:.1f}" y2="{foot}" stroke="{_RULE}"/>'
        yield f'<text x="{x:.1f}" y="{foot + 17}" text-anchor="middle" fill="{_FAINT}">{tick:g}</text>'
    middle = (_at(axis.low, axis) + _at(axis.high, axis)) / 2
    yield f'<text x="{middle:.1f}" y="{foot + 36}" text-anchor="middle" fill="{_FAINT}">{_clean(axis.title)}</text>'


def _row(row: Row, axis: Axis, y: float) -> Iterator[str]:
    low, mean, high = (_at(value, axis) for value in (row.interval.low, row.interval.mean, row.interval.high))
    label = row.label if len(row.label) <= 24 else row.label[:23] + "…"
    yield f'<text x="{_LEFT - 16}" y="{y + 4:.1f}" text-anchor="end">{_clean(label)}</text>'
    for dot in row.dots:
        yield f'<circle cx="{_at(dot, axis):.1f}" cy="{y + 9:.1f}" r="2.5" fill="{_MARK}" fill-opacity="0.25"/>'
    yield f'<line x1="{low:.1f}" y1="{y:.1f}" x2="{high:.1f}" y2="{y:.1f}" stroke="{_MARK}" stroke-width="2"/>'
    for x in (low, high):
        yield f'<line x1="{x:.1f}" y1="{y - 5:.1f}" x2="{x:.1f}" y2="{y + 5:.1f}" stroke="{_MARK}" stroke-width="2"/>'
    yield f'<circle cx="{mean:.1f}" cy="{y:.1f}" r="5" fill="{_MARK}"><title>{row.interval.mean:.3g}</title></circle>'


def _at(value: float, axis: Axis) -> float:
    share = (min(max(value, axis.low), axis.high) - axis.low) / (axis.high - axis.low)
    return _LEFT + share * (_WIDTH - _LEFT - 40)


def _clean(text: str) -> str:
    """Text as XML may hold it: control characters have no place there, escaped or not."""
    return escape("".join(letter if letter.isprintable() else " " for letter in text))
