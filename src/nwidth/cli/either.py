"""Commands that take a study or single files: `fit` and `refine`."""

from pathlib import Path
from typing import Annotated

import typer

import nwidth as nw
from nwidth.cli.files import Output, answer
from nwidth.cli.screen import Screen
from nwidth.cli.studies import upto
from nwidth.cli.verbs import Json, Quiet, Seed, guarded
from nwidth.core.errors import InputError

_YAML = (".yaml", ".yml")


@guarded
def refine(
    source: Annotated[Path, typer.Argument(metavar="STUDY.yaml|FILE.nwidth", help="A study, or a saved surrogate.")],
    rest: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...|NEW.csv", help="Changes to the study, or the file of new cases."),
    ] = None,
    rtol: Annotated[
        float | None, typer.Option("--rtol", metavar="X", help="Guaranteed relative error; 1e-4 where none is given.")
    ] = None,
    output: Output = None,
    json: Json = False,
    seed: Seed = None,
    quiet: Quiet = False,
) -> None:
    """Take answers to a guaranteed tolerance with the full-order solver, started from the surrogate.

    With a study: all of its unseen runs. With a saved surrogate: the cases in a file.
    """
    screen, rest = Screen(json, quiet), rest or []
    if source.suffix.lower() in _YAML:
        changes = [*rest, f"refine.rtol={rtol}"] if rtol is not None else rest
        upto("refine", source, changes, seed, screen)
        return
    if len(rest) != 1:
        raise InputError(f"give the file of new cases: nwidth refine {source} NEW.csv --rtol 1e-4")
    answer(nw.study.ask(source, rest[0], rtol=1e-4 if rtol is None else rtol), output, screen)
