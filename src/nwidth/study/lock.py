"""One run at a time in a work folder."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from nwidth.core.errors import InputError, WorkError

LOCK = ".lock"


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Creates the folder and holds its lock. Raises WorkError where another run holds it.

    The lock is that of an empty SQLite file: the same on every system, and gone with the process that holds it,
    however that ends.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder} cannot be the work folder ({error.strerror}); choose another") from error
    try:
        connection = sqlite3.connect(folder / LOCK, timeout=0, isolation_level=None)
    except sqlite3.Error as error:
        raise InputError(f"{folder} cannot be the work folder ({error}); choose one that can be written") from error
    with closing(connection):
        _take(connection, folder)
        yield


def _take(connection: sqlite3.Connection, folder: Path) -> None:
    try:
        connection.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError as error:
        if "locked" not in str(error):
            raise WorkError(f"{folder} cannot be locked: {error}") from error
        raise WorkError(f"another run is at work in {folder}; wait for it, or choose another work folder") from error
