"""What files of codes hold, and moving their codes to another container: no codec is needed for either."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import Any, cast

from .atomic import write_whole
from .codes import CodecInfo, Codes
from .container import legacy, nac
from .container.reader import NacReader
from .container.writer import NacWriter
from .errors import InputError, NacreError
from .files import RATE, SAMPLES, describe, tagged
from .opening import open_file

LOUDNESS = "input_db"  # the tag for what a `.dac` says of the loudness before coding, in LUFS
KINDS = {"nac": ".nac", "nac0": ".nac", "ecdc": ".ecdc", "dac": ".dac", "lyra": ".lyra"}  # nac0 is the `.nac` of 2023


@dataclass(frozen=True)
class Moved:
    """What became of codes that changed their container."""

    source: str
    target: str
    container: str
    codec: str
    levels: int
    seconds: float
    dropped_tags: tuple[str, ...] = ()  # for which the new container has no room


def summarise(source: str | os.PathLike[str], codec: str | None = None, bitrate: float | None = None) -> dict[str, Any]:
    """What a `.nac`, `.ecdc`, `.dac` or `.lyra` file (`-` for standard input) holds, as values that JSON can take.

    `codec` names the model of a `.dac`, `bitrate` that of a `.lyra`, which do not say it. A damaged `.nac` is told
    about, not refused. Of an `.ecdc` that a language model packed only the header is read.
    """
    with _opened(source) as file:
        kind = legacy.kind_of(source, file.peek(6)[:6])
        if kind is None:
            return {"file": os.fspath(source), **_of_nac(file)}
        data = legacy.read_all(file)
        packed = legacy.packed_header(data)
        if packed is not None:
            info, header = packed
            about = _about(kind, info, int(header["nc"]), int(header["al"]), len(data))
            return {"file": os.fspath(source), **about, "metadata": header}
        old = legacy.read(BytesIO(data), codec, bitrate=legacy.lyra_bitrate(kind, bitrate))
    about = _about(kind, old.codes.info, len(old.codes.levels), old.codes.length, len(data))
    return {"file": os.fspath(source), **about, "metadata": dict(old.metadata)}


def convert_file(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    container: str | None = None,
    codec: str | None = None,
    overwrite: bool = False,
    bitrate: float | None = None,
) -> Moved:
    """Move the codes of `source` into another container; the codes stay as they are, so the codec does.

    `container` is one of `KINDS`; by default the suffix of `target` says it. `codec` names the model of a `.dac`,
    `bitrate` is that of a `.lyra`.
    """
    kind = _check_kind(target, container)
    codes, tags = _read(source, codec, bitrate)
    if target != "-" and os.path.exists(target) and not overwrite:
        raise InputError(f"{os.fspath(target)} exists; overwrite it with --force or choose another name")
    kept = {"nac": set(tags), "dac": {RATE, SAMPLES, LOUDNESS}}.get(kind, set())
    if kind == "nac":
        with NacWriter(target, codes.info, len(codes.levels), tags, overwrite=overwrite) as writer:
            writer.write(codes)
    elif kind == "dac":
        _put(target, legacy.write_dac(codes, _dac_metadata(tags)), overwrite)
    else:
        writers: dict[str, Callable[[Codes], bytes]] = {
            "ecdc": legacy.write_ecdc,
            "lyra": legacy.write_lyra,
            "nac0": legacy.write_nac0,
        }
        _put(target, writers[kind](codes), overwrite)
    dropped = tuple(sorted(set(tags) - kept))
    name, levels = codes.info.name, len(codes.levels)
    return Moved(os.fspath(source), os.fspath(target), kind, name, levels, codes.seconds, dropped)


@contextmanager
def _opened(source: str | os.PathLike[str]) -> Iterator[BufferedReader]:
    """`source` open for reading; its first bytes can be looked at before, and errors say its name."""
    name = os.fspath(source)
    with ExitStack() as stack:
        file = sys.stdin.buffer if source == "-" else stack.enter_context(open_file(source))
        try:
            yield cast(BufferedReader, file)
        except NacreError as error:
            if name in str(error) or source == "-":
                raise
            raise type(error)(f"{name}: {error}") from error


def _about(kind: str, info: CodecInfo, levels: int, samples: int, size: int) -> dict[str, Any]:
    seconds = samples / info.sample_rate
    return {
        "container": kind,
        "codec": info.name,
        "digest": info.digest,
        "sample_rate": info.sample_rate,
        "channels": info.channels,
        "levels": levels,
        "codec_levels": info.levels,
        "seconds": seconds,
        "samples": samples,
        "bytes": size,
        "bitrate": 8 * size / seconds if samples else 0.0,
        "nominal_bitrate": info.bitrate(levels),
    }


def _of_nac(file: BufferedReader) -> dict[str, Any]:
    found = nac.summary(file)
    return {
        **_about("nac", found.info, found.levels, found.length, found.file_bytes),
        "packets": found.packets,
        "code_bytes": math.ceil(found.code_bytes),
        "tags": found.tags,
        "damage": [vars(place) | {"sentence": describe(place)} for place in found.damage],
    }


def _check_kind(target: str | os.PathLike[str], container: str | None) -> str:
    suffix = Path(target).suffix.lower()
    if container is not None and container not in KINDS:
        raise InputError(f"codes go into {', '.join(KINDS)}, got {container!r}; name one of these")
    if target == "-":
        return container or "nac"
    if suffix not in KINDS.values():
        raise InputError(
            f"{os.fspath(target)}: codes go into .nac, .ecdc, .dac or .lyra files; choose a name that ends so"
        )
    if container is not None and KINDS[container] != suffix:
        raise InputError(f"{container} codes go into a {KINDS[container]} file, got {os.fspath(target)}; rename it")
    return container or suffix[1:]


def _read(source: str | os.PathLike[str], codec: str | None, bitrate: float | None) -> tuple[Codes, dict[str, str]]:
    with _opened(source) as file:
        kind = legacy.kind_of(source, file.peek(6)[:6])
        if kind is not None:
            return _read_legacy(source, legacy.read(file, codec, bitrate=legacy.lyra_bitrate(kind, bitrate)))
        with NacReader(file) as reader:
            codes = reader.read()
            if reader.damage:
                place = describe(reader.damage[0])
                raise InputError(f"{os.fspath(source)} is damaged, so not all codes can be moved; decode it: {place}")
            return codes, reader.tags


def _read_legacy(source: str | os.PathLike[str], old: legacy.LegacyFile) -> tuple[Codes, dict[str, str]]:
    if old.window:
        raise InputError(
            f"{os.fspath(source)} was coded in windows of {old.window} frames, which only `nacre decode` can join; "
            "write it again in one piece (dac encode with a longer --win_duration), or keep it as it is"
        )
    if old.kind != "dac":
        return old.codes, {}
    loudness = cast(tuple[float, ...], old.metadata["input_db"])
    return old.codes, {
        RATE: str(old.metadata["sample_rate"]),
        SAMPLES: str(old.metadata["original_length"]),
        LOUDNESS: " ".join(str(value) for value in loudness),
    }


def _dac_metadata(tags: Mapping[str, str]) -> dict[str, object]:
    """What of the tags a `.dac` has room for."""
    rate, samples = tagged(tags, RATE), tagged(tags, SAMPLES)
    fields: dict[str, object] = {}
    if rate is not None and samples is not None:
        fields |= {"sample_rate": rate, "original_length": samples}
    try:
        loudness = tuple(float(value) for value in tags.get(LOUDNESS, "").split())
    except ValueError:
        loudness = ()
    return fields | ({"input_db": loudness} if loudness else {})


def _put(target: str | os.PathLike[str], data: bytes, overwrite: bool) -> None:
    if target == "-":
        sys.stdout.buffer.write(data)
    else:
        write_whole(target, data, overwrite)
