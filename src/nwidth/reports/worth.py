"""Is a surrogate worth it? Time per query against error, beside the best plain solver at equal error.

A surrogate pays only where neither a coarser grid nor a looser tolerance reaches the same error in the same time:
every comparison is therefore with the *cheapest* way of solving that is at least as accurate.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from nwidth.core.errors import InputError
from nwidth.reports.words import count, duration, factor, significant

Family = Literal["solver", "surrogate", "refined"]
Use = Literal["use", "use in batches", "do not use"]

#: Below this ratio two timings on a shared machine are not distinguishable.
MARGIN = 1.5
#: A solver whose error is at most this many times larger counts as equally accurate: iterations stop in steps, and
#: the benefit of the doubt goes to the solver.
EQUAL = 1.5
#: Relative errors below this are rounding.
ROUNDING = 1e-9


@dataclass(frozen=True)
class CostPoint:
    """One way to answer: seconds per query, the error it reaches, and how many queries are answered together.

    `error` is relative or in a unit, the same for all points that are compared. `guaranteed` says that the way
    states a limit for each answer, and that its time contains the limit's cost.
    """

    name: str
    seconds: float
    error: float
    batch: int = 1
    family: Family = "solver"
    guaranteed: bool = False

    def __post_init__(self) -> None:
        if not (self.seconds > 0 and math.isfinite(self.seconds)):
            raise InputError(f"{self.name}: seconds per query is {self.seconds}, expected a positive time")
        if not self.error >= 0:
            raise InputError(f"{self.name}: error is {self.error}, expected a number that is not negative")


@dataclass(frozen=True)
class Comparison:
    """A surrogate beside the cheapest solver that is at least as accurate; `pays_after` in queries, inf = never."""

    point: CostPoint
    rival: CostPoint
    speedup: float
    pays_after: float


@dataclass(frozen=True)
class Verdict:
    """Use it or not, why, and after how many queries the preparation is paid back."""

    use: Use
    headline: str
    reason: str
    single: Comparison | None
    batched: Comparison | None
    offline_seconds: float

    @property
    def brief(self) -> str:
        """Both comparisons in one line."""
        ways = (("one at a time", self.single), ("in batches", self.batched))
        return ", ".join(f"{speed(c.speedup)} {way} ({_times(c)})" for way, c in ways if c) + ", at equal error."

    @property
    def pays_after(self) -> float:
        """The smaller break-even count of the ways of asking that are worth it, inf where none is."""
        return _pays_after(self.use, self.single, self.batched)


def pareto(points: Iterable[CostPoint]) -> list[CostPoint]:
    """The points that no other beats in both time and error, from the fastest to the most accurate."""
    front: list[CostPoint] = []
    for point in sorted(points, key=lambda p: (p.seconds, p.error)):
        if not front or point.error < front[-1].error:
            front.append(point)
    return front


def cheapest(points: Iterable[CostPoint], error: float) -> CostPoint:
    """The fastest point that is as accurate (up to `EQUAL`); the most accurate one where none is."""
    points = list(points)
    if not points:
        raise InputError("there is no solver to compare with; time at least one full-order solver")
    good = [p for p in points if p.error <= EQUAL * error]
    return min(good, key=lambda p: p.seconds) if good else min(points, key=lambda p: (p.error, p.seconds))


def break_even(offline: float, surrogate: float, solver: float) -> float:
    """Queries after which `offline + n surrogate <= n solver` (seconds); inf where the solver is as fast."""
    saved = solver - surrogate
    return float(math.ceil(offline / saved)) if saved > 0 else math.inf


def compare(point: CostPoint, rivals: Sequence[CostPoint], offline: float) -> Comparison:
    """The surrogate's point beside the cheapest rival that is at least as accurate."""
    rival = cheapest(rivals, point.error)
    return Comparison(point, rival, rival.seconds / point.seconds, break_even(offline, point.seconds, rival.seconds))


def judge(
    points: Sequence[CostPoint], offline: float, queries: float = 1e6, unit: str = "%", margin: float = MARGIN
) -> Verdict:
    """The verdict that the measurements give.

    A way of asking is worth it when the surrogate is `margin` times faster than every equally accurate solver and
    pays back `offline` seconds within `queries` queries. One query at a time is compared with solvers that take one
    at a time; batches with the fastest of all. `unit` is that of the errors ('%': relative errors).
    """
    mine = [p for p in points if p.family != "solver"]
    solvers = [p for p in points if p.family == "solver"]
    if not mine:
        raise InputError("there is no surrogate to judge; give at least one point of family 'surrogate' or 'refined'")
    single = _best(mine, solvers, offline, batched=False)
    batched = _best(mine, solvers, offline, batched=True)
    use = _use(*(c is not None and c.speedup >= margin and c.pays_after <= queries for c in (single, batched)))
    return Verdict(use, _headline(use, single, batched), _reason(use, single, batched, unit), single, batched, offline)


def _best(
    mine: Sequence[CostPoint], solvers: Sequence[CostPoint], offline: float, *, batched: bool
) -> Comparison | None:
    candidates = [p for p in mine if (p.batch > 1) == batched]
    rivals = solvers if batched else [p for p in solvers if p.batch == 1]
    if not candidates:
        return None
    return max((compare(p, rivals, offline) for p in candidates), key=lambda c: c.speedup)


def _use(single: bool, batched: bool) -> Use:
    if single:
        return "use"
    return "use in batches" if batched else "do not use"


def _pays_after(use: Use, single: Comparison | None, batched: Comparison | None) -> float:
    ways = {"do not use": (), "use in batches": (batched,), "use": (single, batched)}[use]
    return min((c.pays_after for c in ways if c is not None), default=math.inf)


def _headline(use: Use, single: Comparison | None, batched: Comparison | None) -> str:
    if use == "do not use":
        return "Do not use it: the solver is as good or better."
    only = " (only for many cases at a time)" if use == "use in batches" else ""
    return f"Use it{only}: pays after {count(_pays_after(use, single, batched))} cases."


def _reason(use: Use, single: Comparison | None, batched: Comparison | None, unit: str) -> str:
    parts = [_sentence("One case at a time", single, unit), _sentence("In batches", batched, unit)]
    return " ".join(p for p in parts if p)


def _sentence(way: str, c: Comparison | None, unit: str) -> str:
    if c is None:
        return ""
    return (
        f"{way}: {duration(c.point.seconds)} ({c.point.name}, error {_error(c.point.error, unit)}) against "
        f"{duration(c.rival.seconds)} ({c.rival.name}, error {_error(c.rival.error, unit)}): {speed(c.speedup)}."
    )


def speed(speedup: float) -> str:
    """'1,500 x faster' or '21 x slower'."""
    return f"{factor(speedup)} faster" if speedup >= 1 else f"{factor(1 / speedup)} slower"


def _times(c: Comparison) -> str:
    return f"{duration(c.point.seconds)} against {duration(c.rival.seconds)}"


def _error(value: float, unit: str) -> str:
    if unit == "%" and value < ROUNDING:
        return "at rounding level"
    return f"{significant(100 * value)} %" if unit == "%" else f"{significant(value)} {unit}"
