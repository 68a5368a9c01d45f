"""Screening as BS.1534-3 has it, means and tests, each against figures by hand."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import pytest

from nacre.evaluation.listening.plan import Condition, Item, Kind, Plan
from nacre.evaluation.listening.results import Results, judge, plain
from nacre.evaluation.listening.store import Answer, Participant

NAMES = ("reference", "anchor35", "anchor70", "one", "two")


def plan(kind: Kind, items: int = 6) -> Plan:
    conditions = tuple(Condition(name, name if "r" in name else "codec") for name in NAMES)
    if kind in ("ab", "abx"):
        conditions = tuple(each for each in conditions if "anchor" not in each.name)
    made = tuple(Item(f"i{i}", 1.0, {}) for i in range(items))
    return Plan(kind, "t", "c", conditions, made, made[0])


def people(count: int) -> list[Participant]:
    return [Participant(i, str(i), f"P{i}", i, 0.0, True) for i in range(count)]


def ratings(who: int, reference: Sequence[float], anchor: float = 60, one: float = 80, two: float = 50) -> list[Answer]:
    return [
        Answer(who, i, {"reference": score, "anchor35": 20, "anchor70": anchor, "one": one, "two": two})
        for i, score in enumerate(reference)
    ]


def mushra(*said: list[Answer]) -> Results:
    return judge(plan("mushra"), people(len(said)), [answer for each in said for answer in each])


def test_who_misses_the_reference_too_often_is_left_out() -> None:
    found = mushra(
        ratings(0, [100] * 6),
        ratings(1, [90] * 6),  # 90 is enough
        ratings(2, [100] * 5 + [89]),  # 1 of 6 is more than 15 %
        ratings(3, [100] * 6, anchor=90),
        ratings(4, [100] * 6, anchor=91),
    )
    why = [each.excluded for each in found.listeners]
    assert [bool(words) for words in why] == [False, False, True, False, True]
    assert why[2] == "rated the hidden reference below 90 in 17% of trials"
    assert "7 kHz anchor above 90 in 100%" in why[4]
    assert found.listeners[2].missed == pytest.approx(1 / 6)


def test_fifteen_in_a_hundred_are_forgiven() -> None:
    whole = plan("mushra", 20)
    found = judge(whole, people(1), ratings(0, [100] * 17 + [50] * 3))
    assert not found.listeners[0].excluded
    assert judge(whole, people(1), ratings(0, [100] * 16 + [50] * 4)).listeners[0].excluded


def test_an_item_that_the_anchor_does_not_harm_excludes_nobody() -> None:
    everybody = [ratings(i, [100] * 6, anchor=95) for i in range(2)] + [ratings(i, [100] * 6) for i in range(2, 6)]
    assert not any(each.excluded for each in mushra(*everybody).listeners)  # 2 of 6 are more than 25 %


def test_means_and_intervals_by_hand() -> None:
    found = mushra(*(ratings(i, [100] * 6, one=70 + i, two=40 + 2 * i) for i in range(5)))
    score = next(each for each in found.scores if each.condition == "one")
    reach = 2.776445 * statistics.stdev([70, 71, 72, 73, 74]) / 5**0.5
    assert (score.interval.mean, score.interval.count) == (72, 5)
    assert score.interval.low == pytest.approx(72 - reach, abs=1e-4)
    assert score.interval.high == pytest.approx(72 + reach, abs=1e-4)
    assert score.items["i3"].mean == 72
    gap = next(each for each in found.differences if (each.first, each.second) == ("one", "two"))
    assert gap.estimate.mean == pytest.approx(28)
    assert gap.p == 2 / 2**5  # all five say so: no rarer flip of signs exists
    assert gap.p_holm == min(1.0, 10 * gap.p)  # ten pairs of conditions


def test_part_of_a_test_counts_as_what_it_is() -> None:
    found = mushra(ratings(0, [100] * 6), ratings(1, [100] * 2), [])
    assert [(each.answers, each.complete) for each in found.listeners] == [(6, True), (2, False), (0, False)]
    assert all(each.interval.count == 2 for each in found.scores)


def test_preferences_are_counted_with_ties_left_to_neither() -> None:
    votes = [1.0] * 9 + [0.0] * 1 + [0.5] * 2
    said = [Answer(i, 0, {"one": vote, "two": 1 - vote}) for i, vote in enumerate(votes)]
    (gap,) = judge(plan("ab"), people(12), said).differences
    assert (gap.first, gap.second, gap.count) == ("one", "two", 10)
    assert gap.estimate.mean == pytest.approx(10 / 12)
    assert gap.p == gap.p_holm == 22 / 1024


def test_recognising_x_is_set_against_guessing() -> None:
    said = [Answer(i, 0, {"one": float(i < 9)}) for i in range(10)] + [
        Answer(i, 1, {"two": float(i % 2)}) for i in range(10)
    ]
    found = judge(plan("abx"), people(10), said)
    assert [gap.p for gap in found.differences] == [11 / 1024, pytest.approx(638 / 1024)]
    assert found.differences[0].p_holm == 22 / 1024
    assert [score.interval.mean for score in found.scores] == [0.9, 0.5]


def test_opinions_have_no_screening_and_a_scale_to_five() -> None:
    said = [Answer(who, trial, {NAMES[trial % 5]: 4.0 - trial % 5 % 3}) for who in range(3) for trial in range(30)]
    found = judge(plan("acr"), people(3), said)
    assert not any(each.excluded for each in found.listeners)
    assert {each.condition: each.interval.mean for each in found.scores}["one"] == 4


def test_only_who_judged_both_is_in_a_comparison() -> None:
    """Two have heard one condition each and not gone on: as many on either side, and nobody on both."""
    heard = {0: {"one": 5.0, "two": 3.0}, 1: {"one": 4.0, "two": 1.0}, 2: {"one": 1.0}, 3: {"two": 5.0}}
    said = [
        Answer(who, NAMES.index(name), {name: score}) for who, judged in heard.items() for name, score in judged.items()
    ]
    found = judge(plan("acr"), people(4), said)
    assert {score.condition: score.people for score in found.scores} == {"one": (0, 1, 2), "two": (0, 1, 3)}
    (gap,) = found.differences
    assert (gap.estimate.mean, gap.count) == (2.5, 2)  # of 5 - 3 and 4 - 1
    assert judge(plan("acr"), people(4), said[4:]).differences == ()


def test_nothing_yet_is_no_error_and_infinities_have_no_number() -> None:
    for kind in ("mushra", "ab", "abx", "acr"):
        found = judge(plan(kind), [], [])  # type: ignore[arg-type]
        assert (found.scores, found.differences) == ((), ())
    assert plain({"a": [float("inf"), 1.5, (float("nan"),)]}) == {"a": [None, 1.5, [None]]}
