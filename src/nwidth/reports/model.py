"""What a report holds, as plain data: any study can fill it in, and it needs neither a browser nor matplotlib."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from nwidth.core.arrays import Array, Real
from nwidth.reports.worth import CostPoint, Verdict


@dataclass(frozen=True)
class Promise:
    """Sentences for the person who signs: what is promised, and what is not."""

    promised: tuple[str, ...]
    not_promised: tuple[str, ...]


@dataclass(frozen=True)
class OutputRow:
    """One quantity against its limit on unseen cases; `relative` numbers are shown in percent."""

    name: str
    unit: str
    checked: int
    largest_error: float
    median_limit: float
    largest_limit: float
    outside: int
    relative: bool = False


@dataclass(frozen=True)
class LimitCheck:
    """True error and stated limit of each checked case, both `(B,)`: every point must lie above the diagonal.

    `lower`, where it is known: what the error is at least; the line from there to the limit must cross the diagonal.
    """

    title: str
    errors: Real
    limits: Real
    unit: str
    lower: Real | None = None


@dataclass(frozen=True)
class PartsChart:
    """From where to where each part of an error lies, for each case: `low` and `high` `(parts, B)`."""

    title: str
    names: tuple[str, ...]
    low: Real
    high: Real
    unit: str


@dataclass(frozen=True)
class Designs:
    """Many designs against a threshold: what varies `(B,)`, value and limit `(B,)`, verdict words `(B,)`.

    `heading` stands inside the picture, `title` above it in a page.
    """

    title: str
    across: Real
    across_label: str
    values: Real
    limit: Real
    verdict: Array
    threshold: float
    value_label: str
    unit: str
    heading: str = ""


@dataclass(frozen=True)
class Closeup:
    """The designs closest to a threshold with their limits as bars; values, limits and verdict words are `(B,)`."""

    title: str
    values: Real
    limit: Real
    verdict: Array
    threshold: float
    unit: str
    shown: int = 31


@dataclass(frozen=True)
class Curves:
    """Named curves `(n,)` over a common axis; `log` for a logarithmic vertical axis."""

    title: str
    x_label: str
    y_label: str
    lines: Mapping[str, tuple[Array, Array]]
    log: bool = True


@dataclass(frozen=True)
class CostChart:
    """Time per query against error for every way to answer, one batch class per chart."""

    title: str
    points: tuple[CostPoint, ...]
    error_label: str
    percent: bool = True


@dataclass(frozen=True)
class FieldPlot:
    """A scalar field at points `(n, 2)`, with an optional triangulation `(m, 3)`; `span` fixes the colour scale."""

    title: str
    points: Real
    values: Real
    label: str
    span: tuple[float, float] | None = None
    triangles: Array | None = None
    diverging: bool = False
    axis_unit: str = ""


Chart: TypeAlias = LimitCheck | PartsChart | Designs | Closeup | Curves | CostChart | FieldPlot


@dataclass(frozen=True)
class Table:
    """Rows of text; the first column is a heading, the others line up as numbers."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


@dataclass(frozen=True)
class ParameterRange:
    """A tested interval of one parameter, and where in it the weakest case lies."""

    name: str
    low: float
    high: float
    unit: str = ""
    weakest: float | None = None
    log: bool = False

    @property
    def position(self) -> float:
        """Where the weakest case lies between low (0) and high (1)."""
        value, low, high = (self.low if self.weakest is None else self.weakest), self.low, self.high
        if self.log:
            value, low, high = math.log(value), math.log(low), math.log(high)
        return min(1.0, max(0.0, (value - low) / (high - low)))


@dataclass(frozen=True)
class Ranges:
    """Where the surrogate was tested, and its weakest corner in words."""

    intervals: tuple[ParameterRange, ...]
    weakest: str
    note: str = ""
    charts: tuple[Chart, ...] = ()


@dataclass(frozen=True)
class Appendix:
    """For specialists: charts (singular values, training), and names with their values."""

    charts: tuple[Chart, ...] = ()
    configuration: Mapping[str, str] = field(default_factory=dict)
    hashes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ProblemReport:
    """Everything that a report says about one problem; `summary`: the answer in one line of the console."""

    name: str
    title: str
    question: str
    answer: str
    verdict: Verdict
    promise: Promise
    outputs: tuple[OutputRow, ...]
    output_charts: tuple[Chart, ...] = ()
    tables: tuple[Table, ...] = ()
    cost_charts: tuple[CostChart, ...] = ()
    cost_note: str = ""
    ranges: Ranges | None = None
    fields: tuple[tuple[FieldPlot, ...], ...] = ()
    fields_note: str = ""
    appendix: Appendix = Appendix()
    summary: str = ""


@dataclass(frozen=True)
class Report:
    """A report on one or more problems, with what was run and where."""

    title: str
    lead: str
    problems: tuple[ProblemReport, ...]
    created: str = ""
    command: str = ""
    machine: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
