"""What all commands share: their common options, and how failures end."""

import functools
from collections.abc import Callable
from typing import Annotated, Any

import typer

from nwidth.cli.screen import complain
from nwidth.core.errors import InputError, WorkError

#: Exit codes: the work failed; the request was wrong; interrupted from the keyboard (128 + SIGINT).
FAILED, WRONG, INTERRUPTED = 1, 2, 130

Json = Annotated[bool, typer.Option("--json", metavar="", help="Print the result as one JSON object and nothing else.")]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", metavar="", help="Print nothing but errors (and the JSON, if asked for).")
]
Seed = Annotated[int | None, typer.Option("--seed", min=0, metavar="N", help="Seed of all random choices.")]
UnusedSeed = Annotated[
    int | None, typer.Option("--seed", min=0, metavar="N", help="Accepted everywhere; no effect here.")
]


def guarded(command: Callable[..., None]) -> Callable[..., None]:
    """The command with its failures as one message and an exit code, never a traceback."""

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except InputError as error:
            complain(str(error))
            raise typer.Exit(WRONG) from error
        except WorkError as error:
            complain(str(error))
            raise typer.Exit(FAILED) from error
        except KeyboardInterrupt as error:
            complain("interrupted; what is complete stays, and the same command goes on from there")
            raise typer.Exit(INTERRUPTED) from error

    return run
