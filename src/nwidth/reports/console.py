"""The verdict on the console: the same words as in the page, in about ten lines."""

from pathlib import Path

from rich.console import Console
from rich.text import Text

from nwidth.reports.model import ProblemReport, Report


def print_verdict(report: Report, console: Console, page: Path | None = None) -> None:
    """One heading, the answer and the reason of each problem, and where the page lies."""
    console.print()
    for problem in report.problems:
        for line in verdict_lines(problem):
            console.print(line)
    for note in report.notes:
        console.print(Text(note, style="dim"))
    if page is not None:
        console.print(Text.assemble("Report: ", (str(page), "bold")))


def verdict_lines(problem: ProblemReport) -> list[Text]:
    """Verdict, answer and reason of one problem."""
    verdict = problem.verdict
    mark, style = ("✕", "bold red") if verdict.use == "do not use" else ("✓", "bold green")
    heading = Text.assemble((f"{mark} {problem.title}: ", style), (verdict.headline, "bold"))
    return [heading, Text(f"  {problem.summary or problem.answer}"), Text(f"  {verdict.brief}", style="dim")]
