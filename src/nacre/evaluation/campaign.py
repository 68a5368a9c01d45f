"""`nacre evaluate`: every codec at every bitrate over every clip, on all cores; what is done is not done again.

    results/CODEC/CLIP.json    figures of one clip through one codec     coded/CODEC/CLIP-….nac   what was measured
    sounds/CODEC/CLIP-….flac   what it sounds like over the original     speed/CODEC.json         timings

all below the folder of the report. Figures do not depend on the number of workers: every process computes with one
thread, and every clip is measured by itself.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..batch import SOUND, Watcher, below
from ..errors import InputError, MissingError, NacreError
from ..opening import unreadable
from .crew import cores, work
from .metrics import METRICS
from .plugins import find_metric, with_digest
from .scores import Clip, Job, Results, known, measure
from .systems import Setting, System, open_system, slug

BITRATES = (1_500, 3_000, 6_000, 12_000)  # bit/s
SLOW = ("visqol_audio", "dnsmos")  # left out unless asked for
ALL = "all"


@dataclass(frozen=True)
class Plan:
    """What is to be compared."""

    codecs: tuple[str, ...]  # as `systems.open_system` takes them
    data: tuple[str, ...]  # folders and files
    out: str
    bitrates: tuple[int, ...] = BITRATES  # bit/s
    metrics: tuple[str, ...] = ()  # () for all that are installed and not slow
    matched: bool = False  # baselines take the bits that the first codec of ours took on each clip
    sample_rate: int | None = None  # Hz to measure at; None: each clip's own
    workers: int = 0  # 0 for one a core
    sounds: bool = True
    clips: int = 0  # so many, evenly spread; 0 for all


@dataclass
class Entrant:
    """One system, and what came of it."""

    name: str  # as the user said it
    label: str
    digest: str
    baseline: bool
    settings: list[Setting]
    results: dict[str, Results] = field(default_factory=dict)  # by Clip.key


@dataclass
class Campaign:
    """All that was measured."""

    plan: Plan
    metrics: tuple[str, ...]
    clips: list[Clip]
    entrants: list[Entrant]
    unread: list[str] = field(default_factory=list)  # clips that the system did not give, in sentences
    failures: dict[str, dict[str, str]] = field(default_factory=dict)  # clip name: system label: why
    notes: list[str] = field(default_factory=list)  # what was left out, in sentences


def run(plan: Plan, watcher: Watcher) -> Campaign:
    """Measure all that is not measured yet; a clip that cannot be is named in `failures` and stops no other."""
    metrics, notes = choose_metrics(plan.metrics)
    clips, unread = find_clips(plan)
    if not clips:
        raise InputError(f"no clip can be used; the first: {unread[0]}")
    _clear(Path(plan.out))
    entrants: list[Entrant] = []
    for name in dict.fromkeys(plan.codecs):
        system = open_system(name)
        settings, left_out = system.settings(plan.bitrates)
        entrants.append(_entrant(name, system, settings, entrants))
        notes += left_out
    campaign = Campaign(plan, metrics, clips, entrants, unread, notes=notes)
    lead = next((entrant for entrant in entrants if not entrant.baseline), None)
    if plan.matched and lead is None:
        raise InputError("--bitrate-matched needs a codec that is no baseline, to match the bits of")
    ours = [job for entrant in entrants if not (plan.matched and entrant.baseline) for job in jobs(campaign, entrant)]
    _measure(campaign, ours, watcher)
    if plan.matched and lead is not None:
        theirs = [e for e in entrants if e.baseline]
        _measure(campaign, [job for entrant in theirs for job in matched_jobs(campaign, entrant, lead)], watcher)
    return campaign


def size(plan: Plan) -> int:
    """Jobs to come: clips times codecs."""
    return len(list(find_paths(plan))) * len(set(plan.codecs))


def choose_metrics(asked: Sequence[str]) -> tuple[tuple[str, ...], list[str]]:
    """The metrics to measure; those of the usual set that are not installed are named."""
    if not asked or list(asked) == [ALL]:
        usual = [name for name in METRICS if asked or name not in SLOW]
        absent = [name for name in usual if not METRICS[name].present()]
        return tuple(name for name in usual if name not in absent), absence(absent)
    chosen = tuple(dict.fromkeys(with_digest(name) for name in asked))
    for name in chosen:
        metric = find_metric(name)
        if not metric.present():
            raise MissingError(f"{metric.name} needs the package {metric.package}; pip install 'nacre[eval]'")
    return chosen, []


def absence(metrics: Sequence[str]) -> list[str]:
    """A sentence on metrics whose packages are not installed, and what to do about it; none for none."""
    if not metrics:
        return []
    names = ", ".join(METRICS[name].name for name in metrics)
    packages = ", ".join(dict.fromkeys(str(METRICS[name].package) for name in metrics))
    return [f"not measured, for want of {packages}: {names}; pip install 'nacre[eval]'"]


def find_paths(plan: Plan) -> Iterator[tuple[Path, Path]]:
    """Sound files in the order of their names, each with the folder that it was found in."""
    found: dict[Path, tuple[Path, Path]] = {}  # by where they really are: what is named twice is one clip
    for each in plan.data:
        place = Path(each)
        if not place.exists():
            raise InputError(f"{place} is not there; name a folder of sound files, or files, with --data")
        inside = [(path, place) for path in sorted(below(place, SOUND))] if place.is_dir() else [(place, place.parent)]
        found |= {path.resolve(): (path, folder) for path, folder in inside if path.resolve() not in found}
    if not found:
        raise InputError(f"no sound files in {', '.join(plan.data)}; name a folder of them with --data")
    count, every = min(plan.clips or len(found), len(found)), list(found.values())
    return (every[i * len(every) // count] for i in range(count))


def find_clips(plan: Plan) -> tuple[list[Clip], list[str]]:
    """The clips, each with a name of its own and the digest of that and its content; a sentence for each unread one.

    A clip is called after its place in its folder; where two folders have files of the same names, after its place
    below what the folders share.
    """
    clips, unread, paths = [], [], list(find_paths(plan))
    names = [path.relative_to(folder).as_posix() for path, folder in paths]
    if len(set(names)) < len(names):
        shared = os.path.commonpath([path.resolve().parent for path, _ in paths])
        names = [path.resolve().relative_to(shared).as_posix() for path, _ in paths]
    for name, (path, _) in zip(names, paths, strict=True):
        try:
            content = path.read_bytes()
        except OSError as error:
            unread.append(f"{unreadable(str(path), error)}; it was left out")
            continue
        digest = hashlib.sha256(name.encode() + b"\0" + content).hexdigest()[:12]
        clips.append(Clip(str(path), name, f"{slug(path.stem)}-{digest}"))
    return clips, unread


def jobs(campaign: Campaign, entrant: Entrant) -> Iterator[Job]:
    """One job a clip, none where there is no setting."""
    return (job_of(campaign, entrant, clip) for clip in campaign.clips if entrant.settings)


def job_of(campaign: Campaign, entrant: Entrant, clip: Clip) -> Job:
    """One clip through one system; bits that are to be matched are those that the first codec of ours took."""
    plan, settings = campaign.plan, entrant.settings
    if plan.matched and entrant.baseline:
        settings = targets(campaign, clip)
    return Job(
        clip=clip,
        system=entrant.name,
        label=entrant.label,
        digest=entrant.digest,
        settings=tuple(settings),
        metrics=campaign.metrics,
        out=plan.out,
        sample_rate=plan.sample_rate,
        sounds=plan.sounds,
    )


def targets(campaign: Campaign, clip: Clip) -> list[Setting]:
    """Settings that aim at the bits which the first codec of ours took on a clip; none where it failed."""
    lead = next(entrant for entrant in campaign.entrants if not entrant.baseline)
    results = lead.results.get(clip.key)
    if results is None:
        return []
    taken = [(s.asked, 8 * results.scores[s.key].bytes / results.seconds) for s in lead.settings]
    return [Setting(asked, target=bits) for asked, bits in taken]


def matched_jobs(campaign: Campaign, entrant: Entrant, lead: Entrant) -> Iterator[Job]:
    """Jobs that aim at the bits which `lead` took, clip by clip."""
    entrant.settings = [Setting(setting.asked) for setting in lead.settings]
    for job in jobs(campaign, entrant):
        if job.settings:
            yield job
        else:
            why = campaign.failures.get(job.clip.name, {}).get(lead.label, "it was not measured")
            campaign.failures.setdefault(job.clip.name, {})[entrant.label] = why


def _entrant(name: str, system: System, settings: list[Setting], before: Sequence[Entrant]) -> Entrant:
    """Labels are unique: two folders of one name differ by what is in them."""
    label = system.label
    if any(entrant.label == label for entrant in before):
        label = f"{label} ({system.digest[:8]})"
    if any(entrant.label == label for entrant in before):
        raise InputError(f"{name} is the same codec as one named before; leave one of them out")
    return Entrant(name, label, system.digest, system.baseline, settings)


def _measure(campaign: Campaign, todo: Sequence[Job], watcher: Watcher) -> None:
    """Take what is known, have the rest measured."""
    entrants = {entrant.label: entrant for entrant in campaign.entrants}

    def ended(job: Job, result: Results | NacreError) -> None:
        if isinstance(result, NacreError):
            campaign.failures.setdefault(job.clip.name, {})[job.label] = str(result)
        else:
            entrants[job.label].results[job.clip.key] = result
        watcher.end(title(job))

    fresh = []
    for job in todo:
        results = known(job)
        if all(results.lacks(setting, job.metrics) == [] for setting in job.settings):
            ended(job, results)
        else:
            fresh.append(job)
    work(measure, fresh, campaign.plan.workers or cores(), lambda job: _begun(watcher, job), ended)


def _begun(watcher: Watcher, job: Job) -> None:
    watcher.begin(title(job))


def title(job: Job) -> str:
    """What the line of progress says."""
    return f"{job.label}: {job.clip.name}"


def _clear(out: Path) -> None:
    """Make the folder; remove what a process that was killed had half written."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{out} cannot be made a folder: {error.strerror}; name another with --out") from error
    for part in out.rglob(".nacre-*.part"):
        part.unlink(missing_ok=True)
