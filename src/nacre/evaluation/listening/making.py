"""A test folder from originals and codecs: code, align, match loudness, write, plan."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ... import audio
from ...batch import SOUND, Watcher
from ...errors import InputError
from ..baselines import Coded
from ..systems import BaselineSystem, Setting, System, open_system
from .plan import (
    ANCHOR35,
    ANCHOR70,
    KINDS,
    LINKS,
    MOST_STIMULI,
    PLAN,
    REFERENCE,
    SOUNDS,
    Condition,
    Item,
    Kind,
    Plan,
    write_plan,
)
from .stimuli import Wave, in_place, low_pass, matched

LONGEST = 12.0  # seconds of an item: BS.1534-3 advises about 10, and no more than 12
CORNERS = {ANCHOR35: 3_500.0, ANCHOR70: 7_000.0}  # Hz
LEAST_RATE = 16_000  # Hz, or the 7 kHz anchor is the original
CONSENT = """You will listen to short recordings and judge how they sound. It takes about {minutes} minutes; \
you can stop at any time and come back later with the same link.

What is kept: the name or nickname you give, your judgements, your comments, and when they were made. Nothing else \
about you or your device. It is used to compare ways of coding sound and is seen by whoever runs this test only.

Taking part is voluntary. Close the page to leave; ask whoever invited you to have your answers deleted."""
MINUTES_EACH = {"mushra": 2.5, "ab": 0.5, "abx": 0.75, "acr": 0.35}  # minutes a page, about


@dataclass(frozen=True)
class Entrant:
    """What is to be judged: a codec by name and bitrate, or a folder of sounds that were made elsewhere."""

    label: str
    codec: str = ""
    bitrate: float = 0.0  # bit/s; 0: all its levels
    folder: Path | None = None  # sounds named as the originals


@dataclass(frozen=True)
class Options:
    """How the test shall be."""

    kind: Kind = "mushra"
    title: str = "Listening test"
    consent: str = ""  # "": CONSENT
    loudness: float = -23.0  # LUFS, EBU R128
    repeats: int = 1
    training: Path | None = None  # None: the first original


@dataclass
class _Made:
    """Bits and seconds of one entrant so far."""

    entrant: Entrant
    code: Callable[[Wave, int, Path], tuple[Wave, int]]
    bytes: int = 0
    seconds: float = 0.0

    def finish(self) -> Condition:
        """The entrant as a condition of the test, with its measured bitrate."""
        kbps = 8 * self.bytes / self.seconds / 1000 if self.bytes else 0.0
        return Condition(self.entrant.label, "codec", round(kbps, 3))


def make(
    folder: Path,
    originals: Sequence[Path],
    entrants: Sequence[Entrant],
    options: Options,
    watch: Watcher | None = None,
) -> Plan:
    """Build a test in `folder`, which must not hold one; `watch` hears of each original."""
    files = find_sounds(originals)
    _check(folder, files, entrants, options)
    for file in files if options.training is None else [*files, options.training]:
        _read(file, options)  # what one of them lacks is said before all are coded
    made = [_Made(entrant, _coder(entrant)) for entrant in entrants]
    try:
        plan = _make(folder, files, made, options, watch)
    except BaseException:
        shutil.rmtree(folder / SOUNDS, ignore_errors=True)  # half a test would stand in the way of the next try
        raise
    return plan


def _make(folder: Path, files: Sequence[Path], made: Sequence[_Made], options: Options, watch: Watcher | None) -> Plan:
    items = []
    for i, file in enumerate(files):
        if watch is not None:
            watch.begin(file.stem)
        items.append(_item(folder, i, file, made, options))
        if watch is not None:
            watch.end(file.stem)
    bits = [each.finish() for each in made]
    training = items[0]
    if options.training is not None:
        training = _item(folder, len(files), options.training, made, options)
    plan = Plan(
        kind=options.kind,
        title=options.title,
        consent="",
        conditions=(*_fixed(options.kind), *bits),
        items=tuple(items),
        training=training,
        loudness=options.loudness,
        repeats=options.repeats,
    )
    minutes = max(2, round(len(plan.trials()) * MINUTES_EACH[plan.kind] + 2))
    consent = options.consent or CONSENT.format(minutes=minutes)
    plan = replace(plan, consent=consent)
    write_plan(folder, plan)
    return plan


def find_sounds(places: Sequence[Path]) -> list[Path]:
    """Sound files named, and those in folders named, in order of name."""
    found: list[Path] = []
    for place in places:
        if not place.exists():
            raise InputError(f"{place} does not exist; name sound files or folders of them")
        inside = [place]
        if place.is_dir():
            inside = sorted(p for p in place.glob("[!.]*") if p.suffix.lower() in SOUND and p.is_file())
        if not inside:
            raise InputError(f"no sound in {place}; expected files that end in {', '.join(sorted(SOUND))}")
        found += inside
    return found


def _check(folder: Path, files: Sequence[Path], entrants: Sequence[Entrant], options: Options) -> None:
    if options.kind not in KINDS:
        raise InputError(f"no kind of test {options.kind!r}; expected one of {', '.join(KINDS)}")
    if any((folder / name).exists() for name in (PLAN, LINKS, SOUNDS)):
        raise InputError(f"{folder} holds a listening test already; choose another folder")
    stems, labels = [file.stem for file in files], [entrant.label for entrant in entrants]
    taken = [*(each.name for each in _fixed("mushra")), *labels]
    for what, names in (("originals", stems), ("codecs", taken)):
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise InputError(f"two {what} are named {twice[0]!r}; give each a name of its own")
    if not files:
        raise InputError("a listening test needs originals; name sound files or a folder of them with --data")
    least = 2 if options.kind == "ab" else 1
    if len(entrants) < least:
        raise InputError(f"expected at least {least} to compare, got {len(entrants)}; name them with --codec")
    most = MOST_STIMULI - 3
    if options.kind == "mushra" and len(entrants) > most:
        raise InputError(f"a MUSHRA page has room for {most} codecs beside reference and anchors, got {len(entrants)}")


def _fixed(kind: Kind) -> list[Condition]:
    """Conditions that are there whatever is compared."""
    if kind == "ab":
        return []
    anchors = [Condition(name, name) for name in CORNERS] if kind == "mushra" else []
    return [Condition(REFERENCE, REFERENCE), *anchors]


def _item(folder: Path, place: int, file: Path, made: Sequence[_Made], options: Options) -> Item:
    """Code one original with everything and write what is heard."""
    sound = _read(file, options)
    reference, rate = sound.samples[0], sound.sample_rate
    if reference.shape[0] > 2:
        reference = audio.mix_channels(reference, 2)
    sounds = {REFERENCE: reference}
    if options.kind == "mushra":
        sounds |= {name: low_pass(reference, rate, corner) for name, corner in CORNERS.items()}
    for each in made:
        wave, size = each.code(reference, rate, file)
        each.bytes, each.seconds = each.bytes + size, each.seconds + sound.duration
        sounds[each.entrant.label] = in_place(reference, wave, rate)
    if options.kind == "ab":
        del sounds[REFERENCE]
    try:
        even = matched(sounds, rate, options.loudness)
    except InputError as error:
        raise InputError(f"{file}: {error}") from error
    (folder / SOUNDS / str(place)).mkdir(parents=True, exist_ok=True)
    places = {name: f"{SOUNDS}/{place}/{i}.wav" for i, name in enumerate(even)}
    for name, wave in even.items():
        audio.write(folder / places[name], wave[None], rate, overwrite=True)
    return Item(file.stem, sound.duration, places)


def _read(file: Path, options: Options) -> audio.Audio:
    """An original, if it can be judged."""
    sound = audio.read(file)
    if sound.duration > LONGEST or sound.duration < 1:
        raise InputError(
            f"{file} lasts {sound.duration:.1f} s; people judge best what lasts 1 to {LONGEST:g} s, so cut it"
        )
    if options.kind == "mushra" and sound.sample_rate < LEAST_RATE:
        raise InputError(
            f"{file} is sampled at {sound.sample_rate} Hz; MUSHRA's anchor of 7 kHz needs {LEAST_RATE} Hz or more"
        )
    return sound


def _coder(entrant: Entrant) -> Callable[[Wave, int, Path], tuple[Wave, int]]:
    """What turns an original into what this entrant makes of it, and bytes."""
    if entrant.folder is not None:
        place = entrant.folder
        return lambda reference, rate, file: (_ready(place, file, rate, reference.shape[0]), 0)
    system = open_system(entrant.codec)
    setting = _setting(system, entrant)

    def code(reference: Wave, rate: int, file: Path) -> tuple[Wave, int]:
        if 1 < len(reference) == system.channels:
            both = _coded(system, setting, reference, rate)
            return both.wave, both.bytes
        parts = [_coded(system, setting, channel, rate) for channel in reference]
        return np.stack([part.wave for part in parts]), sum(part.bytes for part in parts)

    return code


def _coded(system: System, setting: Setting, wave: Wave, rate: int) -> Coded:
    coded = next(iter(system.code(wave, rate, [setting])))
    if isinstance(coded, InputError):
        raise coded
    return coded


def _setting(system: System, entrant: Entrant) -> Setting:
    if not entrant.bitrate and isinstance(system, BaselineSystem):
        raise InputError(f"{entrant.codec} needs a bitrate, as {entrant.codec}@12k")
    settings, refused = system.settings([round(entrant.bitrate or 1e9)])
    if not settings:
        raise InputError(refused[0])
    return settings[0]


def _ready(folder: Path, original: Path, rate: int, channels: int) -> Wave:
    """The sound of the same name in a folder."""
    for suffix in (original.suffix, *sorted(SOUND)):
        file = folder / f"{original.stem}{suffix}"
        if file.is_file():
            wave: Wave = audio.read(file, rate, channels).samples[0]
            return wave
    raise InputError(f"{folder} has no sound named {original.stem}; expected one for each original")
