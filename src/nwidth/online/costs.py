"""What each way to an answer costs on this machine: measured once, a value that can be stored, and what follows.

Ways of a query to a guaranteed tolerance: the surrogate's answer where its limit is small enough; that answer refined
by one of some solvers; a solve from nothing by one of them. Plans of a batch:

    accept    the surrogate with its limits; what misses is refined or solved, each query by the cheaper
    refine    the surrogate without limits, everything handed to a solver (which bounds it anyway)
    solve     the surrogate is not asked
"""

import platform
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from time import perf_counter
from typing import Any, ClassVar, Self

import numpy as np

from nwidth.core.arrays import Array, Mu, Real
from nwidth.core.storable import Parts, Storable
from nwidth.core.validation import batch_size, select

#: Decades between the easier and the harder half of the samples from which a slope can be told.
_APART = 0.3
#: No way costs less than this part of its usual cost, however easy the query.
_LEAST = 0.1
#: One query on its own costs more than each of some.
FEW = 6
#: Seconds that a measurement should take, with at most so many times the repeats that were asked for.
_ENOUGH, _MOST = 0.1, 10


@dataclass(frozen=True)
class Line:
    """Seconds of a batch of B queries: `fixed + each B`; `decade` more for each query and decade that the relative
    bound is farther above the tolerance than `usual` decades; nothing below `least` decades was measured, and none of
    those costs less."""

    fixed: float
    each: float
    decade: float = 0.0
    usual: float = 0.0
    least: float = 0.0

    def __call__(self, count: float) -> float:
        """Seconds for `count` usual queries; none for none."""
        return self.fixed + self.each * count if count > 0 else 0.0

    def single(self, decades: Real) -> Real:
        """Seconds of each query, without what is fixed."""
        moved = self.decade * (np.maximum(decades, self.least) - self.usual)
        return np.maximum(self.each + moved, _LEAST * self.each)


@dataclass(frozen=True, eq=False)
class CostModel(Storable):
    """Costs of the ways to `rtol`, measured on some queries.

    bare, limited   the surrogate without and with its limits; None where it was of no use (no limit at all)
    warm, cold      one line for each solver: from the surrogate's answer, and from nothing
    excess          `(n,)`, sorted: the relative bounds of the queries, in units of the tolerance; +inf for none
    solvers         their names
    machine         where it was measured, in words
    """

    kind: ClassVar[str] = "cost-model"

    rtol: float
    bare: Line
    limited: Line
    warm: tuple[Line, ...]
    cold: tuple[Line, ...]
    excess: Real
    solvers: tuple[str, ...]
    machine: Mapping[str, str]

    def plan(self, count: int, seen: Real | None = None) -> str:
        """The cheapest plan for a batch: 'accept', 'refine' or 'solve'; `seen` is the excess of queries like these."""
        costs = self.costs(count, seen)
        return min(costs, key=lambda name: costs[name])

    def costs(self, count: int, seen: Real | None = None) -> dict[str, float]:
        """Expected seconds of every plan for a batch of `count`."""
        excess = self.excess if seen is None or not len(seen) else seen
        share, missed = count / len(excess), excess[excess > 1]
        decades, all_decades = decades_of(missed), decades_of(excess)
        warm = min((w.fixed + share * float(w.single(all_decades).sum()) for w in self.warm), default=np.inf)
        ways = self.choose(missed)
        left = [share * float(self._line(k).single(decades[ways == k]).sum()) for k in np.unique(ways)]
        fixed = [self._line(k).fixed for k in np.unique(ways)]
        return {
            "accept": self.limited(count) + sum(left) + sum(fixed),
            "refine": self.bare(count) + warm,
            "solve": min(c(count) for c in self.cold),
        }

    def choose(self, excess: Real) -> Array:
        """The way of each query that misses, `(B,)`: k for solver k from the answer, S + k from nothing."""
        decades = decades_of(excess)
        table = np.stack([line.single(decades) for line in (*self.warm, *self.cold)], axis=1)
        table[~np.isfinite(excess), : len(self.warm)] = np.inf
        mixed = table.argmin(axis=1)
        totals = table.sum(axis=0) + [line.fixed for line in (*self.warm, *self.cold)]
        split = table.min(axis=1).sum() + sum(self._line(k).fixed for k in np.unique(mixed))
        # one solver for all saves what the others cost per batch
        return mixed if split <= totals.min() else np.full(len(excess), totals.argmin())

    def _line(self, way: int) -> Line:
        return (*self.warm, *self.cold)[way]

    def to_parts(self) -> Parts:
        lines = {name: [asdict(line) for line in getattr(self, name)] for name in ("warm", "cold")}
        single = {name: asdict(getattr(self, name)) for name in ("bare", "limited")}
        config = {"rtol": self.rtol, "solvers": self.solvers, "machine": dict(self.machine), **lines, **single}
        return Parts(config, {"excess": self.excess}, {})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        warm, cold = (tuple(Line(**entry) for entry in config[name]) for name in ("warm", "cold"))
        return cls(
            rtol=config["rtol"],
            bare=Line(**config["bare"]),
            limited=Line(**config["limited"]),
            warm=warm,
            cold=cold,
            excess=arrays["excess"],
            solvers=tuple(config["solvers"]),
            machine=config["machine"],
        )


