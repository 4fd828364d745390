"""Steps that run once: each is keyed by a hash of its inputs, and its results lie in a folder of that key.

A step works in `NAME-KEY.partial`, which becomes `NAME-KEY` when it is complete: a folder without the suffix can be
trusted, and an interrupted step finds its unfinished work in the other and goes on from there.
"""

import errno
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from nwidth._version import __version__
from nwidth.core.errors import InputError, WorkError
from nwidth.core.storable import canonical_json
from nwidth.io.atomic import write_atomically
from nwidth.snapshots.lock import sole_writer

#: Number of hexadecimal digits of a key: 64 bits, a collision among a million folders has probability 3e-8.
DIGITS = 16
RECORD = "step.json"

Folders = Mapping[str, Path]


@dataclass(frozen=True)
class Step:
    """What to do: `work(folder, folders of the steps in needs)` fills the folder and returns a summary for people.

    `inputs` holds everything that decides the result, as JSON. `work` may find files of its own interrupted run in
    the folder.
    """

    name: str
    inputs: Mapping[str, Any]
    work: Callable[[Path, Folders], Mapping[str, Any]]
    needs: tuple[str, ...] = ()
    title: str = ""


class State(StrEnum):
    """How a step went."""

    STARTED = "started"
    CONTINUED = "continued"
    DONE = "done"
    REUSED = "reused"


@dataclass(frozen=True)
class Event:
    """What happened to a step; `summary` and `seconds` once it has a result."""

    step: str
    title: str
    state: State
    folder: Path
    seconds: float = 0.0
    summary: Mapping[str, Any] = field(default_factory=dict)


Listener = Callable[[Event], None]


def keys(steps: Sequence[Step]) -> dict[str, str]:
    """Name -> key: a hash of the step's inputs, the keys of what it needs, and the version of nwidth."""
    found: dict[str, str] = {}
    for step in steps:
        missing = [name for name in step.needs if name not in found]
        if missing:
            raise InputError(f"step {step.name!r} needs {', '.join(missing)}, which must stand before it")
        upstream = {name: found[name] for name in step.needs}
        text = canonical_json([step.name, step.inputs, upstream, __version__], f"the inputs of step {step.name!r}")
        found[step.name] = hashlib.sha256(text.encode()).hexdigest()[:DIGITS]
    return found


def execute(
    steps: Sequence[Step], workdir: Path, upto: Sequence[str] = (), listen: Listener = lambda event: None
) -> dict[str, Event]:
    """Do what is not done yet, up to and with the steps `upto` (all, if none is named); name -> how it went.

    Raises InputError for an unknown step; WorkError where the disk is full or another run works in the folder. What
    was completed before a failure stays.
    """
    chosen = _ancestors(steps, upto or [step.name for step in steps])
    with sole_writer(workdir):
        workdir.mkdir(exist_ok=True)
        return _walk(steps, chosen, keys(steps), workdir, listen)


def _walk(
    steps: Sequence[Step], chosen: set[str], key: Mapping[str, str], workdir: Path, listen: Listener
) -> dict[str, Event]:
    done: dict[str, Event] = {}
    for step in steps:
        if step.name in chosen:
            upstream = {name: done[name].folder for name in step.needs}
            done[step.name] = _one(step, workdir / f"{step.name}-{key[step.name]}", upstream, listen)
            listen(done[step.name])
    return done


def _one(step: Step, folder: Path, upstream: Folders, listen: Listener) -> Event:
    if folder.is_dir():
        seconds, summary = _read_record(folder)
        return Event(step.name, step.title, State.REUSED, folder, seconds, summary)
    partial = folder.with_name(folder.name + ".partial")
    state = State.CONTINUED if partial.is_dir() else State.STARTED
    partial.mkdir(exist_ok=True)
    listen(Event(step.name, step.title, state, partial))
    with _disk_can_fill(partial):
        begin = time.perf_counter()
        summary = dict(step.work(partial, upstream))
        seconds = time.perf_counter() - begin
        _write_record(partial, step, upstream, seconds, summary)
        partial.replace(folder)
    return Event(step.name, step.title, State.DONE, folder, seconds, summary)


def _read_record(folder: Path) -> tuple[float, Mapping[str, Any]]:
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        return float(record["seconds"]), dict(record["summary"])
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"{folder / RECORD} is missing or damaged; delete the folder {folder} and run again"
        ) from error


def _write_record(folder: Path, step: Step, upstream: Folders, seconds: float, summary: Mapping[str, Any]) -> None:
    record = {
        "step": step.name,
        "inputs": step.inputs,
        "from": {name: path.name for name, path in upstream.items()},
        "nwidth": __version__,
        "seconds": round(seconds, 3),
        "summary": summary,
    }
    text = canonical_json(record, f"the summary of step {step.name!r}").encode()
    write_atomically(folder / RECORD, lambda stream: stream.write(text))


def _ancestors(steps: Sequence[Step], last: Sequence[str]) -> set[str]:
    """The steps and everything that they need."""
    needs = {step.name: step.needs for step in steps}
    found: set[str] = set()
    queue = list(last)
    while queue:
        name = queue.pop()
        if name not in needs:
            raise InputError(f"there is no step {name!r}; the steps are {', '.join(needs)}")
        found.add(name)
        queue += [n for n in needs[name] if n not in found]
    return found


@contextmanager
def _disk_can_fill(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise WorkError(
            f"the disk is full: {folder} could not be completed; free some space and run the same command again, it "
            "continues from here"
        ) from error
