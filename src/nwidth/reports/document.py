"""A page as data: sections of text, lists, tables and drawings that HTML and Markdown are both written from.

What two renderings share is written once, so that they cannot say different things.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from nwidth.core.arrays import Real
from nwidth.reports.model import Table


class Tone(StrEnum):
    """How a text is meant; a colour and a mark in HTML, a mark in Markdown."""

    PLAIN = ""
    GOOD = "good"
    BAD = "bad"
    OPEN = "open"


@dataclass(frozen=True)
class Paragraph:
    """One paragraph."""

    text: str
    tone: Tone = Tone.PLAIN


@dataclass(frozen=True)
class Bullets:
    """A list; its tone is that of every item."""

    items: tuple[str, ...]
    tone: Tone = Tone.PLAIN
    title: str = ""


@dataclass(frozen=True)
class Grid:
    """A table of texts; the cells of the column `judged` carry the tone of their row."""

    table: Table
    tones: tuple[Tone, ...] = ()
    judged: int = -1


@dataclass(frozen=True)
class Facts:
    """Names with their values."""

    values: Mapping[str, str]


@dataclass(frozen=True)
class Scatter:
    """True error against stated limit of each case, both `(B,)` and in `unit`: no point may lie below the diagonal."""

    title: str
    errors: Real = field(compare=False)
    limits: Real = field(compare=False)
    unit: str = ""


Block: TypeAlias = Paragraph | Bullets | Grid | Facts | Scatter


@dataclass(frozen=True)
class Section:
    """A headed part of the page."""

    key: str
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Document:
    """A title, a lead and the sections."""

    title: str
    lead: str
    sections: tuple[Section, ...]
    footer: str = ""
