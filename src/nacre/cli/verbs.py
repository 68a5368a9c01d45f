"""The verbs of the command line: each parses, makes one public call and prints.

Figures and tables go to standard output, progress and errors to standard error. Exit codes: 0 all well, 1 the
caller's mistake, 2 damaged input (what could be saved was written), 130 stopped by Ctrl-C or a signal.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .. import __version__, batch
from ..batch import Existing, Job, Report
from ..errors import InputError
from . import guard, listen, wings
from .arguments import (
    Bitrate,
    Force,
    Json,
    LyraBitrate,
    Maker,
    ModelName,
    OldModel,
    Packer,
    Paths,
    Quiet,
    Skip,
    Threads,
    Weights,
    Workers,
    complete_model,
    parse_bitrate,
    parse_pcm,
    parse_tags,
    parse_time,
    spread,
)
from .display import Progress, print_json, print_table, report_outcomes, show_error, summary_rows

if TYPE_CHECKING:
    from ..files import Outcome

EXAMPLES = """Examples:

\b
  nacre encode talk.wav                    talk.nac, at 6 kbps
  nacre encode talk.mp3 low.nac -b 1.35k   at most 1350 bits a second
  nacre encode talks/ coded/ -j 4          a whole folder, four files at a time
  nacre encode talks/ coded/ --skip        the same once more: only what is missing
  nacre decode talk.nac part.flac --start 1:00 --stop 1:30
  nacre decode old.ecdc old.wav            also .dac, .lyra, the .nac of 2023
  nacre info talk.nac --json
  nacre decode talk.nac - | aplay          sound through a pipe
  ffmpeg -i film.mkv -f wav - | nacre encode - film.nac

Exit codes: 0 all well, 1 a mistake in the call, 2 damaged input, 130 stopped.
"""

app = typer.Typer(
    name="nacre",
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.callback(invoke_without_command=True, epilog=EXAMPLES)
def overview(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Neural audio compression: sound in, a few hundred bytes a second out, sound back."""
    if version:
        typer.echo(f"nacre {__version__}")
        raise typer.Exit


