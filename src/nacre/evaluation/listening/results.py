"""What a listening test came to: who is heard, means with intervals, and which differences are not chance."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from statistics import fmean
from typing import Any

from ..intervals import Interval
from ..paired import compare, holm
from .plan import ANCHOR70, ANSWERS, REFERENCE, Plan, read_plan
from .store import Answer, Participant, Store
from .student import at_least, coin, mean_interval, share_interval

GOOD = 90  # points: who gives the hidden reference less did not find it
TOO_OFTEN = 0.15  # of the trials
EASY = 0.25  # of the listeners: more of them above GOOD for the anchor, and it did not harm this item


@dataclass(frozen=True)
class Listener:
    """One participant, and whether the answers count."""

    name: str
    answers: int
    complete: bool
    missed: float  # share of trials with the hidden reference below GOOD
    fooled: float  # share of trials with the 7 kHz anchor above GOOD
    excluded: str = ""  # why, "" where the answers count


@dataclass(frozen=True)
class Score:
    """One condition over all listeners that count."""

    condition: str
    role: str
    kbps: float
    interval: Interval  # of the mean (MUSHRA 0 to 100, ACR 1 to 5), or of a share (ABX: recognised)
    listeners: tuple[float, ...]  # the mean of each, in their order; what the interval is of
    items: dict[str, Interval] = field(default_factory=dict)  # by item, over listeners
    people: tuple[int, ...] = ()  # whose means `listeners` are, of a mean


@dataclass(frozen=True)
class Difference:
    """Two conditions set against each other."""

    first: str
    second: str
    estimate: Interval  # first minus second; AB: the share that preferred the first; ABX: the share of hits
    p: float
    p_holm: float  # corrected for the number of comparisons
    count: int  # listeners (MUSHRA, ACR) or judgements (AB without ties, ABX)


@dataclass(frozen=True)
class Results:
    """Everything that can be told."""

    kind: str
    title: str
    listeners: tuple[Listener, ...]
    scores: tuple[Score, ...]
    differences: tuple[Difference, ...]
    comments: tuple[tuple[str, str, str], ...]  # listener, item, words


Heard = Mapping[int, Sequence[Answer]]  # answers by participant


def results(folder: Path) -> Results:
    """The results of a test folder, of all answers that were submitted until now."""
    plan = read_plan(folder)
    store = Store(folder / ANSWERS)
    try:
        return judge(plan, store.participants(), store.answers())
    finally:
        store.close()


def judge(plan: Plan, people: Sequence[Participant], answers: Iterable[Answer]) -> Results:
    """Screen listeners, then count."""
    heard: dict[int, list[Answer]] = defaultdict(list)
    for answer in answers:
        heard[answer.participant].append(answer)
    easy = _easy_items(plan, heard)
    listeners = {who.id: _listener(plan, who, heard[who.id], easy) for who in people}
    counted = {who: heard[who] for who, listener in listeners.items() if heard[who] and not listener.excluded}
    if plan.kind in ("mushra", "acr"):
        scores = _ratings(plan, counted)
        differences = _rating_differences(scores)
    else:
        scores = _recognised(plan, counted) if plan.kind == "abx" else []
        differences = _votes(plan, counted)
    trials = plan.trials()
    names = {who.id: who.name for who in people}
    comments = [
        (names[a.participant], trials[a.trial].item.name, a.comment)
        for each in heard.values()
        for a in each
        if a.comment
    ]
    return Results(plan.kind, plan.title, tuple(listeners.values()), tuple(scores), tuple(differences), tuple(comments))


def plain(value: Any) -> Any:
    """`value` with null for what JSON has no number for."""
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return None if isinstance(value, float) and value - value != 0 else value


def _listener(plan: Plan, who: Participant, said: Sequence[Answer], easy: set[str]) -> Listener:
    """BS.1534-3, post-screening: the reference below 90, or the 7 kHz anchor above it, in more than 15 % of trials."""
    trials, missed, fooled, why = plan.trials(), 0.0, 0.0, ""
    if plan.kind == "mushra" and said:
        fair = [answer for answer in said if trials[answer.trial].item.name not in easy]
        missed = fmean(answer.judged[REFERENCE] < GOOD for answer in said)
        fooled = fmean(answer.judged[ANCHOR70] > GOOD for answer in fair) if fair else 0.0
        if missed > TOO_OFTEN:
            why = f"rated the hidden reference below {GOOD} in {missed:.0%} of trials"
        elif fooled > TOO_OFTEN:
            why = f"rated the 7 kHz anchor above {GOOD} in {fooled:.0%} of trials"
    return Listener(who.name, len(said), len(said) == len(trials), missed, fooled, why)


def _easy_items(plan: Plan, heard: Heard) -> set[str]:
    """Items that the 7 kHz anchor does not harm: there it excludes nobody."""
    if plan.kind != "mushra":
        return set()
    trials, above = plan.trials(), defaultdict(list)
    for answer in (answer for said in heard.values() for answer in said):
        above[trials[answer.trial].item.name].append(answer.judged[ANCHOR70] > GOOD)
    return {name for name, votes in above.items() if fmean(votes) > EASY}


def _ratings(plan: Plan, heard: Heard) -> list[Score]:
    """Means over listeners of each one's mean: answers of one person are not independent, people are."""
    trials, scores = plan.trials(), []
    for condition in plan.conditions:
        own: dict[int, float] = {}
        by_item: dict[str, list[float]] = defaultdict(list)
        for who, said in heard.items():
            given = [(trials[a.trial].item.name, a.judged[condition.name]) for a in said if condition.name in a.judged]
            if given:
                own[who] = fmean(score for _, score in given)
            for item, score in given:
                by_item[item].append(score)
        if own:
            items = {item: mean_interval(values) for item, values in by_item.items()}
            means, about = tuple(own.values()), (condition.name, condition.role, condition.kbps)
            scores.append(Score(*about, mean_interval(means), means, items, tuple(own)))
    return scores


