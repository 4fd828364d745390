"""Files that are either complete or not there."""

import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from nwidth.core.errors import InputError, WorkError


def write_atomically(path: str | Path, write: Callable[[BinaryIO], object]) -> Path:
    """The file that `write(stream)` fills, under its name only when it is complete and on the disk.

    Raises InputError where the folder does not exist or the name is that of a folder, WorkError where writing fails
    (a full disk, no permission): the old file, if any, is then untouched and nothing is left behind.
    """
    target = Path(path)
    if not target.parent.is_dir():
        raise InputError(f"the folder {target.parent} of {target.name} does not exist; create it first")
    if target.is_dir():
        raise InputError(f"{target} is a folder; give the name of a file")
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("xb") as stream:
            write(stream)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(target)
    except OSError as error:
        raise WorkError(
            f"{target} could not be written: {error.strerror or error}; make room or choose another place, then repeat"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
    return target


@contextmanager
def built_beside(target: Path) -> Iterator[Path]:
    """A path beside `target` for a file or a folder, which takes its name when all went well and is removed when not.

    For what needs more than a stream: libraries that open files themselves, data sets of several files. Raises
    InputError where something is at `target` already or its folder does not exist, WorkError where the disk is full.
    """
    if target.exists():
        raise InputError(f"{target} exists already; choose another place, or remove it first")
    if not target.parent.is_dir():
        raise InputError(f"the folder {target.parent} of {target.name} does not exist; create it first")
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.building")
    try:
        yield temporary
        for file in (path for path in (temporary, *temporary.rglob("*")) if path.is_file()):
            _to_disk(file)
        temporary.rename(target)
    except OSError as error:
        raise WorkError(
            f"{target} could not be written: {error.strerror or error}; make room or choose another place, then repeat"
        ) from error
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        temporary.unlink(missing_ok=True)


def _to_disk(file: Path) -> None:
    with file.open("rb+") as stream:
        os.fsync(stream.fileno())
