"""Commands on a whole study: each runs it up to a step, and does only what is not done yet."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

import nwidth as nw
from nwidth.cli.screen import Screen
from nwidth.cli.verbs import Json, Quiet, Seed, guarded
from nwidth.reports.words import duration

if TYPE_CHECKING:
    from nwidth.study import Event, Outcome

File = Annotated[Path, typer.Argument(metavar="STUDY.yaml", help="The study.")]
Changes = Annotated[
    list[str] | None,
    typer.Argument(metavar="[KEY=VALUE]...", help="Values to use instead of the file's: fit.width=32 seed=1"),
]


@guarded
def run(study: File, changes: Changes = None, json: Json = False, seed: Seed = None, quiet: Quiet = False) -> None:
    """Do everything that a study describes; a second time, only what has changed."""
    _upto("run", study, changes, seed, Screen(json, quiet))


@guarded
def generate(study: File, changes: Changes = None, json: Json = False, seed: Seed = None, quiet: Quiet = False) -> None:
    """Solve the study's runs with the full-order solver."""
    _upto("generate", study, changes, seed, Screen(json, quiet))


@guarded
def report(study: File, changes: Changes = None, json: Json = False, seed: Seed = None, quiet: Quiet = False) -> None:
    """Check the surrogate on unseen runs and write the report."""
    _upto("report", study, changes, seed, Screen(json, quiet))


def upto(verb: str, study: Path, changes: list[str], seed: int | None, screen: Screen) -> None:
    """Runs the study up to a verb's steps and prints what came out."""
    checked = nw.study.load(study, changes, seed=seed)
    outcome = nw.study.run(checked, verb, watched=screen.watched, listen=lambda event: screen.note(step_line(event)))
    screen.result(outcome.to_dict, lambda console: _print(outcome, console))


def _upto(verb: str, study: Path, changes: list[str] | None, seed: int | None, screen: Screen) -> None:
    upto(verb, study, changes or [], seed, screen)


_MARKS = {"started": "…", "continued": "…", "done": "✓", "reused": "="}


def step_line(event: "Event") -> Text:
    """One step on one line."""
    title = event.title or event.step
    text = Text.assemble((f"{_MARKS[event.state]} ", "bold"), title)
    said = {"continued": "continues where it stopped", "done": duration(event.seconds), "reused": "done before"}
    return text.append(f"  {said[event.state]}", style="dim") if event.state in said else text


def _print(outcome: "Outcome", console: Console) -> None:
    for event in outcome.steps.values():
        for line in _words(event.step, event.summary):
            console.print(line, markup=False)
    for what, path in (("Model", outcome.model), ("Report", outcome.report)):
        if path is not None:
            console.print(Text.assemble(f"{what}: ", (str(path), "bold")))


def _words(step: str, summary: Mapping[str, Any]) -> list[str]:
    """What a step found, in sentences."""
    if step in ("train", "calibrate", "test") and summary["failed"]:
        return [f"{summary['failed']} of {summary['runs']} runs to {step} failed; they are left out."]
    if step == "certify":
        return [summary["promise"]]
    if step == "check":
        return summary["sentences"]
    return [summary["verdict"]] if step == "report" else []
