"""Commands on single files: a model, a table, a data file."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

import nwidth as nw
from nwidth.cli.screen import Screen
from nwidth.cli.verbs import Json, Quiet, UnusedSeed, guarded
from nwidth.core.errors import InputError
from nwidth.reports.words import at_most

if TYPE_CHECKING:
    from nwidth.study import Answers

#: Rows of answers that are printed; a file holds them all.
_SHOWN = 20

Model = Annotated[Path, typer.Argument(metavar="FILE.nwidth", help="The surrogate.")]
Questions = Annotated[
    Path, typer.Argument(metavar="NEW.csv", help="One row per case, one column per parameter (NPZ for fields).")
]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write all answers: .csv, or .npz with fields.")
]
Thresholds = Annotated[
    list[str] | None,
    typer.Option("--threshold", metavar="NAME=VALUE", help="Say below, above or undecided for this output."),
]


Equation = Annotated[
    Path | None,
    typer.Option("--problem", metavar="FILE", help="The equation: a study, a saved problem, or a model that holds it."),
]


@guarded
def inspect(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A model, a table of runs, a data file or a snapshot store.")
    ],
    nonnegative: Annotated[
        bool, typer.Option("--nonnegative", metavar="", help="List samples with a value below zero, the worst first.")
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


@guarded
def predict(
    model: Model,
    questions: Questions,
    output: Output = None,
    threshold: Thresholds = None,
    tol: Annotated[
        float | None,
        typer.Option("--tol", metavar="X", help="Guaranteed relative error; what misses it goes to the solver."),
    ] = None,
    problem: Equation = None,
    json: Json = False,
    seed: UnusedSeed = None,
    quiet: Quiet = False,
) -> None:
    """Answer new cases, each with its limit; with --tol by the cheapest way that meets the tolerance."""
    if problem is not None and tol is None:
        raise InputError("--problem gives the equation to refine with: say to which tolerance, --tol 1e-3")
    limits = parse_thresholds(threshold or [])
    writable(output)
    answers = nw.study.ask(model, questions, thresholds=limits, tol=tol, problem=equation_in(problem))
    answer(answers, output, Screen(json, quiet))


def writable(output: Path | None) -> None:
    """A place that answers cannot go to is refused before the work that makes them."""
    if output is not None:
        nw.study.check_output(output)


def equation_in(path: Path | None) -> nw.Problem | None:
    """The problem that an option names, if it was given."""
    return None if path is None else nw.study.problem_in(path)


def answer(answers: "Answers", output: Path | None, screen: Screen) -> None:
    """Writes the answers where that is asked for, and shows them."""
    saved = None if output is None else answers.save(output)

    def show(console: Console) -> None:
        console.print(_table(answers))
        hidden = len(answers.prediction) - _SHOWN
        if hidden > 0 and saved is None:
            console.print(f"{hidden:,} more; write all of them with -o answers.csv")
        for line in (*_later(answers), *_notes(answers), *_mix(answers), *answers.promise):
            console.print(line, markup=False)
        if saved is not None:
            console.print(Text.assemble("Answers: ", (str(saved), "bold")))

    screen.result(lambda: answers.to_dict() | {"file": saved}, show)


def _mix(answers: "Answers") -> list[str]:
    """Where the answers came from, where that is not the surrogate alone."""
    mix = nw.Mix.of(answers.prediction)
    return [f"{str(mix).capitalize()}."] if mix.refined or mix.solved else []


def _later(answers: "Answers") -> list[str]:
    """That the table shows one time of many."""
    levels = answers.levels
    return [f"Shown at {levels[-1]}, the last of {len(levels):,} times; all of them: -o answers.csv"] if levels else []


def _table(answers: "Answers") -> Table:
    """The first rows: each output with its limit, and its verdict; of an output in time the last time."""
    prediction, verdicts = answers.prediction, answers.verdicts
    columns = [("case", [Text(str(i + 1)) for i in range(min(_SHOWN, len(prediction)))])]
    for name, output in prediction.outputs.items():
        off_by = nw.study.heading("at most off by", nw.study.difference_unit(output.unit))
        values, limit = (v if v.ndim == 1 else v[:, -1] for v in np.broadcast_arrays(output.values, output.limit))
        title = name if output.values.ndim == 1 else f"{name} at {answers.levels[-1]}"
        columns += [(nw.study.heading(title, output.unit), _values(values)), (off_by, _limits(limit))]
        if name in verdicts:
            columns.append(
                (f"against {answers.thresholds[name]:g}", [_verdict(word) for word in verdicts[name][:_SHOWN]])
            )
    if not prediction.outputs:
        columns.append((f"at most off by ({prediction.guarantee.norm})", _limits(prediction.bound)))
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title, _ in columns:
        table.add_column(title, justify="right")
    for row in zip(*(cells for _, cells in columns), strict=True):
        table.add_row(*row)
    return table


def _values(values: np.ndarray) -> list[Text]:
    return [Text(f"{v:,.6g}") for v in values[:_SHOWN].tolist()]


def _limits(limits: np.ndarray) -> list[Text]:
    """Rounded up, never down."""
    return [Text(at_most(v)) if np.isfinite(v) else Text("no limit", "yellow") for v in limits[:_SHOWN].tolist()]


def _verdict(word: str) -> Text:
    return Text(word, {"below": "green", "above": "red", "undecided": "yellow"}[word])


def _notes(answers: "Answers") -> list[str]:
    """What there is to know about single cases; equal notes together."""
    cases: dict[str, list[int]] = {}
    for i, note in enumerate(answers.notes):
        if note:
            cases.setdefault(note, []).append(i + 1)
    lines = [f"{_case_numbers(rows)}: {note}" for note, rows in cases.items()]
    return lines if len(lines) <= _SHOWN else [*lines[:_SHOWN], f"{len(lines) - _SHOWN:,} more notes"]


def _case_numbers(rows: Sequence[int]) -> str:
    shown = ", ".join(map(str, rows[:5])) + (f" and {len(rows) - 5:,} more" if len(rows) > 5 else "")
    return f"Case{'s' if len(rows) > 1 else ''} {shown}"


def parse_thresholds(texts: Sequence[str]) -> dict[str, float]:
    """NAME=VALUE texts as a mapping."""
    found = {}
    for text in texts:
        name, sign, value = text.rpartition("=")
        try:
            found[name] = float(value)
        except ValueError:
            sign = ""
        if not (sign and name):
            raise InputError(f"the threshold {text!r} is not of the form NAME=VALUE, like T_max=125")
    return found
