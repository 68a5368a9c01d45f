"""`nacre listen ...`: listening tests from the command line. Each verb parses, makes one public call and prints."""

from __future__ import annotations

from math import isfinite
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated

import typer

from ..atomic import write_whole
from ..errors import InputError, MissingError
from ..opening import open_file
from .arguments import Json, Quiet, parse_bitrate
from .display import Progress, print_json, print_table, show_error

if TYPE_CHECKING:
    from ..evaluation.intervals import Interval
    from ..evaluation.listening.making import Entrant
    from ..evaluation.listening.results import Results
    from ..evaluation.listening.serving import Links

EXAMPLES = """Examples:

\b
  nacre listen new test/ --data originals/ --codec pearl-24k@3k --codec opus@12k --codec theirs=decoded/
  nacre listen invite test/ Ada Bo         prints a link for each of them alone
  nacre listen serve test/                 prints the link for all listeners, and yours
  nacre listen results test/ --figure test.svg
"""

app = typer.Typer(help="Listening tests: build, run, export, count.", rich_markup_mode=None)
PORT = 8723  # that tests are served at
Folder = Annotated[str, typer.Argument(metavar="FOLDER", help="The folder of the test.")]


@app.callback(invoke_without_command=True)
def listen(context: typer.Context) -> None:
    """Listening tests: build, run, export, count."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command(epilog=EXAMPLES)
def new(  # noqa: PLR0913 - the options of a verb are the arguments of its function
    folder: Annotated[str, typer.Argument(metavar="FOLDER", help="A new folder for the test.")],
    data: Annotated[
        list[str], typer.Option(metavar="PLACE", help="Originals, 1 to 12 s each, or folders. Repeatable.")
    ],
    codec: Annotated[
        list[str],
        typer.Option(metavar="CODEC", help="NAME@BITRATE, or LABEL=FOLDER of sounds made elsewhere. Repeatable."),
    ],
    kind: Annotated[str, typer.Option(metavar="KIND", help="mushra, ab, abx or acr.")] = "mushra",
    title: Annotated[str, typer.Option(metavar="TEXT", help="What listeners see above the test.")] = "Listening test",
    consent: Annotated[str, typer.Option(metavar="FILE", help="Text that listeners agree to; default: ours.")] = "",
    training: Annotated[str, typer.Option(metavar="SOUND", help="For practice; default: the first original.")] = "",
    loudness: Annotated[float, typer.Option(metavar="LUFS", help="Of all sounds.")] = -23.0,
    repeats: Annotated[int, typer.Option(min=1, metavar="N", help="How often each AB or ABX pair is asked.")] = 1,
    quiet: Quiet = False,
) -> None:
    """Build a listening test from originals and codecs."""
    from ..evaluation.listening import making, plan

    if kind not in plan.KINDS:
        raise InputError(f"no kind of test {kind!r}; expected one of {', '.join(plan.KINDS)}")
    options = making.Options(
        kind=kind,
        title=title,
        consent=_text(Path(consent)) if consent else "",
        loudness=loudness,
        repeats=repeats,
        training=Path(training) if training else None,
    )
    originals = making.find_sounds([Path(place) for place in data])
    with Progress(len(originals), quiet) as progress:
        made = making.make(Path(folder), originals, [parse_entrant(each) for each in codec], options, progress)
    if not quiet:
        count = len(made.trials())
        pages = f"{count} {'page' if count == 1 else 'pages'} of {made.kind}"
        print_table([("made", folder, pages), ("next", f"nacre listen serve {folder}", "")])


@app.command()
def serve(
    folder: Folder,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="127.0.0.1: this machine only.")] = "0.0.0.0",
    port: Annotated[int, typer.Option(min=0, max=65535, metavar="N", help="0: any that is free.")] = PORT,
) -> None:
    """Run the test for browsers on the local network, until Ctrl-C."""
    _server().serve(Path(folder), host, port, _tell)


@app.command()
def invite(
    folder: Folder,
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Names or codes, as results shall call them.")],
    address: Annotated[
        str, typer.Option(metavar="URL", help="Where people reach the server; default: this machine's, port 8723.")
    ] = "",
) -> None:
    """Print a link for each person alone: it makes one participant, on whatever device it is opened."""
    from ..evaluation.listening.plan import ANSWERS, read_plan
    from ..evaluation.listening.store import Store

    read_plan(Path(folder))
    begin = address.rstrip("/") or _server().address_of("0.0.0.0", PORT)
    store = Store(Path(folder) / ANSWERS)
    try:
        rows = [(each.name, f"{begin}/join/{each.token}") for each in map(store.invite, map(_asked, names))]
    finally:
        store.close()
    print_table(rows)


@app.command()
def export(
    folder: Folder,
    target: Annotated[str, typer.Argument(metavar="TARGET", help="The root of a webMUSHRA, or a new folder.")],
    force: Annotated[bool, typer.Option("--force", "-f", help="Overwrite a configuration of this name.")] = False,
) -> None:
    """Write the test for webMUSHRA: its configuration and sounds."""
    from ..evaluation.listening import webmushra

    print_table([("wrote", str(webmushra.export(Path(folder), Path(target), force)))])


@app.command()
def results(
    folder: Folder,
    picture: Annotated[str, typer.Option("--figure", metavar="FILE", help="Draw the figure there, as SVG.")] = "",
    force: Annotated[bool, typer.Option("--force", "-f", help="Overwrite a figure that is there.")] = False,
    json: Json = False,
) -> None:
    """Screen listeners; print means with 95 % intervals and which differences are significant."""
    from dataclasses import asdict

    from ..evaluation.listening import chart
    from ..evaluation.listening import results as counting

    found = counting.results(Path(folder))
    if json:
        print_json(counting.plain(asdict(found)))
    else:
        _print(found)
    if picture:
        write_whole(picture, chart.figure(found).encode(), force)


def _text(path: Path) -> str:
    """The words in a file."""
    with open_file(path) as file:
        try:
            return file.read().decode("utf-8")
        except UnicodeDecodeError as error:
            raise InputError(f"{path} is no text in UTF-8; save it so") from error


def parse_entrant(text: str) -> Entrant:
    """What `NAME@BITRATE`, `NAME` or `LABEL=FOLDER` stands for."""
    from ..evaluation.listening.making import Entrant

    label, equals, folder = text.partition("=")
    if equals:
        if not label or not Path(folder).is_dir():
            raise InputError(f"expected LABEL=FOLDER with a folder of sounds, got {text!r}")
        return Entrant(label, folder=Path(folder))
    name, at, bitrate = text.rpartition("@")
    if not at:
        return Entrant(text, codec=text)
    asked = parse_bitrate(bitrate)
    return Entrant(f"{name} {asked / 1000:g}k", codec=name, bitrate=asked)


def _server() -> ModuleType:
    try:
        from ..evaluation.listening import serving
    except ImportError as error:
        raise MissingError("serving a test needs more packages; pip install 'nacre[server]'") from error
    return serving


def _asked(name: str) -> str:
    """A name as an invitation keeps it."""
    words = " ".join(name.split())
    if not words or len(words) > 80 or not words.isprintable():
        raise InputError(f"a name has 1 to 80 letters that can be printed, got {_line(name)!r}; invite by another")
    return words


def _tell(links: Links) -> None:
    rows = [
        ("for listeners", links.invitation),
        ("for you alone", links.owner),
        ("to stop", "Ctrl-C; no answer is lost"),
    ]
    print_table(rows)


def _print(found: Results) -> None:
    """The tables of `nacre listen results`."""
    heard = [each for each in found.listeners if each.answers and not each.excluded]
    print_table([("listeners", f"{len(found.listeners)} came, {len(heard)} count")])
    for each in found.listeners:
        if each.excluded:
            show_error(f"{_line(each.name)} is left out: {each.excluded}")
        elif not each.complete:
            pages = "1 page" if each.answers == 1 else f"{each.answers} pages"
            show_error(f"{_line(each.name)} has answered {pages} and not finished")
    if found.scores:
        rows = [("condition", "kbps", "mean", "95 % interval")]
        for score in found.scores:
            rate = f"{score.kbps:.2f}" if score.kbps else ""
            rows.append((_line(score.condition), rate, f"{score.interval.mean:.2f}", _span(score.interval)))
        print_table([("", "", "", ""), *rows], right=(1, 2))
    if found.differences:
        head = {"ab": "prefer the first", "abx": "recognised"}.get(found.kind, "difference")
        lines = [("first", "second", head, "95 % interval", "p", "p (Holm)")]
        for gap in found.differences:
            figures = (f"{gap.estimate.mean:.2f}", _span(gap.estimate), f"{gap.p:.4f}", f"{gap.p_holm:.4f}")
            lines.append((_line(gap.first), _line(gap.second), *figures))
        print_table([("",) * 6, *lines], right=(2, 4, 5))


def _span(interval: Interval) -> str:
    """An interval, which one listener has none of."""
    return f"{interval.low:.2f} to {interval.high:.2f}" if isfinite(interval.low) else "–"


def _line(text: str) -> str:
    """Text that someone typed, without what a terminal would obey."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
