"""Figures: well-formed, at the right places, with names that could be markup."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from nacre.evaluation.intervals import Interval
from nacre.evaluation.listening.chart import AXES, Row, draw, figure
from nacre.evaluation.listening.results import Results

HOSTILE = '</text><script>alert(1)</script>&"\x00'


def places(svg: str, tag: str, key: str) -> list[float]:
    return [
        float(node.attrib[key]) for node in ElementTree.fromstring(svg).iter(f"{{http://www.w3.org/2000/svg}}{tag}")
    ]


def test_means_lie_where_the_axis_says() -> None:
    rows = [Row("a", Interval(0, 0, 100, 5)), Row("b", Interval(50, 40, 60, 5), (45.0, 55.0))]
    svg = draw("t", rows, AXES["mushra"])
    left, dot, other, middle = places(svg, "circle", "cx")
    assert (left, middle) == (190, 190 + 0.5 * 490)
    assert (dot + other) / 2 == middle


def test_hostile_names_are_text() -> None:
    svg = draw(HOSTILE, [Row(HOSTILE, Interval(1, 1, 1, 1))], AXES["acr"])
    root = ElementTree.fromstring(svg)
    assert "script" not in {node.tag.rpartition("}")[2] for node in root.iter()}
    assert "<script>alert(1)</script>" in "".join(root.itertext())


@pytest.mark.parametrize("kind", ["mushra", "ab", "abx", "acr"])
def test_no_answers_give_a_figure_that_says_so(kind: str) -> None:
    assert "no answers that count yet" in figure(Results(kind, "t", (), (), (), ()))


def test_an_interval_without_end_stays_in_the_figure() -> None:
    svg = draw("t", [Row("a", Interval(3, float("-inf"), float("inf"), 1))], AXES["acr"])
    assert max(places(svg, "line", "x2")) <= 720
