"""The verbs of the command line: each parses, makes one public call and prints.

Figures and tables go to standard output, progress and errors to standard error. Exit codes: 0 all well, 1 the
caller's mistake, 2 damaged input (what could be saved was written), 130 stopped by Ctrl-C or a signal.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from . import __version__, arguments, guard, listen
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
    Threads,
    Weights,
    Workers,
    complete_model,
    parse_bitrate,
    parse_pcm,
    parse_tags,
    spread,
)
from .display import Progress, print_json, print_table, report_outcomes, show_error, speed_rows, summary_rows
from .errors import InputError, MissingError

EXAMPLES = """Examples:

\b
  nacre encode talk.wav                    talk.nac, at 6 kbps
  nacre encode talk.mp3 low.nac -b 1.35k   at most 1350 bits a second
  nacre encode talks/ coded/ -j 4          a whole folder, four files at a time
  nacre decode talk.nac part.flac --start 60 --stop 90
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
app.add_typer(listen.app, name="listen")


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
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Encode WAV, FLAC, OGG, Opus, MP3 ... to .nac; with the model that fits also to .ecdc, .dac and .lyra."""
    from . import batch, files, legacy_files, models

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
    with Progress(len(jobs), quiet) as progress:
        outcomes = batch.run(
            lambda *job: legacy_files.encode_file(codec, job[0], job[1], options, job[2], speaks),
            jobs,
            progress,
            workers,
            force,
        )
    return report_outcomes("encoded", outcomes, json, quiet)


@app.command()
def decode(  # noqa: PLR0913 - as above
    paths: Paths,
    model: Maker = "",
    weights: Weights = "",
    bitrate: Bitrate = None,
    lm: Packer = "",
    start: Annotated[float, typer.Option(min=0, metavar="S", help="Begin at this second.")] = 0.0,
    stop: Annotated[float | None, typer.Option(min=0, metavar="S", help="End at this second.")] = None,
    rate: Annotated[int | None, typer.Option(metavar="HZ", help="Default: the sample rate of the original.")] = None,
    encoding: Annotated[str | None, typer.Option(metavar="KIND", help="int16, int24, int32 or float32.")] = None,
    pcm: Annotated[str | None, typer.Option(metavar="FORMAT", help="No header: s16le, s24le, s32le, f32le.")] = None,
    to: Annotated[str, typer.Option(metavar="SUFFIX", help="Kind of files where none is named.")] = "wav",
    threads: Threads = 1,
    workers: Workers = 1,
    force: Force = False,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Decode .nac, .ecdc, .dac or .lyra to sound; the suffix of OUTPUT says which kind."""
    from . import batch, files, legacy_files, models

    jobs = batch.pair(paths, f".{'raw' if pcm else to.removeprefix('.')}", batch.CODED)
    shelf = models.Shelf(model or None, threads, weights or None)
    options = files.DecodeOptions(
        bitrate=parse_bitrate(bitrate) if bitrate is not None else None,
        start=start,
        stop=stop,
        sample_rate=rate,
        encoding=encoding,
        overwrite=force,
        pcm=pcm,
    )
    speaks = partial(models.language_model, name=lm)
    with Progress(len(jobs), quiet) as progress:
        outcomes = batch.run(
            lambda *job: legacy_files.decode_file(shelf, job[0], job[1], options, job[2], speaks),
            jobs,
            progress,
            workers,
            force,
        )
    return report_outcomes("decoded", outcomes, json, quiet)


@app.command()
def info(
    source: Annotated[str, typer.Argument(metavar="FILE", help="A .nac, .ecdc, .dac or .lyra file, or -.")],
    codec: OldModel = "",
    bitrate: LyraBitrate = None,
    json: Json = False,
) -> int:
    """Say what a .nac, .ecdc, .dac or .lyra file holds, and check it."""
    from . import contents

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
    from . import models
    from .catalogue import CATALOGUE
    from .display import model_details, model_rows

    if download and not name:
        raise InputError("say which model to download: nacre models NAME --download")
    chosen = [models.find(name)] if name else list(CATALOGUE.values())
    if download:
        models.download(chosen[0])
    if json:
        print_json([models.describe(model) for model in chosen])
    else:
        print_table(model_details(chosen[0]) if name else model_rows(chosen), right=() if name else (2, 3))


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
            help="Codes: nac, nac0 (.nac of 2023), ecdc, dac, lyra. A model: nacre, onnx, hf, or its project's name.",
        ),
    ] = "",
    codec: Annotated[
        str, typer.Option("--codec", metavar="NAME", help="The model of a .dac, or of weights, that do not name it.")
    ] = "",
    bitrate: LyraBitrate = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Move codes to another container, unchanged; or a model's weights to another house."""
    from . import contents, models

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
def bench(
    source: Annotated[str, typer.Argument(metavar="[SOUND]", help="Default: the bundled sample.")] = "",
    model: ModelName = "pearl-24k",
    weights: Weights = "",
    threads: Threads = 1,
    json: Json = False,
) -> None:
    """Measure speed: whole files, and frame by frame."""
    from . import audio, models
    from .evaluation import speed

    file = weights or None
    info = models.load(model, file=file).info
    wave = audio.read(source or models.SAMPLE, info.sample_rate, info.channels).samples
    measured = speed.measure(lambda: models.load(model, threads=threads, file=file), wave)
    if json:
        print_json(vars(measured))
    else:
        print_table(speed_rows(measured))