@app.command()
def encode(  # noqa: PLR0913 - the options of a verb are the arguments of its function
    paths: Paths,
    model: ModelName = "pearl-24k",
    weights: Weights = "",
    bitrate: Bitrate = None,
    lm: Packer = "",
    tag: Annotated[list[str], typer.Option(metavar="KEY=VALUE", help="Say more about the sound; repeatable.")] = [],  # noqa: B006 - typer's way
    raw_codes: Annotated[bool, typer.Option("--raw-codes", help="Leave entropy coding out.")] = False,
    pcm: Annotated[str, typer.Option(metavar="FORMAT", help="Input without header, as s16le:24000:1.")] = "",
    threads: Threads = 1,
    workers: Workers = 1,
    force: Force = False,
    skip: Skip = False,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Encode sound to .nac (or .ecdc, .dac, .lyra).

    Sound is WAV, FLAC, Ogg, Opus, MP3, AIFF or raw samples, of any rate and any number of channels. A .nac is made
    with any model; .ecdc, .dac and .lyra each with their own.
    """
    from .. import files, legacy_files, models

    jobs = batch.pair(paths, ".nac", batch.SOUND)
    for job in jobs:
        legacy_files.check_target(job.target)
    codec = models.load(model, threads=threads, file=weights or None)
    options = files.EncodeOptions(
        levels=codec.info.levels_for(parse_bitrate(bitrate)) if bitrate is not None else None,
        tags=parse_tags(tag),
        raw_codes=raw_codes,
        overwrite=force,
        pcm=parse_pcm(pcm) if pcm else None,
    )
    speaks = partial(models.language_model, name=lm) if lm else None

    def make(source: str, target: str, report: Report) -> Outcome:
        return legacy_files.encode_file(codec, source, target, options, report, speaks)

    return _each("encoded", make, jobs, workers, batch.existing(force, skip), json, quiet)


@app.command()
def decode(  # noqa: PLR0913 - as above
    paths: Paths,
    model: Maker = "",
    weights: Weights = "",
    bitrate: Bitrate = None,
    lm: Packer = "",
    start: Annotated[str, typer.Option(metavar="TIME", help="Begin here: seconds, or as 1:30.")] = "0",
    stop: Annotated[str | None, typer.Option(metavar="TIME", help="End here.")] = None,
    rate: Annotated[int | None, typer.Option(metavar="HZ", help="Default: the sample rate of the original.")] = None,
    encoding: Annotated[str | None, typer.Option(metavar="KIND", help="int16, int24, int32 or float32.")] = None,
    pcm: Annotated[str | None, typer.Option(metavar="FORMAT", help="No header: s16le, s24le, s32le, f32le.")] = None,
    to: Annotated[str, typer.Option(metavar="SUFFIX", help="Kind of files where none is named.")] = "wav",
    threads: Threads = 1,
    workers: Workers = 1,
    force: Force = False,
    skip: Skip = False,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Decode .nac, .ecdc, .dac or .lyra to sound.

    The suffix of OUTPUT says which kind: .wav, .flac, .ogg, .opus, .mp3 or .aiff.
    """
    from .. import files, legacy_files, models

    jobs = batch.pair(paths, f".{'raw' if pcm else to.removeprefix('.')}", batch.CODED)
    shelf = models.Shelf(model or None, threads, weights or None)
    options = files.DecodeOptions(
        bitrate=parse_bitrate(bitrate) if bitrate is not None else None,
        start=parse_time(start),
        stop=None if stop is None else parse_time(stop),
        sample_rate=rate,
        encoding=encoding,
        overwrite=force,
        pcm=pcm,
    )
    speaks = partial(models.language_model, name=lm)

    def make(source: str, target: str, report: Report) -> Outcome:
        return legacy_files.decode_file(shelf, source, target, options, report, speaks)

    return _each("decoded", make, jobs, workers, batch.existing(force, skip), json, quiet)


def _each(
    verb: str,
    make: Callable[[str, str, Report], Outcome],
    jobs: list[Job],
    workers: int,
    existing: Existing,
    json: bool,
    quiet: bool,
) -> int:
    """Make every file, tell what became of it, and give the worst exit code."""
    with Progress(batch.due(jobs, existing), quiet) as progress:
        outcomes = batch.run(make, jobs, progress, workers, existing)
    return report_outcomes(verb, outcomes, json, quiet)


@app.command()
def info(
    source: Annotated[str, typer.Argument(metavar="FILE", help="A .nac, .ecdc, .dac or .lyra file, or -.")],
    codec: OldModel = "",
    bitrate: LyraBitrate = None,
    json: Json = False,
) -> int:
    """Say what a coded file holds, and check all of it."""
    from .. import contents

    summary = contents.summarise(source, codec or None, parse_bitrate(bitrate) if bitrate else None)
    if json:
        print_json(summary)
    else:
        print_table(summary_rows(summary))
    return 2 if summary.get("damage") else 0


@app.command("models")
def list_models(
    name: Annotated[
        str, typer.Argument(metavar="[NAME]", help="Tell all of this one.", autocompletion=complete_model)
    ] = "",
    download: Annotated[bool, typer.Option("--download", help="Bring its weights here now.")] = False,
    json: Json = False,
) -> None:
    """List the models that can be named, or tell all of one."""
    from .. import models
    from ..catalogue import CATALOGUE
    from .display import MODELS, model_details, model_rows

    if download and not name:
        raise InputError("say which model to download: nacre models NAME --download")
    chosen = [models.find(name)] if name else list(CATALOGUE.values())
    if download:
        models.download(chosen[0])
    if json:
        print_json([models.describe(model) for model in chosen])
    elif name:
        print_table(model_details(chosen[0]))
    else:
        print_table([MODELS, *model_rows(chosen)], right=(2, 3))


@app.command()
def convert(
    source: Annotated[
        str, typer.Argument(metavar="INPUT", help="A .nac, .ecdc, .dac or .lyra file, or -; or a model.")
    ],
    target: Annotated[str, typer.Argument(metavar="OUTPUT", help="Its suffix says the container; or a folder.")],
    to: Annotated[
        str,
        typer.Option(
            metavar="KIND",
            help="Codes: nac, nac0 (.nac of 2023), ecdc, dac, lyra. "
            "A model: nacre, onnx, onnx-32, hf, or its project's name.",
        ),
    ] = "",
    codec: Annotated[
        str, typer.Option("--codec", metavar="NAME", help="The model of a .dac, or of weights, that do not name it.")
    ] = "",
    bitrate: LyraBitrate = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Move codes to another container, or a model to another house.

    Codes stay as they are. A model's weights become a folder of ours, ONNX graphs, or what its project loads.
    """
    from .. import contents, models

    if models.is_model(source):
        exported = models.export(source, target, to or "nacre", codec or None, overwrite=force)
        if json:
            print_json(vars(exported))
        else:
            print_table([("converted", exported.model, "->", target, f"as {exported.kind}")])
        return
    rate = parse_bitrate(bitrate) if bitrate else None
    moved = contents.convert_file(source, target, to or None, codec or None, overwrite=force, bitrate=rate)
    if moved.dropped_tags:
        show_error(f"{target}: this container has no room for the tags {', '.join(moved.dropped_tags)}")
    if json:
        print_json(vars(moved), err=target == "-")
    else:
        sound = f"{moved.seconds:.2f} s of {moved.codec} codes"
        print_table([("converted", source, "->", target, sound)], err=target == "-")


@app.command()
def demo(
    folder: Annotated[str, typer.Argument(metavar="[FOLDER]", help="Where the results go.")] = "demo",
    force: Force = False,
    json: Json = False,
) -> None:
    """Code the bundled sample and come back.

    Sizes, speed, sound files to hear and a picture to look at.
    """
    from . import demonstration

    results = demonstration.run(Path(folder), force)
    if json:
        print_json([vars(result) for result in results])
    else:
        print_table(demonstration.rows(results), right=(1, 2, 3, 4, 5))
        typer.echo(f"\nListen to and look at the files in {Path(folder).resolve()}")


app.command()(wings.bench)
app.command()(wings.evaluate)
app.add_typer(listen.app, name="listen")
app.command("recipes")(wings.list_recipes)
app.command()(wings.train)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit."""
    guard.listen()
    for stream in (sys.stdout, sys.stderr):  # a file name that is no text must not stop a report
        with suppress(AttributeError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(words: Sequence[str]) -> int:
    """The exit code of one command line; errors are told in a sentence."""
    return guard.guarded(lambda: app(spread(words) or ["--help"], prog_name="nacre", standalone_mode=False))
