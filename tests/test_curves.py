from __future__ import annotations

from xml.etree import ElementTree

import pytest

from nacre.evaluation.curves import HEIGHT, SHAPES, WIDTH, Axes, Point, Series, chart, mark

AXES = Axes("PESQ", "kbps", "PESQ")


def drawn(*series: Series, axes: Axes = AXES) -> ElementTree.Element:
    return ElementTree.fromstring(chart(axes, series))


def point(x: float, y: float, half: float = 0.0) -> Point:
    return Point(x, y, y - half, y + half, f"{x} & <{y}>")


def test_points_lie_where_they_should_and_say_their_figures() -> None:
    svg = drawn(Series("a", 0, (point(1.5, 2.0, 0.5), point(3.0, 3.0), point(6.0, 4.0))))
    places = [(float(c.get("cx", "")), float(c.get("cy", ""))) for c in svg.iter("circle")]
    across, up = zip(*places, strict=True)
    assert across[1] - across[0] == pytest.approx(across[2] - across[1], abs=0.2)  # octaves are alike
    assert up[0] - up[1] == pytest.approx(up[1] - up[2], abs=0.2) and up[0] > up[2]
    assert all(0 < x < WIDTH and 0 < y < HEIGHT for x, y in places)
    assert next(title.text for title in svg.iter("title")) == "1.5 & <2.0>"
    (bar,) = [line for line in svg.iter("line") if line.get("class") == "bar s0"]
    assert float(bar.get("y1", "")) > up[0] > float(bar.get("y2", ""))
    assert len(list(svg.iter("polyline"))) == 1


def test_codecs_differ_in_colour_and_shape() -> None:
    marks = [mark(number, 5, 5) for number in range(len(SHAPES))]
    assert len(set(marks)) == len(SHAPES)
    assert svg_words(drawn(Series("<a>", 0, (point(1, 1),)), Series("b", 1, (point(2, 2),)))) == "<a>, b"


def svg_words(svg: ElementTree.Element) -> str:
    return (svg.get("aria-label") or "").partition("kbps, ")[2]


@pytest.mark.parametrize("values", [(1.0, 1.0), (-25.0, 4.0), (0.0, 0.0), (1e-5, 2e-5), (3.0, float("inf"))])
def test_any_values_make_a_chart_with_ticks(values: tuple[float, float]) -> None:
    svg = drawn(Series("a", 3, tuple(point(i + 1.0, value) for i, value in enumerate(values))))
    labels = [text.text for text in svg.iter("text")]
    assert 3 < len(labels) < 30
    assert "inf" not in ElementTree.tostring(svg, "unicode") and "nan" not in ElementTree.tostring(svg, "unicode")


def test_nothing_makes_no_chart() -> None:
    assert chart(AXES, [Series("a", 0, ())]) == ""
    assert chart(AXES, [Series("a", 0, (point(1, float("-inf")),))]) == ""
