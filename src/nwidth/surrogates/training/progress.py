"""What a user sees during training: epoch, losses, time left."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from nwidth.surrogates.training.history import History


class Show(Protocol):
    """Called after every step with the progress in [0, 1] and the history so far."""

    def __call__(self, progress: float, history: History) -> None: ...


@contextmanager
def training_bar(shown: bool, done: float, epochs: int) -> Iterator[Show]:
    """A bar on the standard error stream, or nothing."""
    if not shown:
        yield lambda progress, history: None
        return
    columns = (
        TextColumn("training"), BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn(),
        TextColumn("left"), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True), refresh_per_second=2) as bar:
        task = bar.add_task(_words(History(), epochs), total=1.0)
        bar.update(task, completed=done)
        yield lambda progress, history: bar.update(task, completed=progress, description=_words(history, epochs))


def _words(history: History, epochs: int) -> str:
    text = f"epoch {min(len(history.train) + 1, epochs)}/{epochs}"
    if not history.train:
        return text
    return f"{text}  error: train {history.train[-1]:.4f}, validation {history.validation[-1]:.4f}"
