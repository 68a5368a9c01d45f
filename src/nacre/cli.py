"""The verbs of the command line: each parses, makes one public call and prints.

Figures and tables go to standard output, progress and errors to standard error. Exit codes: 0 all well, 1 the
caller's mistake, 2 damaged input (what could be saved was written), 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import __version__
from .display import Progress, print_json, print_table, report_outcomes, show_error
from .errors import InputError, NacreError

if TYPE_CHECKING:
    from .evaluation.speed import Speed

UsageError: Any = typer.BadParameter.__base__  # typer keeps its copy of click to itself

app = typer.Typer(
    name="nacre",
    help="Neural audio compression: sound in, a few hundred bytes a second out, sound back.",
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

Inputs = Annotated[str, typer.Argument(metavar="INPUT", help="A file, a folder, or - for standard input.")]
Output = Annotated[str | None, typer.Argument(metavar="[OUTPUT]", help="A file, a folder, or - for standard output.")]
ModelName = Annotated[str, typer.Option("--model", "-m", help="A model of `nacre models`, or a folder with one.")]
Bitrate = Annotated[str | None, typer.Option("--bitrate", "-b", help="At most this many bits a second: 1.35k, 6k, 2700.")]
Threads = Annotated[int, typer.Option(min=1, help="Threads a file.")]
Workers = Annotated[int, typer.Option("--workers", "-j", min=1, help="Files at a time, for folders.")]
Force = Annotated[bool, typer.Option("--force", "-f", help="Overwrite files that exist.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]


@app.callback(invoke_without_command=True)
def version_option(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """Neural audio compression: sound in, a few hundred bytes a second out, sound back."""
    if version:
        typer.echo(f"nacre {__version__}")
        raise typer.Exit


@app.command()
def encode(
    source: Inputs,
    target: Output = None,
    model: ModelName = "pearl-24k",
    bitrate: Bitrate = None,
    tag: Annotated[list[str] | None, typer.Option(help="A tag for the file, as title=Morning. Repeatable.")] = None,
    raw_codes: Annotated[bool, typer.Option(help="Leave entropy coding out.")] = False,
    pcm: Annotated[str | None, typer.Option(help="Input without header: encoding:rate[:channels], s16le:24000:1.")] = None,
    threads: Threads = 1,
    workers: Workers = 1,
    force: Force = False,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Encode sound (WAV, FLAC, OGG, Opus, MP3 …) to .nac."""
    from . import batch, files, models

    codec = models.load(model, threads=threads)
    options = files.EncodeOptions(
        levels=codec.info.levels_for(parse_bitrate(bitrate)) if bitrate else None,
        tags=parse_tags(tag or []),
        raw_codes=raw_codes,
        overwrite=force,
        pcm=parse_pcm(pcm) if pcm else None,
    )
    jobs = batch.pair(source, target, ".nac", batch.SOUND)
    with Progress(len(jobs), quiet) as progress:
        outcomes = batch.run(lambda a, b, p: files.encode_file(codec, a, b, options, p), jobs, workers, progress)
    return report_outcomes("encoded", outcomes, codec.info, json, quiet)


