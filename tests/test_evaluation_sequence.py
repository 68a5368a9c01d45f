"""Orders: all pages once, shuffled for each seed, and what an answer to them means."""

from __future__ import annotations

from collections import Counter

import pytest

from nacre.errors import InputError
from nacre.evaluation.listening.plan import Condition, Item, Kind, Plan
from nacre.evaluation.listening.sequence import Page, judged, pages, practice

NAMES = ("reference", "anchor35", "anchor70", "one", "two")


def plan(kind: Kind, items: int = 6, repeats: int = 1) -> Plan:
    conditions = tuple(Condition(name, name if "r" in name else "codec") for name in NAMES)
    made = tuple(Item(f"i{i}", 1.0, {name: f"{i}/{name}" for name in NAMES}) for i in range(items))
    return Plan(kind, "t", "c", conditions, made, made[0], repeats=repeats)


@pytest.mark.parametrize(("kind", "count"), [("mushra", 6), ("ab", 12), ("abx", 24), ("acr", 30)])
def test_everybody_gets_all_pages_in_an_order_of_their_own(kind: Kind, count: int) -> None:
    whole = plan(kind, repeats=2)
    orders = [pages(whole, seed) for seed in range(20)]
    assert all(sorted(page.trial for page in order) == list(range(count)) for order in orders)
    assert len({tuple(page.trial for page in order) for order in orders}) == 20
    assert pages(whole, 3) == orders[3]
    assert practice(whole, 3).trial == -1


def test_a_mushra_page_shuffles_the_hidden_reference_and_ends_with_the_open_one() -> None:
    made = [page for seed in range(200) for page in pages(plan("mushra"), seed)]
    places = Counter(page.order.index("reference") for page in made)
    assert set(places) == set(range(5))
    assert min(places.values()) > 0.7 * len(made) / 5
    assert all(page.sounds[-1].endswith("/reference") and len(page.sounds) == 6 for page in made)
    assert all(sound.endswith(name) for page in made for sound, name in zip(page.sounds, page.order, strict=False))


def test_x_is_either_and_says_nothing_by_its_place() -> None:
    made = [page for seed in range(100) for page in pages(plan("abx"), seed)]
    assert all(page.sounds[2] == page.sounds[page.x] for page in made)
    share = sum(page.order[page.x] == "reference" for page in made) / len(made)
    assert 0.45 < share < 0.55
    assert 0.45 < sum(page.x for page in made) / len(made) < 0.55


def test_answers_become_judgements() -> None:
    page = Page(0, "i", ("two", "reference"), ("a", "b"), x=1)
    assert judged(plan("mushra"), page, [30, 100]) == {"two": 30, "reference": 100}
    assert judged(plan("ab"), page, 1) == {"two": 0, "reference": 1}
    assert judged(plan("ab"), page, None) == {"two": 0.5, "reference": 0.5}
    assert judged(plan("abx"), page, 1) == {"two": 1}
    assert judged(plan("abx"), page, 0) == {"two": 0}
    assert judged(plan("acr"), Page(0, "i", ("one",), ("a",)), [5]) == {"one": 5}


@pytest.mark.parametrize(
    ("kind", "said"),
    [("mushra", [1]), ("mushra", [1, 101]), ("mushra", [1, -1]), ("mushra", [1, 2.5]), ("mushra", [True, 1]),
     ("mushra", {"two": 1}), ("mushra", None), ("ab", 2), ("ab", "0"), ("abx", None), ("abx", False), ("acr", [0, 1])],
)  # fmt: skip
def test_other_answers_are_refused(kind: Kind, said: object) -> None:
    with pytest.raises(InputError, match="expected"):
        judged(plan(kind), Page(0, "i", ("two", "reference"), ("a", "b"), x=1), said)