def decades_of(excess: Real) -> Real:
    """How many decades a relative bound lies above the tolerance, `(B,)`; not below zero, at most 16."""
    return np.clip(np.log10(np.clip(excess, 1.0, 1e16)), 0.0, 16.0)


#: Work on a batch of parameters, with what belongs to each of its samples.
Work = Callable[[Mu, Array], object]
#: Seconds from some beginning.
Clock = Callable[[], float]


def measure_line(work: Work, mu: Mu, rows: Array, repeats: int, clock: Clock = perf_counter) -> Line:
    """Seconds of `work` on the chosen samples: on all of them, and on one; the fastest of some repeats.

    Work of milliseconds is repeated more often: on a machine that is shared, most of its runs are interrupted.
    """
    if not len(rows):
        return Line(0.0, 0.0)
    middle = rows[len(rows) // 2 : len(rows) // 2 + 1]
    together: list[float] = []
    alone: list[float] = []
    spent = 0.0
    while len(together) < repeats or (spent < _ENOUGH and len(together) < _MOST * repeats):
        # in turn, so that a busy moment hits both
        together.append(_seconds(work, mu, rows, clock))
        alone.append(_seconds(work, mu, middle, clock))
        spent += together[-1] + alone[-1]
    count, total, single = len(rows), min(together), min(alone)
    fixed = max(0.0, (count * single - total) / (count - 1)) if count > 1 else 0.0
    return Line(fixed, max(total - fixed, 0.1 * total) / count)


def measure_slope(work: Work, mu: Mu, excess: Real, repeats: int, clock: Clock = perf_counter) -> Line:
    """The line of samples that miss the tolerance (of a few of the worst where hardly any does), and how it rises with
    the decades that they miss it by."""
    count = max(int(np.sum(~(excess <= 1))), min(FEW, batch_size(mu)))
    rows = np.argsort(excess, kind="stable")[-count:]
    line = measure_line(work, mu, rows, repeats, clock)
    decades = decades_of(excess)
    easy, hard = rows[: count // 2], rows[count // 2 :]
    usual = float(decades[rows].mean())
    apart = float(decades[hard].mean() - decades[easy].mean()) if len(easy) else 0.0
    if apart < _APART:
        return Line(line.fixed, line.each, 0.0, usual)
    first, second = (measure_line(work, mu, half, repeats, clock) for half in (easy, hard))
    slope = max(0.0, second.each - first.each) / apart
    return Line(line.fixed, line.each, slope, usual, float(decades[easy].mean()))


def _seconds(work: Work, mu: Mu, rows: Array, clock: Clock) -> float:
    part = select(mu, rows)
    begin = clock()
    work(part, rows)
    return clock() - begin


def here() -> dict[str, str]:
    """This machine, in words."""
    return {"processor": platform.processor() or platform.machine(), "system": platform.system()}
