"""What a user sees while samples are solved."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text


class Advance(Protocol):
    """Called with the number of samples that have just been finished."""

    def __call__(self, samples: int) -> None: ...


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.3g}/s" if task.speed else "")


@contextmanager
def samples_bar(how: str, total: int, done: int, shown: bool) -> Iterator[Advance]:
    """How it is solved, and a bar with count, rate and time left, on the standard error stream; or nothing. What is
    already done counts as done."""
    if not shown:
        yield lambda samples: None
        return
    columns = (TextColumn("solving"), BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn())
    console = Console(stderr=True)
    console.print(how, highlight=False)
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("solving", total=total, completed=done)
        yield lambda samples: progress.advance(task, samples)
