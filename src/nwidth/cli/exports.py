"""The command that writes a model as source code for another machine."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

import nwidth as nw
from nwidth.cli.files import Model
from nwidth.cli.screen import Screen
from nwidth.cli.verbs import Json, Quiet, UnusedSeed, guarded


@guarded
def export(
    model: Model,
    output: Annotated[Path, typer.Argument(metavar="OUT.c", help="The C99 file to write.")],
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="Prefix of its functions; the file's name by default.")
    ] = None,
    coefficients: Annotated[
        bool, typer.Option("--coefficients", metavar="", help="Return the coefficients of the field as well.")
    ] = False,
    json: Json = False,
    seed: UnusedSeed = None,
    quiet: Quiet = False,
) -> None:
    """Write a reduced basis with its limits as one C99 file: no allocation, the same operations for every query."""
    screen = Screen(json, quiet)
    text = nw.rb.to_c(nw.load(model), output, name=name, coefficients=coefficients)
    head = text.partition("*/")[0].splitlines()

    def show(console: Console) -> None:
        for line in head[1:]:
            console.print(line.removeprefix(" *").removeprefix(" "), markup=False)
        console.print(Text.assemble("C99: ", (str(output), "bold")))

    screen.result(lambda: {"file": output, "bytes": len(text), "header": head[1:]}, show)