@app.command()
def decode(
    source: Inputs,
    target: Output = None,
    model: Annotated[str | None, typer.Option("--model", "-m", help="Default: the model that the file names.")] = None,
    bitrate: Bitrate = None,
    start: Annotated[float, typer.Option(min=0, help="Begin at this second.")] = 0.0,
    stop: Annotated[float | None, typer.Option(min=0, help="End at this second.")] = None,
    rate: Annotated[int | None, typer.Option(help="Sample rate of the output; default: that of the original.")] = None,
    encoding: Annotated[str | None, typer.Option(help="Samples as int16, int24, int32 or float32.")] = None,
    pcm: Annotated[str | None, typer.Option(help="Output without header, as s16le, s24le, s32le or f32le.")] = None,
    threads: Threads = 1,
    workers: Workers = 1,
    force: Force = False,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Decode .nac to sound; the suffix of OUTPUT says which kind."""
    from . import batch, files, models

    jobs = batch.pair(source, target, ".wav", batch.CODED)
    shelf = models.Shelf(model, threads)
    bits = parse_bitrate(bitrate) if bitrate else None

    def one(coded: str, sound: str, report: files.Progress) -> files.Outcome:
        options = files.DecodeOptions(bits, start, stop, rate, encoding, force, pcm)
        return files.decode_file(shelf, coded, sound, options, report)

    with Progress(len(jobs), quiet) as progress:
        outcomes = batch.run(one, jobs, workers, progress)
    return report_outcomes("decoded", outcomes, None, json, quiet)


@app.command()
def info(source: Annotated[str, typer.Argument(metavar="FILE")], json: Json = False) -> None:
    """Say what a .nac, .ecdc or .dac file holds."""
    from . import files

    summary = files.summarise(source)
    if json:
        print_json(summary)
    else:
        print_table([(key.replace("_", " "), value) for key, value in summary.items()])
    if summary.get("damage"):
        raise typer.Exit(2)


@app.command()
def models(json: Json = False) -> None:
    """List the models that can be loaded by name."""
    from .models import CATALOGUE

    if json:
        print_json([vars(model) for model in CATALOGUE.values()])
    else:
        print_table([(model.name, model.licence, model.summary) for model in CATALOGUE.values()])


@app.command()
def convert(
    source: Annotated[str, typer.Argument(metavar="INPUT")],
    target: Annotated[str, typer.Argument(metavar="OUTPUT", help="Its suffix says the kind: .nac, .ecdc or .dac.")],
    force: Force = False,
) -> None:
    """Move codes from one container to another; the codes stay, so the codec does."""
    from . import files

    files.convert_file(source, target, overwrite=force)
    typer.echo(f"converted  {source} -> {target}")


@app.command()
def bench(
    source: Annotated[str | None, typer.Argument(metavar="[SOUND]", help="Default: the bundled sample.")] = None,
    model: ModelName = "pearl-24k",
    threads: Threads = 1,
    json: Json = False,
) -> None:
    """Measure speed: whole files and frame by frame."""
    from . import audio, models
    from .evaluation import speed

    info = models.load(model).info
    wave = audio.read(source or models.SAMPLE, info.sample_rate, info.channels).samples
    measured = speed.measure(lambda: models.load(model, threads=threads), wave)
    if json:
        print_json(vars(measured))
    else:
        print_table(speed_rows(measured))


@app.command()
def demo(folder: Annotated[Path, typer.Argument(help="Where the results go.")] = Path("demo")) -> None:
    """Code the bundled sample of speech and come back: sizes, speed, sound and a picture."""
    from . import demonstration

    print_table(demonstration.run(folder))


def speed_rows(speed: Speed) -> list[tuple[str, str]]:
    """The figures of `bench`, with their units."""
    return [
        ("load and first frame", f"{speed.load * 1000:.0f} ms"),
        ("encode", f"{speed.encode:.0f} x real time"),
        ("decode", f"{speed.decode:.0f} x real time"),
        ("a frame of", f"{speed.frame * 1000:.1f} ms"),
        ("  takes, median", f"{speed.latency_p50 * 1000:.2f} ms"),
        ("  95 %", f"{speed.latency_p95 * 1000:.2f} ms"),
        ("  99 %", f"{speed.latency_p99 * 1000:.2f} ms"),
        ("algorithmic latency", f"{speed.delay * 1000:.1f} ms"),
    ]


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


def parse_tags(pairs: list[str]) -> dict[str, str]:
    """The dictionary of `key=value` texts."""
    split = [pair.partition("=") for pair in pairs]
    bad = [pair for pair, (key, sign, _) in zip(pairs, split, strict=True) if not sign or not key]
    if bad:
        raise InputError(f"a tag looks like title=Morning, got {bad[0]!r}")
    return {key: value for key, _, value in split}


def parse_pcm(text: str) -> Any:
    """The RawFormat of `encoding:rate[:channels]`."""
    from .audio import RawFormat

    encoding, _, rest = text.partition(":")
    try:
        numbers = [int(part) for part in rest.split(":")]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, 2):
        raise InputError(f"raw samples are described as encoding:rate[:channels], s16le:24000:1, got {text!r}")
    return RawFormat(encoding, *numbers)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit; nothing but a plain sentence ever reaches the user."""
    signal.signal(signal.SIGTERM, _stop)  # as Ctrl-C: files that are half written go away
    words = sys.argv[1:] if arguments is None else arguments
    sys.exit(guarded(lambda: app(words or ["--help"], standalone_mode=False)))


def _stop(number: int, frame: Any) -> None:
    raise KeyboardInterrupt


def guarded(command: Callable[[], Any]) -> int:
    """The exit code of `command`, with errors told in a sentence."""
    try:
        result = command()
    except NacreError as error:
        show_error(str(error))
        return error.exit_code
    except (typer.Abort, KeyboardInterrupt):
        show_error("stopped; nothing half-written was left behind")
        return 130
    except UsageError as error:
        show_error(f"{error.format_message()} (see nacre --help)")
        return 1
    except BrokenPipeError:
        sys.stderr.close()  # or Python complains while it flushes
        return 0  # the program that we wrote to has heard enough
    return result if isinstance(result, int) else 0
