"""A reduced basis of the demo beside plain ways to solve: all contestants in turn in one process, limits included."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from nwidth.core.arrays import Mu
from nwidth.core.validation import batch_size, select
from nwidth.reports.worth import CostPoint
from nwidth.study.demo_reduced import TOGETHER, Check, Fit
from nwidth.study.measure import alternate

#: Single answers of a reduced basis are short: this many are timed together.
_SINGLE = 20


@dataclass(frozen=True)
class Way:
    """A plain way to solve, and how many cases it is given at a time; what it answers with is the part's own."""

    name: str
    solve: Callable[[Mu], Any]
    batch: int = 1
    guaranteed: bool = False


@dataclass(frozen=True)
class Costs:
    """Ways to answer with their time and their largest error, and how noisy the clock was."""

    points: tuple[CostPoint, ...]
    spread: float


@dataclass(frozen=True)
class Contest:
    """Plain ways against a reduced basis, which answers single cases and all of `mu` together.

    `error` of a plain way is measured in the unit of `worst`, the largest error of the reduced basis.
    """

    reduced: Fit
    mu: Mu
    ways: Sequence[Way]
    error: Callable[[Way], float]
    worst: float

    def run(self, checked: Check, repeats: int) -> Costs:
        """Medians of `repeats` rounds."""
        one, many = (select(checked.mu, slice(0, count)) for count in (1, TOGETHER))
        predict, size = self.reduced.certified.predict, batch_size(self.mu)
        calls: dict[str, Callable[[], Any]] = {w.name: _call(w, many if w.batch > 1 else one) for w in self.ways}
        calls["one"] = lambda: [predict(one) for _ in range(_SINGLE)]
        calls["many"] = lambda: predict(self.mu)
        errors = {w.name: self.error(w) for w in self.ways}  # and all are warm
        timing = alternate(calls, repeats, warm_up=0)
        points = [
            CostPoint(w.name, timing[w.name].median / w.batch, errors[w.name], w.batch, "solver", w.guaranteed)
            for w in self.ways
        ]
        for key, cases, together in (("one", _SINGLE, 1), ("many", size, size)):
            seconds = timing[key].median / cases
            points.append(CostPoint("reduced basis", seconds, self.worst, together, "surrogate", True))
        return Costs(tuple(points), max(t.spread for t in timing.values()))


def _call(way: Way, mu: Mu) -> Callable[[], Any]:
    return lambda: way.solve(mu)
