"""Commands on single files: a model, a table, a data file."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

import nwidth as nw
from nwidth.cli.screen import Screen
from nwidth.cli.verbs import Json, Quiet, UnusedSeed, guarded


@guarded
def inspect(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A model, a table of runs, a data file or a snapshot store.")],
    nonnegative: Annotated[
        bool, typer.Option("--nonnegative", metavar="", help="List the samples that hold a value below zero, the worst first.")
    ] = False,
    json: Json = False,
    seed: UnusedSeed = None,
    quiet: Quiet = False,
) -> None:
    """Say in words what a file holds; its content counts, not its name."""
    found = nw.inspect(file, nonnegative=nonnegative)

    def show(console: Console) -> None:
        first, *rest = found.lines
        console.print(first, style="bold", markup=False)
        for line in rest:
            console.print(line, markup=False)

    Screen(json, quiet).result(found.to_dict, show)
