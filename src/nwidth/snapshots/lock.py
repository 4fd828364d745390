"""One writer of a store at a time."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from nwidth.core.errors import InputError, WorkError


def lock_path(path: Path) -> Path:
    """The lock file of a store: beside it, because every name inside a Zarr group belongs to Zarr."""
    return path.with_name(f".{path.name}.lock")


@contextmanager
def sole_writer(path: Path) -> Iterator[None]:
    """Holds the lock of the store at `path`; its folder is created where necessary.

    It is the lock of an empty SQLite file: the same on every system, and gone with the process that holds it, however
    that ends, so that it is never stale. Raises WorkError where another process is writing.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(lock_path(path), timeout=0, isolation_level=None)
    except (OSError, sqlite3.Error) as error:
        raise InputError(f"snapshots cannot be written to {path} ({error}); choose a folder that can be") from error
    with closing(connection):
        _take(connection, path)
        yield


def _take(connection: sqlite3.Connection, path: Path) -> None:
    try:
        connection.execute("BEGIN EXCLUSIVE")
    except sqlite3.Error as error:
        if "locked" in str(error):
            raise WorkError(f"another process is writing to {path}; wait for it, or choose another path") from error
        raise WorkError(f"{path} cannot be locked ({error}); choose a folder on a local disk") from error
