"""Load cases solved once and combined, on top of any solver: nothing is assembled, systems are known as products."""

from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
import scipy.linalg as sla

from nwidth.core.arrays import Array, Mu, Real
from nwidth.core.errors import InputError
from nwidth.core.seeding import generator
from nwidth.core.solution import Solution, Status, Tolerance
from nwidth.core.validation import as_mu, batch_size, check_finite, select
from nwidth.problems.base import Linear, Problem, Systems
from nwidth.solvers.base import Solver
from nwidth.solvers.structure.solver import merged, with_bounds
from nwidth.spaces.box import Box

_DEFAULT = Tolerance("residual", 1e-8)
_PROBES, _SEED = 6, 271_828
#: Products of two matrices with a random vector that differ by less than this are those of one matrix.
_SAME = 1e-13
#: Part of a load that its best combination of load cases may miss.
_MISSED = 1e-12
#: The load cases are solved this much more accurately than the samples.
_STRICTER = 1e-3


class _Fixed:
    """A matrix known by its product with one random vector, to tell whether others are multiples of it."""

    def __init__(self, systems: Systems):
        free = np.broadcast_to(systems.free, systems.load.shape)[0]
        self._vector = np.where(free, generator(0).standard_normal(systems.load.shape[1]), 0.0)
        self._product = self._products(systems)[0]

    def factors(self, systems: Systems) -> Real:
        """s with `A_i = s A_0` for every sample, `(B,)`; NaN where there is no such positive number."""
        products = self._products(systems)
        scale = products @ self._product / (self._product @ self._product)
        rest = np.linalg.norm(products - scale[:, None] * self._product, axis=1)
        same = (rest <= _SAME * np.linalg.norm(products, axis=1)) & (scale > 0)
        return np.where(same, np.where(np.abs(scale - 1.0) < _SAME, 1.0, scale), np.nan)

    def _products(self, systems: Systems) -> Array:
        return systems.apply(np.tile(self._vector, (len(systems.load), 1)))


@dataclass(frozen=True, eq=False)
class _Cases:
    """The fixed matrix, parameters whose loads span all loads, and these loads `(r, N)`."""

    fixed: _Fixed
    mu: Mu
    factors: Real
    loads: Array
    scaled: bool

    @property
    def note(self) -> str:
        count = len(self.loads)
        matrix = "matrix fixed up to a factor" if self.scaled else "fixed matrix"
        return f"{matrix}, {count} load case{'s'[: count != 1]}: combined"


class CombinedState:
    """What the solves of one problem share, held by the caller: the base's state, what was found, the load cases.

    It is looked for at the first batch that is large enough, with draws that do not depend on that batch.
    """

    def __init__(self, problem: Linear, solver: Solver):
        self.problem, self._solver = problem, solver
        self.base = solver.prepare(problem)
        self._looked = False
        self._cases: _Cases | None = None
        self._fields: Array | None = None
        self._accuracy = np.inf

    @property
    def cases(self) -> _Cases | None:
        """What was found."""
        if not self._looked:
            self._looked, self._cases = True, _find(self.problem)
        return self._cases

    def fields(self, tolerance: float) -> Array | None:
        """Solutions of the load cases without their lift, `(r, N)`; None where the base cannot solve them."""
        if self.cases is not None and (self._fields is None or tolerance < self._accuracy):
            stop = Tolerance("residual", max(1e-13, _STRICTER * tolerance))
            solution = self._solver.solve(self.base, self.cases.mu, None, stop)
            residual = np.asarray(solution.stats.get("residual", np.inf))
            if not np.isfinite(solution.field).all() or bool((residual > tolerance).any()):
                self._cases = None
                return None
            w = self.problem.space.flatten(solution.field) - self.problem.systems(self.cases.mu).lift
            self._fields, self._accuracy = w * self.cases.factors[:, None], tolerance
        return self._fields


