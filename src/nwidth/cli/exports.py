"""The command that writes a model for another machine: C source code, ONNX, or a program of torch."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

import nwidth as nw
from nwidth.cli.files import Model
from nwidth.cli.screen import Screen
from nwidth.cli.verbs import Json, Quiet, UnusedSeed, guarded
from nwidth.core.errors import InputError
from nwidth.online.wrappers import Certified, Refining

FORMATS = {".c": "c", ".onnx": "onnx", ".pt2": "torch"}


@guarded
def export(
    model: Model,
    output: Annotated[Path, typer.Argument(metavar="OUT", help="The file to write: .c, .onnx or .pt2.")],
    format_: Annotated[
        str | None,
        typer.Option("--format", metavar="NAME", help="'c', 'onnx' or 'torch'; by the ending of OUT otherwise."),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option("--name", metavar="NAME", help="C: prefix of functions; by default the file's name."),
    ] = None,
    coefficients: Annotated[
        bool, typer.Option("--coefficients", metavar="", help="C: return the coefficients of the field as well.")
    ] = False,
    json: Json = False,
    seed: UnusedSeed = None,
    quiet: Quiet = False,
) -> None:
    """Write a reduced basis with its limits as one C99 file, or a neural operator as ONNX or a program of torch."""
    screen = Screen(json, quiet)
    chosen = format_ or FORMATS.get(output.suffix, "c")
    if chosen == "c":
        _source(model, output, name, coefficients, screen)
    elif chosen in FORMATS.values():
        _network(model, output, chosen, screen)
    else:
        raise InputError(f"--format is {chosen!r}; expected one of {', '.join(FORMATS.values())}")


def _source(model: Path, output: Path, name: str | None, coefficients: bool, screen: Screen) -> None:
    text = nw.rb.to_c(nw.load(model), output, name=name, coefficients=coefficients)
    head = text.partition("*/")[0].splitlines()

    def show(console: Console) -> None:
        for line in head[1:]:
            console.print(line.removeprefix(" *").removeprefix(" "), markup=False)
        console.print(Text.assemble("C99: ", (str(output), "bold")))

    screen.result(lambda: {"file": output, "bytes": len(text), "header": head[1:]}, show)


def _network(model: Path, output: Path, chosen: str, screen: Screen) -> None:
    loaded: Any = nw.load(model)
    certified = loaded.certified if isinstance(loaded, Refining) else loaded
    limits = isinstance(certified, Certified)
    surrogate: Any = certified.surrogate if isinstance(certified, Certified) else certified
    error = None
    if chosen == "onnx":
        error = nw.operators.to_onnx(surrogate, output).error
    else:
        nw.operators.to_pt2(surrogate, output)

    def show(console: Console) -> None:
        agreed = "" if error is None else f", {error:.0e} from the model's own answers"
        console.print(Text.assemble(f"{chosen}: ", (str(output), "bold"), agreed))
        if limits:
            console.print("The file gives answers without limits; limits need nwidth and the model file.")

    size = output.stat().st_size
    screen.result(lambda: {"file": output, "bytes": size, "format": chosen, "error": error, "limits": False}, show)
