"""Where words go: results to standard output, everything else to standard error."""

import json
import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import typer
from rich.console import Console
from rich.text import Text


def _console(*, stderr: bool = False) -> Console:
    """A console that wraps for a person's terminal, and never when its text goes into a file or a pipe."""
    console = Console(stderr=stderr, highlight=False)
    console.soft_wrap = not console.is_terminal
    return console


@dataclass(frozen=True)
class Screen:
    """How a command talks: `json` puts one object on standard output; `quiet` leaves errors (and JSON) alone."""

    json: bool = False
    quiet: bool = False
    out: Console = field(default_factory=_console)
    err: Console = field(default_factory=lambda: _console(stderr=True))

    @property
    def watched(self) -> bool:
        """Whether someone sees a progress bar."""
        return not self.quiet and self.err.is_terminal

    def busy(self, text: str) -> AbstractContextManager[Any]:
        """A sign of life during work that has no progress bar of its own."""
        return self.err.status(text) if self.watched else nullcontext()

    def note(self, text: str | Text) -> None:
        """Something for people while work goes on."""
        if not self.quiet:
            self.err.print(text)

    def result(self, data: Callable[[], Any], show: Callable[[Console], None]) -> None:
        """The result: as JSON, or as `show` prints it."""
        if self.json:
            typer.echo(json.dumps(plain(data()), indent=2, ensure_ascii=False, allow_nan=False))
        elif not self.quiet:
            show(self.out)


def complain(text: str) -> None:
    """An error, on standard error."""
    _console(stderr=True).print(Text.assemble(("Error: ", "bold red"), text))


def plain(value: Any) -> Any:
    """Something that JSON can hold; a number that is not finite becomes null."""
    match value:
        case Mapping():
            return {str(name): plain(item) for name, item in value.items()}
        case list() | tuple():
            return [plain(item) for item in value]
        case np.ndarray() | np.generic():
            return plain(value.tolist())
        case Path():
            return str(value)
        case float():
            return value if math.isfinite(value) else None
        case _:
            return value