@dataclass(frozen=True)
class Combined(Solver):
    """Looks whether all samples share one matrix (up to a factor) and their loads are combinations of a few; then
    solves as many samples with `base` as there are load cases, and combines these for all others.

    Works on products alone, so `base` can be any solver. Looked for where the parameters are a few scalars (`Box`) and
    a batch has at least `least` samples: looking costs the set-up of two.
    Every sample is compared with what was found and the residual of its own system is recomputed; a sample that lacks
    it or misses the tolerance is solved by `base`. `Solution.note` says what was found and how many samples lacked it.
    """

    base: Solver
    least: int = 4

    @property
    def releases_gil(self) -> bool:  # type: ignore[override]
        """As the base does."""
        return self.base.releases_gil

    def prepare(self, problem: Problem) -> CombinedState:
        """The state to hand to `solve`. Raises InputError without the capability Linear."""
        if not isinstance(problem, Linear):
            raise InputError(f"{type(problem).__name__} is not Linear; inherit Linear, or use the other solver alone")
        return CombinedState(problem, self.base)

    def solve(self, state: CombinedState, mu: Mu, x0: Array | None = None, stop: Tolerance | None = None) -> Solution:
        """Solutions `(B, *shape)`; failures are those of `base`, whose stopping rule is used where `stop` is None."""
        begin = perf_counter()
        mu = as_mu(mu, state.problem.parameters.names)
        goal = stop.value if stop is not None and stop.kind == "residual" else _DEFAULT.value
        fields = state.fields(goal) if batch_size(mu) >= self.least else None
        if fields is None or state.cases is None:
            return self.base.solve(state.base, mu, x0, stop)
        for name, values in mu.items():
            check_finite(f"parameter {name}", values)
        found = _answered(state.problem, state.cases, fields, mu, goal, stop)
        seconds = (perf_counter() - begin) / batch_size(mu)
        found.stats["seconds"][:] = seconds
        rows = np.flatnonzero(found.status != Status.CONVERGED)
        if not len(rows):
            return found
        other = self.base.solve(state.base, select(mu, rows), None if x0 is None else x0[rows], stop)
        note = f"{found.note} for {batch_size(mu) - len(rows)} of {batch_size(mu)} samples; the others: {other.note}"
        return merged(found, other, rows, seconds, note)


def _find(problem: Linear) -> _Cases | None:
    """What a few draws show; None where they have no matrix in common, or independent loads."""
    if not isinstance(problem.parameters, Box):
        return None
    try:
        mu = as_mu(problem.parameters.sample(range(_PROBES), _SEED), problem.parameters.names)
        two = problem.systems(select(mu, slice(0, 2)))
        fixed = _Fixed(two)
        if np.isnan(fixed.factors(two)).any():
            return None
        systems = problem.systems(mu)
    except Exception:  # noqa: BLE001 - a user's code may refuse these draws: the solve of those asked for says so
        return None
    factors = fixed.factors(systems)
    if np.isnan(factors).any() or np.iscomplexobj(systems.load):
        return None
    _, triangle, order = sla.qr(systems.load.T, mode="economic", pivoting=True)
    sizes = np.abs(np.diag(triangle))
    rank = int(np.count_nonzero(sizes > 1e-12 * sizes[0]))
    if not 0 < rank < _PROBES:
        return None
    chosen = np.sort(order[:rank])
    return _Cases(fixed, select(mu, chosen), factors[chosen], systems.load[chosen], bool((factors != 1.0).any()))


def _answered(problem: Linear, cases: _Cases, fields: Array, mu: Mu, goal: float, stop: Tolerance | None) -> Solution:
    """The samples that are combinations and reach the tolerance; all others have the status FAILED."""
    systems = problem.systems(mu)
    factors = cases.fixed.factors(systems)
    amounts = np.linalg.lstsq(cases.loads.T, systems.load.T, rcond=None)[0].T
    size = np.linalg.norm(systems.load, axis=1)
    missed = np.linalg.norm(systems.load - amounts @ cases.loads, axis=1) > _MISSED * size
    v = systems.lift + amounts @ fields / np.where(np.isnan(factors), 1.0, factors)[:, None]
    residual = np.linalg.norm(systems.residual(v), axis=1) / np.where(size > 0, size, 1.0)
    good = ~np.isnan(factors) & ~missed & (residual <= goal)
    stats: dict[str, Any] = {
        "residual": residual,
        "iterations": np.zeros(len(v), dtype=int),
        "seconds": np.zeros(len(v)),
    }
    return with_bounds(problem, mu, v, good, stats, stop, cases.note)
