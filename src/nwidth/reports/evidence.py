"""One page for a reviewer: what a surrogate is for, where it was tested, what it rests on, and how each point was
checked. No dates, no times, no paths: the same model and data give the same bytes.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from nwidth.core.errors import WorkError
from nwidth.io.atomic import write_atomically
from nwidth.reports.document import Bullets, Document, Facts, Grid, Paragraph, Scatter, Section, Tone
from nwidth.reports.document_html import to_html
from nwidth.reports.document_markdown import to_markdown
from nwidth.reports.model import Promise, Table
from nwidth.reports.words import plural

HTML, MARKDOWN = "evidence.html", "evidence.md"


class State(StrEnum):
    """What came of a check."""

    HOLDS = "holds"
    FAILS = "fails"
    OPEN = "left open"


_TONES = {State.HOLDS: Tone.GOOD, State.FAILS: Tone.BAD, State.OPEN: Tone.OPEN}


@dataclass(frozen=True)
class Assumption:
    """Something that the limits rest on, how it was checked, what came out, and the number behind it."""

    text: str
    how: str
    state: State
    number: str = ""

    @classmethod
    def judged(cls, text: str, how: str, holds: bool, number: str = "") -> "Assumption":
        """One that was checked."""
        return cls(text, how, State.HOLDS if holds else State.FAILS, number)


@dataclass(frozen=True)
class Licence:
    """A package that the answers come from."""

    package: str
    version: str
    licence: str


@dataclass(frozen=True)
class Evidence:
    """Everything on the page. `use` is the author's statement, empty where none was made; `limits` the picture."""

    name: str
    use: str
    answers: Mapping[str, str]
    promise: Promise
    ranges: Table
    assumptions: tuple[Assumption, ...]
    counts: Table
    hashes: Mapping[str, str]
    licences: tuple[Licence, ...]
    versions: Mapping[str, str]
    limits: tuple[Scatter, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)

    def counted(self, state: State) -> int:
        """How many assumptions ended so."""
        return sum(a.state is state for a in self.assumptions)

    @property
    def failing(self) -> tuple[Assumption, ...]:
        """What does not hold."""
        return tuple(a for a in self.assumptions if a.state is State.FAILS)

    @property
    def verdict(self) -> str:
        """'14 assumptions: 12 hold, 0 fail, 2 left open.'"""
        held, failed, left = (self.counted(state) for state in State)
        return f"{plural(len(self.assumptions), 'assumption')}: {held} hold, {failed} fail, {left} left open."

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        rows = [{"assumption": a.text, "check": a.how, "state": a.state.value, "number": a.number}
                for a in self.assumptions]  # fmt: skip
        counts = {first: dict(zip(self.counts.header[1:], rest, strict=True)) for first, *rest in self.counts.rows}
        return {"name": self.name, "use": self.use, "verdict": self.verdict, "assumptions": rows, "counts": counts,
                "hashes": dict(self.hashes), "licences": [vars(licence) for licence in self.licences],
                "versions": dict(self.versions)}  # fmt: skip

    def write(self, folder: str | Path) -> tuple[Path, Path]:
        """`evidence.html` and `evidence.md` in the folder. Raises WorkError where it cannot be written."""
        folder, page = Path(folder), document(self)
        check_folder(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WorkError(f"{folder} cannot be made: {error.strerror or error}; choose another folder") from error
        written = {HTML: to_html(page), MARKDOWN: to_markdown(page)}
        for name, text in written.items():
            write_atomically(folder / name, partial(_put, text))
        return folder / HTML, folder / MARKDOWN


def check_folder(folder: str | Path) -> None:
    """Raises WorkError where a page cannot be written to `folder`; nothing is made."""
    folder = Path(folder)
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not there.is_dir():
        raise WorkError(f"{folder} cannot be made: {there} is no folder; choose another folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise WorkError(f"{there} cannot be written to; choose another folder")
    for name in (HTML, MARKDOWN):
        if (folder / name).is_dir():
            raise WorkError(f"{folder / name} is a folder; choose another folder")


def _put(text: str, stream: BinaryIO) -> None:
    stream.write(text.encode())


def document(evidence: Evidence) -> Document:
    """The page as sections."""
    tone = Tone.BAD if evidence.failing else Tone.GOOD
    promise = evidence.promise
    use = evidence.use or "The author has not said what this surrogate is for. A reviewer should ask."
    sections: tuple[Section, ...] = (
        Section("use", "Intended use", (
            Paragraph(use, Tone.PLAIN if evidence.use else Tone.OPEN), Facts(evidence.answers))),
        Section("promise", "What is promised, and what is not", (
            Bullets(promise.promised, Tone.GOOD, "Promised"), Bullets(promise.not_promised, Tone.BAD, "Not promised"))),
        Section("ranges", "Tested ranges", (Grid(evidence.ranges),)),
        Section("assumptions", "What it rests on, and how that was checked", (
            Paragraph(evidence.verdict, tone), _assumptions(evidence))),
        Section("tests", "Test counts", (Grid(evidence.counts), *evidence.limits)),
        Section("hashes", "Hashes of model and data (SHA-256)", (Facts(evidence.hashes),)),
        Section("software", "Software and its licences", (Grid(_licences(evidence)), Facts(evidence.versions))),
    )  # fmt: skip
    if evidence.settings:
        sections += (Section("settings", "Settings", (Facts(evidence.settings),)),)
    return Document(
        title=f"Evidence: {evidence.name}",
        lead="For a reviewer who has neither the author nor the program at hand. Repeating the command that made this "
        "page on the same files gives the same bytes; a changed byte is a changed model, data set or program.",
        sections=sections,
        footer="Error-bounded; not a safety certification.",
    )


def _assumptions(evidence: Evidence) -> Grid:
    listed = sorted(evidence.assumptions, key=lambda a: a.state is not State.FAILS)  # what fails stands first
    rows = tuple((a.text, a.how, a.state.value, a.number) for a in listed)
    note = "Left open: no program can judge it, or what it takes is not at hand; it rests on the author's word."
    table = Table("", ("Assumption", "How it was checked", "Result", "Number"), rows, note)
    return Grid(table, tuple(_TONES[a.state] for a in listed), judged=2)


def _licences(evidence: Evidence) -> Table:
    rows = tuple((x.package, x.version, x.licence) for x in evidence.licences)
    unknown = sum(x.licence == UNDECLARED for x in evidence.licences)
    note = (
        f"{plural(unknown, 'package')} without a declared licence: look at the package's own files." if unknown else ""
    )
    return Table("", ("Package", "Version", "Licence, as the package declares it"), rows, note)


#: What stands where a package says nothing.
UNDECLARED = "not declared"
