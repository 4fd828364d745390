"""The command `evidence`: one page for a reviewer."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

import nwidth as nw
from nwidth.cli.files import Equation, equation_in
from nwidth.cli.screen import Screen
from nwidth.cli.studies import step_line
from nwidth.cli.verbs import FAILED, Json, Quiet, Seed, guarded
from nwidth.core.errors import InputError

if TYPE_CHECKING:
    from nwidth.study import Written

_YAML = (".yaml", ".yml")


@guarded
def evidence(
    source: Annotated[Path, typer.Argument(metavar="STUDY.yaml|FILE.nwidth", help="A study, or a model with limits.")],
    changes: Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Changes to the study.")] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="Where evidence.html and evidence.md go.")
    ] = Path("evidence"),
    use: Annotated[
        str, typer.Option("--use", metavar="TEXT", help="The intended use, in your words (a study: evidence.use).")
    ] = "",
    holdout: Annotated[
        Path | None, typer.Option("--holdout", metavar="RUNS", help="Unseen runs: a table or a snapshot store.")
    ] = None,
    results: Annotated[
        Path | None, typer.Option("--results", metavar="RESULTS", help="Where the results of the table's runs are.")
    ] = None,
    problem: Equation = None,
    cases: Annotated[
        int, typer.Option("--cases", metavar="N", min=0, help="Fresh cases to solve where there are no unseen runs.")
    ] = 100,
    tests: Annotated[
        Path | None, typer.Option("--tests", metavar="FILE.xml", help="The software's own test results (JUnit XML).")
    ] = None,
    json: Json = False,
    seed: Seed = None,
    quiet: Quiet = False,
) -> None:
    """One page for a reviewer: intended use, tested ranges, every assumption with its check, hashes, licences.

    The same files give the same page, byte for byte. Exit code 1 where an assumption does not hold.
    """
    screen = Screen(json, quiet)
    if source.suffix.lower() in _YAML and problem is not None:
        raise InputError("--problem is for a model file; a study has a problem of its own")
    with screen.busy("checking"):
        found = nw.write_evidence(
            source,
            output,
            overrides=changes or [],
            use=use,
            holdout=holdout,
            results=results,
            problem=equation_in(problem),
            cases=cases,
            tests=tests,
            seed=seed,
            listen=lambda event: screen.note(step_line(event)),
        )
    screen.result(found.to_dict, lambda console: _show(found, console))
    if found.evidence.failing:
        raise typer.Exit(FAILED)


def _show(found: "Written", console: Console) -> None:
    evidence = found.evidence
    console.print(Text(evidence.verdict, "bold red" if evidence.failing else "bold green"))
    for assumption in evidence.failing:
        console.print(Text.assemble(("✕ ", "bold red"), f"{assumption.text}: {assumption.number} ({assumption.how})"))
    if not evidence.use:
        console.print("The intended use is not stated: say it with --use, or in a study as evidence.use.", markup=False)
    console.print(Text.assemble("Page: ", (str(found.html), "bold"), f" and {found.markdown.name}"))