@app.command()
def evaluate(  # noqa: PLR0913 - the options of a verb are the arguments of its function
    codecs: arguments.Codecs,
    data: arguments.Sounds,
    bitrates: arguments.Bitrates = "1.5k,3k,6k,12k",
    out: arguments.ReportFolder = "report",
    metrics: arguments.Metrics = "",
    matched: arguments.Matched = False,
    rate: arguments.MeasuredRate = None,
    clips: arguments.FewClips = 0,
    workers: arguments.Processes = 0,
    no_speed: arguments.NoSpeed = False,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Compare codecs on clips: figures with intervals, and a page to look at and listen to."""
    from .evaluation import campaign, report

    chosen = tuple(name for name in metrics.split(",") if name)
    wanted = arguments.parse_bitrates(bitrates)
    plan = campaign.Plan(tuple(codecs), tuple(data), out, wanted, chosen, matched, rate, workers, clips=clips)
    with Progress(campaign.size(plan), quiet) as progress:
        made = report.make(plan, progress, timed=not no_speed)
    for sentence in report.left_out(made.campaign):
        show_error(sentence)
    if json:
        print_json(report.figures(made))
    elif not quiet:
        print_table(report.quality_table(made), right=range(1, 99))
        typer.echo(f"\n{report.headline(made)}; look at {Path(out, 'report.html')}")
    return 2 if made.campaign.failures else 0


@app.command()
def demo(
    folder: Annotated[str, typer.Argument(metavar="[FOLDER]", help="Where the results go.")] = "demo",
    json: Json = False,
) -> None:
    """Code the bundled sample and come back: sizes, speed, sound, a picture."""
    from . import demonstration

    results = demonstration.run(Path(folder))
    if json:
        print_json([vars(result) for result in results])
    else:
        print_table(demonstration.rows(results), right=(1, 2, 3, 4, 5))
        typer.echo(f"\nListen to and look at the files in {Path(folder).resolve()}")


@app.command()
def train(  # noqa: PLR0913 - the options of a verb are the arguments of its function
    recipe: Annotated[
        str | None,
        typer.Argument(metavar="[RECIPE]", help="One of `nacre recipes`, or a TOML file; default: of --from or --out."),
    ] = None,
    data: Annotated[
        list[str] | None, typer.Option(metavar="PLACE", help="Folders, lists or .tar shards of sound; several.")
    ] = None,
    out: Annotated[str, typer.Option("--out", "-o", metavar="FOLDER", help="The folder of the run.")] = "runs/train",
    weights: Annotated[
        str | None, typer.Option(metavar="FOLDER", help="Where the trained weights go in the end.")
    ] = None,
    start: Annotated[
        str | None, typer.Option("--from", metavar="FOLDER", help="Weights or a run to go on from.")
    ] = None,
    stage: Annotated[int, typer.Option(min=1, metavar="N", help="Begin at this stage of a recipe of several.")] = 1,
    scale: Annotated[str, typer.Option(metavar="SCALE", help="small: minutes on a CPU, to see it learn.")] = "full",
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint in --out.")] = False,
    minutes: Annotated[
        float | None, typer.Option(min=0, metavar="M", help="End after so long, over all sittings.")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the recipe; repeatable.")
    ] = None,
    exclude: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Clips or speakers to leave out, or lists of them.")
    ] = None,
    background: Annotated[
        str | None, typer.Option(metavar="PLACE", help="Noise and music that augmentation mixes in.")
    ] = None,
    validation: Annotated[str | None, typer.Option(metavar="PLACE", help="Sound to judge checkpoints by.")] = None,
    cache: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="A folder that keeps decoded sound for the next start.")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Train a codec: sound and a recipe in, weights out."""
    try:
        from .training import run as training
        from .training import stages
    except ImportError as error:
        raise MissingError("training needs more packages; pip install 'nacre[train]'") from error
    if not data:
        raise InputError("training needs sound: name a folder, a list or .tar shards with --data")
    whole = training.stages_for(recipe, settings or (), start, out if resume else None, scale)
    sound = training.Data(data, exclude or (), background, validation, cache)
    chosen = stages.from_stage(stages.timed(whole, minutes), stage)
    training.train(chosen, sound, out, resume=resume, start=start, weights=weights, show=not quiet)


@app.command("recipes")
def list_recipes(json: Json = False) -> None:
    """List the recipes that `nacre train` takes by name."""
    from .display import recipe_rows
    from .training import library

    recipes = library.listed()
    if json:
        print_json([vars(each) for each in recipes])
    else:
        print_table(recipe_rows(recipes), right=(1, 2, 3, 4, 5))


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
