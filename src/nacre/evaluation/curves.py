"""Charts as inline SVG: rate against quality with intervals, and points; for any screen, in light and dark."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, isfinite, log10

WIDTH, HEIGHT = 330, 235
LEFT, RIGHT, TOP, BOTTOM = 42, 10, 10, 38
SHAPES = ("circle", "square", "diamond", "triangle", "cross", "down")  # codecs differ in shape as well as in colour


@dataclass(frozen=True)
class Point:
    """One mean and its interval; or a mark alone."""

    x: float
    y: float
    low: float
    high: float
    words: str  # what it says when pointed at


@dataclass(frozen=True)
class Series:
    """The points of one codec."""

    label: str
    number: int  # which colour and shape
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Axes:
    """What the sides of a chart say."""

    title: str
    x: str
    y: str


def chart(axes: Axes, every: Sequence[Series], joined: bool = True) -> str:
    """An `<svg>`; x is logarithmic; empty text where there is nothing to draw."""
    series = [Series(s.label, s.number, tuple(p for p in s.points if isfinite(p.y) and p.x > 0)) for s in every]
    points = [point for s in series for point in s.points]
    if not points:
        return ""
    across = _Log(min(p.x for p in points), max(p.x for p in points), LEFT, WIDTH - RIGHT)
    low, high = min(p.low for p in points), max(p.high for p in points)
    up = _Linear(low, high, HEIGHT - BOTTOM, TOP)
    words = f"{axes.title}: {axes.y} against {axes.x}, " + ", ".join(s.label for s in series if s.points)
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(words)}">',
        *_frame(axes, across, up),
        *(part for s in series for part in _series(s, across, up, joined)),
        "</svg>",
    ]
    return "".join(parts)


def mark(number: int, x: float, y: float, size: float = 4.5) -> str:
    """The mark of the codec with this number."""
    shape, s = SHAPES[number % len(SHAPES)], size
    outlines = {
        "square": f"M{x - s:.1f},{y - s:.1f}h{2 * s}v{2 * s}h{-2 * s}z",
        "diamond": f"M{x:.1f},{y - 1.3 * s:.1f}l{1.3 * s},{1.3 * s}l{-1.3 * s},{1.3 * s}l{-1.3 * s},{-1.3 * s}z",
        "triangle": f"M{x:.1f},{y - 1.2 * s:.1f}l{1.2 * s},{2.2 * s}h{-2.4 * s}z",
        "down": f"M{x:.1f},{y + 1.2 * s:.1f}l{1.2 * s},{-2.2 * s}h{-2.4 * s}z",
        "cross": f"M{x - s:.1f},{y:.1f}h{2 * s}m{-s},{-s}v{2 * s}",
    }
    kind = f'class="mark s{number % 8}"'
    if shape == "circle":
        return f'<circle {kind} cx="{x:.1f}" cy="{y:.1f}" r="{s}"/>'
    return f'<path {kind} d="{outlines[shape]}"/>'


class _Linear:
    """Values to places, evenly."""

    def __init__(self, low: float, high: float, first: float, last: float) -> None:
        room = (high - low or abs(high) or 1.0) * 0.08
        self.low, self.high, self.first, self.last = low - room, high + room, first, last

    def __call__(self, value: float) -> float:
        return self.first + (value - self.low) / (self.high - self.low) * (self.last - self.first)

    def ticks(self) -> Iterator[tuple[float, str]]:
        """About five round values."""
        rough = (self.high - self.low) / 5
        power = 10 ** floor(log10(rough))
        step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough)
        for i in range(ceil(self.low / step), floor(self.high / step) + 1):
            yield i * step, f"{i * step:.6g}"


class _Log:
    """Values to places, by their logarithms."""

    def __init__(self, low: float, high: float, first: float, last: float) -> None:
        self._line = _Linear(log10(low), log10(high) if high > low else log10(low * 1.01), first, last)
        self.low, self.high = low, high

    def __call__(self, value: float) -> float:
        return self._line(log10(value))

    def ticks(self) -> Iterator[tuple[float, str]]:
        """Round values, none too near another."""
        decades = range(floor(self._line.low), ceil(self._line.high) + 1)
        wide = self._line.high - self._line.low > 1.5
        steps = (1, 3) if wide else (1, 1.5, 2, 3, 4, 6, 8)
        every = [m * 10.0**d for d in decades for m in steps]
        for value in every:
            if self._line.low <= log10(value) <= self._line.high:
                yield value, f"{value:.6g}"


def _frame(axes: Axes, across: _Log, up: _Linear) -> Iterator[str]:
    bottom = HEIGHT - BOTTOM
    for value, text in up.ticks():
        y = up(value)
        yield f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{text}</text>'
    for value, text in across.ticks():
        x = across(value)
        yield f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{bottom}"/>'
        yield f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{text}</text>'
    yield f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 6}" text-anchor="end" class="axis">{escape(axes.x)}</text>'


def _series(series: Series, across: _Log, up: _Linear, joined: bool) -> Iterator[str]:
    kind = f"s{series.number % 8}"
    places = [(across(p.x), up(p.y)) for p in series.points]
    if joined and len(places) > 1:
        yield f'<polyline class="line {kind}" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in places)}"/>'
    for point, (x, y) in zip(series.points, places, strict=True):
        yield f"<g><title>{escape(point.words)}</title>"
        if point.high > point.low:
            low, high = up(point.low), up(point.high)
            yield f'<line class="bar {kind}" x1="{x:.1f}" x2="{x:.1f}" y1="{low:.1f}" y2="{high:.1f}"/>'
        yield mark(series.number, x, y)
        yield "</g>"
