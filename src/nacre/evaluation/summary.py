"""What a campaign came to: a row for each codec and bitrate, tests between codecs, use of codebooks, worst clips."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations

import numpy as np

from ..codes import Codes
from ..container import nac
from ..errors import NacreError
from .campaign import Campaign, Entrant, job_of, targets
from .codebooks import LevelUse, codebook_use
from .intervals import Interval, bootstrap
from .paired import Paired, compare, holm
from .plugins import find_metric
from .scores import CODED, Score

FEWEST = 3  # pairs of clips, for a test to mean anything


@dataclass(frozen=True)
class Row:
    """One codec at one bitrate, over all clips."""

    label: str
    baseline: bool
    asked: int  # bit/s
    kbps: float  # as measured: all bits over all seconds
    levels: int
    clips: int  # that it was measured on
    means: dict[str, Interval]  # by metric; its `count` is of the clips that have a figure
    refusals: dict[str, str] = field(default_factory=dict)  # clip name: why this setting did not do


@dataclass(frozen=True)
class Test:
    """Two codecs at one bitrate, on the clips that both have."""

    metric: str
    asked: int
    first: str
    second: str
    paired: Paired


@dataclass(frozen=True)
class Summary:
    """All figures of a campaign but those of single clips and of speed."""

    rows: list[Row]
    tests: list[Test]
    levels: dict[str, tuple[LevelUse, ...]]  # by label, of codecs of ours


def summarise(campaign: Campaign) -> Summary:
    """All that is computed over clips, in the order of codecs and bitrates asked for."""
    rows = [row for entrant in campaign.entrants for row in _rows(campaign, entrant)]
    levels = {e.label: use for e in campaign.entrants if not e.baseline and (use := _use(campaign, e))}
    return Summary(rows, _tests(campaign, rows), levels)


def scores_of(campaign: Campaign, entrant: Entrant, asked: int) -> dict[str, Score]:
    """Scores of an entrant at a bitrate by clip name, refusals included; in the order of the clips."""
    found = {}
    for clip in campaign.clips:
        results = entrant.results.get(clip.key)
        keys = {setting.asked: setting.key for setting in entrant.settings}
        if campaign.plan.matched and entrant.baseline:
            keys = {setting.asked: setting.key for setting in targets(campaign, clip)}
        if results and keys.get(asked) in results.scores:
            found[clip.name] = results.scores[keys[asked]]
    return found


def worst(campaign: Campaign, metric: str) -> list[str]:
    """Names of all clips, those first on which codecs of ours are worst: the mean of their places, rate by rate."""
    better = find_metric(metric).better
    places: dict[str, list[float]] = {clip.name: [] for clip in campaign.clips}
    entrants = [e for e in campaign.entrants if not e.baseline] or campaign.entrants
    for entrant in entrants:
        for setting in entrant.settings:
            scores = scores_of(campaign, entrant, setting.asked)
            known = {name: s.figures[metric] for name, s in scores.items() if metric in s.figures}
            ordered = sorted(known, key=lambda name: known[name] if better == "higher" else -known[name])
            for place, name in enumerate(ordered):
                places[name].append(place / max(1, len(ordered) - 1))
    return sorted(places, key=lambda name: float(np.mean(places[name])) if places[name] else math.inf)


def _rows(campaign: Campaign, entrant: Entrant) -> Iterator[Row]:
    seconds = {c.name: entrant.results[c.key].seconds for c in campaign.clips if c.key in entrant.results}
    for setting in entrant.settings:
        scores = scores_of(campaign, entrant, setting.asked)
        good = {name: score for name, score in scores.items() if not score.refused}
        if 2 * len(good) < max(1, len(scores)):  # those few would not be like the others
            why = next((score.refused for score in scores.values() if score.refused), "")
            had = f" (so on {len(scores) - len(good)} of {len(scores)} clips)" if good else ""
            campaign.notes += [f"{entrant.label} at {setting.asked / 1000:g} kbps: {why}{had}"] if why else []
            continue
        means = {}
        for metric in campaign.metrics:
            figures = [score.figures[metric] for score in good.values() if metric in score.figures]
            if figures:
                means[metric] = bootstrap(figures)
        bits = 8 * sum(score.bytes for score in good.values())
        refusals = {name: score.refused for name, score in scores.items() if score.refused}
        kbps = bits / sum(seconds[name] for name in good) / 1000
        yield Row(entrant.label, entrant.baseline, setting.asked, kbps, setting.levels, len(good), means, refusals)


def _tests(campaign: Campaign, rows: Sequence[Row]) -> list[Test]:
    """Each pair of codecs at each bitrate both have a row of; corrected within a metric."""
    had = {label: {row.asked for row in rows if row.label == label} for label in {row.label for row in rows}}
    found: list[Test] = []
    for metric in campaign.metrics:
        tests = []
        for one, other in combinations(campaign.entrants, 2):
            shared = sorted(had.get(one.label, set()) & had.get(other.label, set()))
            tests += [t for asked in shared if (t := _test(campaign, metric, asked, (one, other)))]
        corrected = holm([test.paired.p for test in tests])
        found += [replace(t, paired=replace(t.paired, p_holm=p)) for t, p in zip(tests, corrected, strict=True)]
    return found


def _test(campaign: Campaign, metric: str, asked: int, pair: tuple[Entrant, Entrant]) -> Test | None:
    one, other = (scores_of(campaign, entrant, asked) for entrant in pair)
    both = [
        (one[name].figures[metric], other[name].figures[metric])
        for name in one.keys() & other.keys()
        if metric in one[name].figures and metric in other[name].figures
    ]
    both = [gap for gap in sorted(both) if all(map(math.isfinite, gap))]
    if len(both) < FEWEST:
        return None
    first, second = zip(*both, strict=True)
    return Test(metric, asked, pair[0].label, pair[1].label, compare(first, second))


def _use(campaign: Campaign, entrant: Entrant) -> tuple[LevelUse, ...]:
    """Use of the codebooks over all clips, at the most levels that were measured."""
    if not entrant.settings:
        return ()
    most = max(entrant.settings, key=lambda setting: setting.levels)
    every: list[Codes] = []
    for clip in campaign.clips:
        try:
            every.append(nac.read(job_of(campaign, entrant, clip).place(CODED, most, ".nac")))
        except (NacreError, OSError):  # the clip failed, or somebody tidied up
            continue
    return codebook_use(every)[: most.levels] if every else ()
