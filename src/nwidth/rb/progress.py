"""The progress of a greedy search, on the terminal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn


@contextmanager
def greedy_bar(show: bool, max_size: int) -> Iterator[Callable[[int, float], None]]:
    """Yields a function of (modes, largest bound); the search ends at the latest with `max_size` modes."""
    if not show:
        yield lambda modes, bound: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("greedy search", total=max_size)
        yield lambda modes, bound: progress.update(
            task, completed=modes, description=f"greedy search, bound {bound:.1e}"
        )
