"""The command `demo`."""

from pathlib import Path
from typing import Annotated

import typer

import nwidth as nw
from nwidth.cli.screen import Screen
from nwidth.cli.verbs import Json, Quiet, Seed, guarded
from nwidth.reports.console import print_verdict


@guarded
def demo(
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="Where the report goes (report/index.html).")
    ] = Path("report"),
    small: Annotated[
        bool, typer.Option("--quick", metavar="", help="A small version of less than a minute, to see that it works.")
    ] = False,
    json: Json = False,
    seed: Seed = None,
    quiet: Quiet = False,
) -> None:
    """Three problems from the equation to a verdict: is a surrogate worth it?"""
    screen = Screen(json, quiet)
    found = nw.run_demo(output, quick=small, seed=seed or 0, say=screen.note, watched=screen.watched)
    screen.result(
        lambda: {"report": found.page, **found.measured},
        lambda console: print_verdict(found.report, console, found.page),
    )
