"""What the verbs of the command line take: options that several share, and texts that stand for something."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import InputError

if TYPE_CHECKING:
    from ..audio import RawFormat


def complete_model(incomplete: str) -> list[str]:
    """Names of models that begin so, for the shell."""
    from ..catalogue import CATALOGUE

    return [name for name in CATALOGUE if name.startswith(incomplete)]


Paths = Annotated[
    list[str],
    typer.Argument(
        metavar="PATH...",
        help="INPUT, or INPUT OUTPUT, or INPUT ... FOLDER. Each a file or a folder; - is standard input or output.",
    ),
]
ModelName = Annotated[
    str,
    typer.Option(
        "--model", "-m", metavar="NAME", help="One of `nacre models`, a folder, a file.", autocompletion=complete_model
    ),
]
Maker = Annotated[
    str,
    typer.Option(
        "--model", "-m", metavar="NAME", help="Default: the model the file names.", autocompletion=complete_model
    ),
]
Bitrate = Annotated[
    str | None, typer.Option("--bitrate", "-b", metavar="BITS", help="At most so many bits a second, as 1.35k or 6000.")
]
Threads = Annotated[int, typer.Option(min=1, metavar="N", help="Threads a file.")]
Workers = Annotated[int, typer.Option("--workers", "-j", min=1, metavar="N", help="Files at a time.")]
Packer = Annotated[
    str, typer.Option("--lm", metavar="NAME", help="The language model that packs an .ecdc: encodec-lm-24k, a file.")
]
LyraBitrate = Annotated[
    str | None,
    typer.Option("--bitrate", "-b", metavar="BITS", help="Of a .lyra, which does not say it: 3200, 6000, 9200."),
]
Force = Annotated[bool, typer.Option("--force", "-f", help="Overwrite files that exist.")]
Skip = Annotated[bool, typer.Option("--skip", help="Leave files that exist alone, and go on with the others.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")]
OldModel = Annotated[str, typer.Option("--codec", metavar="NAME", help="The model of a .dac, which does not name it.")]
Weights = Annotated[
    str,
    typer.Option("--from", metavar="FILE", help="The model's weights, a file or a folder; nothing is downloaded then."),
]
Codecs = Annotated[
    list[str], typer.Argument(metavar="CODEC...", help="Names of `nacre models`, folders; opus, mp3, aac, vorbis ...")
]
Sounds = Annotated[list[str], typer.Option("--data", metavar="PLACE", help="Folders of clips, or clips; several.")]
Bitrates = Annotated[str, typer.Option(metavar="BITS,...", help="Bits a second, as 1.5k,3k,6k.")]
ReportFolder = Annotated[str, typer.Option("--out", "-o", metavar="FOLDER", help="Where the report goes.")]
Metrics = Annotated[
    str, typer.Option(metavar="NAME,...", help="all, or some, plug-ins too: pesq_wb,stoi,utmos=FILE.onnx.")
]
Matched = Annotated[
    bool, typer.Option("--bitrate-matched", help="Give baselines the bits that the first codec really takes.")
]
MeasuredRate = Annotated[
    int | None, typer.Option("--rate", metavar="HZ", help="Compare at this rate; default: each clip's own.")
]
Processes = Annotated[int, typer.Option("--workers", "-j", min=0, metavar="N", help="Processes; 0: one a core.")]
FewClips = Annotated[int, typer.Option("--clips", min=0, metavar="N", help="So many clips, evenly spread; 0: all.")]
NoSpeed = Annotated[bool, typer.Option("--no-speed", help="Leave timing out.")]


def spread(words: Sequence[str], option: str = "--data") -> list[str]:
    """Words of a command line with `option` before each of several places behind it: what a shell makes of `*.tar`."""
    told: list[str] = []
    inside = False  # the words that follow the option
    for word in words:
        named = word.partition("=")[0] == option
        inside = named or (inside and not word.startswith("-"))
        if inside and not named and told[-1] != option and os.path.exists(word) and not word.endswith(".toml"):
            told.append(option)
        told.append(word)
    return told


def parse_bitrate(text: str) -> float:
    """Bits a second of `1.35k`, `1.35kbps` or `1350`."""
    number = text.lower().removesuffix("bps").removesuffix("bit/s").strip()
    try:
        value = float(number.removesuffix("k")) * (1000 if number.endswith("k") else 1)
    except ValueError:
        raise InputError(f"a bitrate looks like 1.35k or 6000 (bits a second), got {text!r}") from None
    if not 0 < value < 1e9:
        raise InputError(f"a bitrate is a positive number of bits a second, got {text!r}")
    return value


def parse_bitrates(text: str) -> tuple[int, ...]:
    """Whole bits a second of `1.5k,3k`, each once."""
    return tuple(dict.fromkeys(round(parse_bitrate(each)) for each in text.split(",") if each.strip()))


def parse_time(text: str) -> float:
    """Seconds of `90`, `1:30` or `1:02:03.5`."""
    parts = text.strip().split(":")
    digits = [*parts[:-1], parts[-1].replace(".", "", 1)]
    if len(parts) > 3 or not all(part.isascii() and part.isdigit() for part in digits):
        raise InputError(f"a time looks like 90, 1:30 or 1:02:03.5, got {text!r}")
    hours, minutes, seconds = map(float, ["0", "0", *parts][-3:])
    return 3600 * hours + 60 * minutes + seconds


def parse_tags(pairs: list[str]) -> dict[str, str]:
    """The dictionary of `key=value` texts."""
    split = [pair.partition("=") for pair in pairs]
    bad = [pair for pair, (key, sign, _) in zip(pairs, split, strict=True) if not sign or not key]
    if bad:
        raise InputError(f"a tag looks like title=Morning, got {bad[0]!r}")
    return {key: value for key, _, value in split}


def parse_pcm(text: str) -> RawFormat:
    """The RawFormat of `encoding:rate[:channels]`."""
    from ..audio import RawFormat

    encoding, *rest = text.split(":")
    if len(rest) not in (1, 2) or not all(part.isascii() and part.isdigit() for part in rest):
        raise InputError(f"raw samples are described as encoding:rate[:channels], s16le:24000:1, got {text!r}")
    return RawFormat(encoding, *map(int, rest))