def _rating_differences(scores: Sequence[Score]) -> list[Difference]:
    """Every pair of conditions, over the listeners that judged both, with a permutation test."""
    pairs = [(first, second, _both(first, second)) for first, second in combinations(scores, 2)]
    pairs = [pair for pair in pairs if pair[2]]
    tests = [compare([one for one, _ in both], [other for _, other in both]).p for _, _, both in pairs]
    made = []
    for (first, second, both), p, corrected in zip(pairs, tests, holm(tests), strict=True):
        gaps = [one - other for one, other in both]
        made.append(Difference(first.condition, second.condition, mean_interval(gaps), p, corrected, len(gaps)))
    return made


def _both(first: Score, second: Score) -> list[tuple[float, float]]:
    """The means of each listener that judged both: who has not finished an ACR test may have heard one only."""
    other = dict(zip(second.people, second.listeners, strict=True))
    return [(mean, other[who]) for who, mean in zip(first.people, first.listeners, strict=True) if who in other]


def _recognised(plan: Plan, heard: Heard) -> list[Score]:
    """How often X was recognised, a codec."""
    scores = []
    for condition in plan.conditions:
        own = [[a.judged[condition.name] for a in said if condition.name in a.judged] for said in heard.values()]
        votes = [vote for given in own for vote in given]
        if votes:
            each = tuple(fmean(given) for given in own if given)
            share = share_interval(sum(votes), len(votes))
            scores.append(Score(condition.name, condition.role, condition.kbps, share, each))
    return scores


def _votes(plan: Plan, heard: Heard) -> list[Difference]:
    """AB: the sign test, ties left out. ABX: more hits than a coin would have."""
    said = [answer.judged for given in heard.values() for answer in given]
    made: list[tuple[str, str, Interval, float, int]] = []
    for first, second in plan.groups():
        if plan.kind == "ab":
            votes = [judged[first] for judged in said if {first, second} == set(judged)]
            wins, count = votes.count(1.0), len(votes) - votes.count(0.5)
            if votes:
                made.append((first, second, share_interval(sum(votes), len(votes)), coin(wins, count), count))
        else:
            votes = [judged[second] for judged in said if second in judged]
            if votes:
                hits = round(sum(votes))
                made.append((first, second, share_interval(hits, len(votes)), at_least(hits, len(votes)), len(votes)))
    corrected = holm([p for *_, p, _ in made])
    return [Difference(*each[:4], fixed, each[4]) for each, fixed in zip(made, corrected, strict=True)]
