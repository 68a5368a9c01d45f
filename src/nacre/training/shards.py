"""Finding training sound: folders of audio files, file lists and WebDataset `.tar` shards, all read in place.

A shard holds `KEY.opus` (or any other kind of sound) and `KEY.json`, whose "speaker" exclusions can name. Only
headers are read; what was found is kept in a cache folder and found again by names, sizes and times of change.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import tarfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, astuple, dataclass
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path

from ..errors import DamagedError, InputError
from .clips import Clip, find_clip

_RIFF = {".wav", ".wave", ".w64", ".rf64"}
_OTHERS = {".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc", ".au", ".snd", ".caf", ".sph", ".voc"}
SUFFIXES = frozenset(_RIFF | _OTHERS)  # what libsndfile reads
_SHARD = ".tar"
_VERSION = 1  # of the cache
_THREADS = 8  # reading headers waits for the disk more than it computes
_HEADER = 1 << 20  # bytes of a `.json` at most

Source = str | os.PathLike[str] | Sequence["str | os.PathLike[str]"]
_Found = tuple[list[Clip], list[str]]


@dataclass(frozen=True)
class Index:
    """What was found: the clips in a fixed order, and a sentence for each file that could not be used."""

    clips: tuple[Clip, ...]
    warnings: tuple[str, ...]


def find_clips(source: Source, exclude: Iterable[str | os.PathLike[str]] = (), cache: Path | None = None) -> Index:
    """All clips of `source`, less those excluded.

    `source` is a folder (searched to any depth), an audio file, a `.tar`, a text file with a path a line, a glob
    pattern, several of these joined by commas, or a sequence of them. `exclude` holds patterns (`*`, `?`) for keys,
    speakers and paths, or names of text files with a pattern a line. `cache` is a folder for what was found.
    """
    paths = list(dict.fromkeys(path for part in _split(source) for path in _expand(part)))
    index = _load(paths, cache) or _save(paths, cache, _scan(paths))
    patterns = list(_patterns(exclude))
    clips = tuple(clip for clip in index.clips if not _matches(clip, patterns))
    if clips:
        return Index(clips, index.warnings)
    raise InputError(
        f"no training sound in {_names(source)}: {len(paths)} files looked at, {len(index.warnings)} of them broken, "
        f"{len(index.clips)} clips excluded; expected folders or lists of audio files ({' '.join(sorted(SUFFIXES))}), "
        f"or .tar shards of them" + "".join(f"; {warning}" for warning in index.warnings[:3])
    )


def _names(source: Source) -> str:
    return ", ".join(str(part) for part in _split(source))


def _split(source: Source) -> list[str]:
    if isinstance(source, str | os.PathLike):
        name = os.fspath(source)
        return [name] if os.path.exists(name) else [part.strip() for part in name.split(",") if part.strip()]
    return [part for one in source for part in _split(one)]


def _expand(name: str) -> Iterator[str]:
    """The audio files and shards that one source names, in a fixed order."""
    if os.path.isdir(name):
        yield from _walk(name)
    elif os.path.isfile(name):
        yield from [name] if _usable(name) else _listed(name)
    elif matches := sorted(glob.glob(name, recursive=True)):
        for match in matches:
            yield from _walk(match) if os.path.isdir(match) else [match] if _usable(match) else []
    else:
        raise InputError(f"there is no training sound at {name}: expected a folder, an audio file, a .tar or a list")


def _usable(name: str) -> bool:
    suffix = os.path.splitext(name)[1].lower()
    return (suffix in SUFFIXES or suffix == _SHARD) and not os.path.basename(name).startswith(".")


def _walk(folder: str) -> Iterator[str]:
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (os.path.join(parent, name) for name in sorted(files) if _usable(name))


def _listed(name: str) -> list[str]:
    """The paths in a text file, those that are not absolute taken from its folder."""
    return [os.path.join(os.path.dirname(name), line) for line in _lines(name)]


def _lines(name: str) -> list[str]:
    try:
        lines = Path(name).read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{name} is neither a sound file known by its suffix nor a readable text list") from error
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def _patterns(exclude: Iterable[str | os.PathLike[str]]) -> Iterator[str]:
    for pattern in [exclude] if isinstance(exclude, str | os.PathLike) else exclude:
        name = os.fspath(pattern)
        yield from _lines(name) if os.path.isfile(name) else [name]


def _matches(clip: Clip, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns for name in (clip.key, clip.speaker, clip.path))


def _scan(paths: Sequence[str]) -> Index:
    clips: list[Clip] = []
    warnings: list[str] = []
    with ThreadPoolExecutor(_THREADS) as pool:
        for path, (found, broken) in zip(paths, pool.map(_scan_one, paths), strict=True):
            clips += found
            warnings += broken
            if not found and not broken:
                warnings.append(f"{path} holds no audio files")
    return Index(tuple(clips), tuple(warnings))


def _scan_one(path: str) -> _Found:
    if path.lower().endswith(_SHARD):
        return _scan_shard(path)
    try:
        size = os.path.getsize(path)
    except OSError as error:
        return [], [f"{path} cannot be read: {error.strerror}"]
    return _collect([partial(find_clip, path, os.path.splitext(os.path.basename(path))[0], 0, size)])


def _scan_shard(path: str) -> _Found:
    sounds: list[tuple[str, int, int]] = []
    speakers: dict[str, str] = {}
    broken = []
    try:
        with tarfile.open(path, "r:") as shard:
            for member in shard:
                key, suffix = os.path.splitext(member.name)
                if suffix.lower() == ".json" and member.size <= _HEADER and (file := shard.extractfile(member)):
                    speakers[key] = _speaker(file.read())
                elif suffix.lower() in SUFFIXES and member.isfile():
                    sounds.append((key, member.offset_data, member.size))
    except (OSError, tarfile.TarError) as error:
        broken.append(f"{path} is not a whole .tar file: {error}")
    found, unread = _collect([partial(find_clip, path, *sound, speakers.get(sound[0], "")) for sound in sounds])
    return found, broken + unread


def _speaker(text: bytes) -> str:
    try:
        facts = json.loads(text)
    except ValueError:
        return ""
    return str(facts.get("speaker", "")) if isinstance(facts, dict) else ""


def _collect(finds: Iterable[Callable[[], Clip]]) -> _Found:
    clips, broken = [], []
    for find in finds:
        try:
            clips.append(find())
        except DamagedError as error:
            broken.append(str(error))
    return clips, broken


def fingerprint(*facts: object) -> str:
    """A name for `facts` in a cache: the same whenever their printed forms are the same."""
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:24]


def _place(paths: Sequence[str], cache: Path) -> Path:
    facts = [(path, status.st_size, status.st_mtime_ns) for path in paths if (status := _status(path))]
    return cache / f"index-{fingerprint(_VERSION, len(paths), facts)}.json"


def _status(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except OSError:
        return None


def _load(paths: Sequence[str], cache: Path | None) -> Index | None:
    try:
        stored = json.loads(_place(paths, cache).read_text("utf-8")) if cache else None
        return stored and Index(tuple(Clip(*clip) for clip in stored["clips"]), tuple(stored["warnings"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None  # no cache, or one that something damaged: look again


def _save(paths: Sequence[str], cache: Path | None, index: Index) -> Index:
    if cache:
        cache.mkdir(parents=True, exist_ok=True)
        place = _place(paths, cache)
        part = place.with_suffix(f".{os.getpid()}.part")  # two runs may write the same index
        stored = asdict(index) | {"clips": [astuple(clip) for clip in index.clips]}
        part.write_text(json.dumps(stored), "utf-8")
        os.replace(part, place)
    return index
