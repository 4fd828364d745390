"""Commands that take a study or single files: `fit`, `certify` and `refine`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

import nwidth as nw
from nwidth.cli.files import Equation, Output, answer, equation_in, writable
from nwidth.cli.screen import Screen
from nwidth.cli.studies import upto
from nwidth.cli.verbs import Json, Quiet, Seed, guarded
from nwidth.core.errors import InputError

_YAML = (".yaml", ".yml")


@guarded
def fit(
    source: Annotated[
        Path, typer.Argument(metavar="STUDY.yaml|RUNS.csv", help="A study, or a table with one row per run of yours.")
    ],
    rest: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KEY=VALUE]...|RESULTS",
            help="Changes to the study; or where the runs' results are: a folder with a file per run, an NPZ file or a "
            "second table.",
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE.nwidth", help="The model to write (RUNS.nwidth).")
    ] = None,
    outputs: Annotated[
        str, typer.Option("--outputs", metavar="A,B", help="Columns of the table that are results, not parameters.")
    ] = "",
    fields: Annotated[str, typer.Option("--fields", metavar="A,B", help="Which of several result arrays to use.")] = "",
    level: Annotated[
        float | None, typer.Option("--level", metavar="X", help="How often the limit shall hold (0.9: 9 in 10).")
    ] = None,
    json: Json = False,
    seed: Seed = None,
    quiet: Quiet = False,
) -> None:
    """Fit a surrogate: to a study, or to runs that you have already, with a limit measured on runs kept apart."""
    screen, rest = Screen(json, quiet), rest or []
    if source.suffix.lower() in _YAML:
        _refuse("a table of runs", output=output, outputs=outputs, fields=fields, level=level)
        upto("fit", source, rest, seed, screen)
        return
    if len(rest) > 1:
        raise InputError(f"got {len(rest)} places with results; give one: nwidth fit {source} RESULTS -o model.nwidth")
    with screen.busy("fitting"):
        found = nw.fit_runs(
            source,
            rest[0] if rest else None,
            output or Path(f"{source.stem}.nwidth"),
            outputs=_names(outputs),
            fields=_names(fields),
            level=0.9 if level is None else level,
            seed=seed or 0,
        )
    screen.result(found.to_dict, lambda console: _print_lines(found.lines, console))


@guarded
def certify(
    source: Annotated[Path, typer.Argument(metavar="STUDY.yaml|FILE.nwidth", help="A study, or a saved surrogate.")],
    changes: Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Changes to the study.")] = None,
    holdout: Annotated[
        Path | None,
        typer.Option("--holdout", metavar="RUNS", help="Runs that it has never seen: a table or a snapshot store."),
    ] = None,
    results: Annotated[
        str, typer.Option("--results", metavar="RESULTS", help="Where the results of the table's runs are, as in fit.")
    ] = "",
    training: Annotated[
        Path | None,
        typer.Option("--training", metavar="RUNS", help="Runs that it was fitted to: shared ones are refused."),
    ] = None,
    outputs: Annotated[
        str, typer.Option("--outputs", metavar="A,B", help="Columns of the table that are results; by their names.")
    ] = "",
    fields: Annotated[str, typer.Option("--fields", metavar="A,B", help="Which of several result arrays to use.")] = "",
    problem: Equation = None,
    level: Annotated[
        float | None, typer.Option("--level", metavar="X", help="How often a calibrated limit shall hold (0.9).")
    ] = None,
    norm: Annotated[
        str, typer.Option("--norm", metavar="NAME", help="Of the field: max, rms, mass, energy, band (calibrated).")
    ] = "",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="OUT.nwidth", help="The model to write (FILE-certified).")
    ] = None,
    json: Json = False,
    seed: Seed = None,
    quiet: Quiet = False,
) -> None:
    """Give each answer a limit: guaranteed by the equation, or calibrated on unseen runs.

    With a study: as far as that step. With a saved surrogate: a limit that it had is replaced.
    """
    screen = Screen(json, quiet)
    if source.suffix.lower() in _YAML:
        _refuse(
            "a model file", holdout=holdout, results=results, training=training, outputs=outputs, fields=fields,
            problem=problem, level=level, norm=norm, output=output,
        )  # fmt: skip
        upto("certify", source, changes or [], seed, screen)
        return
    if changes:
        raise InputError(f"{changes[0]!r}: KEY=VALUE changes a study, and {source} is none")
    with screen.busy("certifying"):
        found = nw.certify_file(
            source,
            output or Path(f"{source.stem}-certified.nwidth"),
            holdout=holdout,
            results=results or None,
            training=training,
            outputs=_names(outputs),
            fields=_names(fields),
            problem=equation_in(problem),
            level=level,
            norm=norm or None,
            seed=seed or 0,
        )
    screen.result(found.to_dict, lambda console: _print_lines(found.lines, console))


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
    deadline: Annotated[
        float | None, typer.Option("--deadline", metavar="S", help="Seconds; then the best limit reached is returned.")
    ] = None,
    problem: Equation = None,
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
        _refuse("a model file", deadline=deadline, problem=problem, output=output)
        changes = [*rest, f"refine.rtol={rtol}"] if rtol is not None else rest
        upto("refine", source, changes, seed, screen)
        return
    if len(rest) != 1:
        raise InputError(f"give the file of new cases: nwidth refine {source} NEW.csv --rtol 1e-4")
    writable(output)
    tolerance, equation = 1e-4 if rtol is None else rtol, equation_in(problem)
    answer(nw.study.ask(source, rest[0], rtol=tolerance, deadline=deadline, problem=equation), output, screen)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _refuse(what: str, **options: object) -> None:
    """Options that belong to single files have no meaning for a study."""
    given = [name for name, value in options.items() if value]
    if given:
        raise InputError(f"--{given[0]} is for {what}; a study says such things in its file or as KEY=VALUE")


def _print_lines(lines: Sequence[str], console: Console) -> None:
    for line in lines:
        console.print(line, markup=False)
