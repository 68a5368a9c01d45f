"""The verbs that open a wing: bench and evaluate, recipes and train. Each parses, makes one public call and prints."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import InputError, MissingError
from .arguments import (
    Bitrates,
    Codecs,
    FewClips,
    Json,
    Matched,
    MeasuredRate,
    Metrics,
    ModelName,
    NoSpeed,
    Processes,
    Quiet,
    ReportFolder,
    Sounds,
    Threads,
    Weights,
    parse_bitrates,
)
from .display import Progress, print_json, print_table, recipe_rows, show_error, speed_rows


def bench(
    source: Annotated[str, typer.Argument(metavar="[SOUND]", help="Default: the bundled sample.")] = "",
    model: ModelName = "pearl-24k",
    weights: Weights = "",
    threads: Threads = 1,
    json: Json = False,
) -> None:
    """Measure speed: whole files, and frame by frame."""
    from .. import audio, models
    from ..evaluation import speed

    file = weights or None
    info = models.load(model, file=file).info
    wave = audio.read(source or models.SAMPLE, info.sample_rate, info.channels).samples
    measured = speed.measure(lambda: models.load(model, threads=threads, file=file), wave)
    if json:
        print_json(vars(measured))
    else:
        print_table(speed_rows(measured))


def evaluate(  # noqa: PLR0913 - the options of a verb are the arguments of its function
    codecs: Codecs,
    data: Sounds,
    bitrates: Bitrates = "1.5k,3k,6k,12k",
    out: ReportFolder = "report",
    metrics: Metrics = "",
    matched: Matched = False,
    rate: MeasuredRate = None,
    clips: FewClips = 0,
    workers: Processes = 0,
    no_speed: NoSpeed = False,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Compare codecs on your clips.

    Figures with intervals, and a page with curves, players and spectrograms.
    """
    from ..evaluation import campaign, report

    chosen = tuple(name for name in metrics.split(",") if name)
    wanted = parse_bitrates(bitrates)
    plan = campaign.Plan(tuple(codecs), tuple(data), out, wanted, chosen, matched, rate, workers, clips=clips)
    with Progress(campaign.size(plan), quiet) as progress:
        made = report.make(plan, progress, timed=not no_speed)
    for sentence in report.left_out(made.campaign):
        show_error(sentence)
    if json:
        print_json(report.figures(made))
    elif not quiet:
        print_table(report.quality_table(made), right=range(1, 99), keep=3)
        typer.echo(f"\n{report.headline(made)}; look at {Path(out, 'report.html')}")
    return 2 if made.campaign.unread or made.campaign.failures else 0


def list_recipes(json: Json = False) -> None:
    """List the recipes that `nacre train` takes by name."""
    from ..training import library

    recipes = library.listed()
    if json:
        print_json([vars(each) for each in recipes])
    else:
        print_table(recipe_rows(recipes), right=(1, 2, 3, 4, 5))


def train(  # noqa: PLR0913 - the options of a verb are the arguments of its function
    recipe: Annotated[
        str | None,
        typer.Argument(metavar="[RECIPE]", help="One of `nacre recipes`, or a TOML file; default: of --from or --out."),
    ] = None,
    data: Annotated[
        list[str] | None, typer.Option(metavar="PLACE", help="Folders, lists or .tar shards of sound; several.")
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(
            "--out", "-o", metavar="FOLDER", help="The folder of the run; default: runs/ and the recipe's name."
        ),
    ] = None,
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
        from ..training import run as training
        from ..training import stages
    except ImportError as error:
        raise MissingError("training needs more packages; pip install 'nacre[train]'") from error
    if not data:
        raise InputError("training needs sound: name a folder, a list or .tar shards with --data")
    whole = training.stages_for(recipe, settings or (), start, out if resume else None, scale)
    sound = training.Data(data, exclude or (), background, validation, cache)
    chosen = stages.timed(stages.from_stage(whole, stage), minutes)
    training.train(
        chosen, sound, out or f"runs/{whole[0].name}", resume=resume, start=start, weights=weights, show=not quiet
    )
