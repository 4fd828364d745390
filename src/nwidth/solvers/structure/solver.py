"""`Structured`: a solver that looks for what the matrices of a problem have in common, and uses it where it holds."""

from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np

from nwidth.bounds.residual import energy_bounds, reference_norm
from nwidth.core.arrays import Array, Mask, Mu
from nwidth.core.errors import InputError
from nwidth.core.solution import Solution, Status, Tolerance
from nwidth.core.validation import as_mu, batch_size, check_finite, select
from nwidth.problems.base import Linear, Problem, Stable
from nwidth.solvers.base import Solver
from nwidth.solvers.direct import Direct
from nwidth.solvers.structure.answers import Reference
from nwidth.solvers.structure.find import Structure, find
from nwidth.spaces.factor import SingularMatrixError

_DEFAULT = Tolerance("residual", 1e-8)


class StructuredState:
    """What the solves of one problem share, held by the caller: the structure, its factorisation, the base's state.

    The last two are made when they are first needed. For one thread at a time.
    """

    def __init__(self, problem: Linear, base: Solver):
        self.problem, self._solver = problem, base
        self._base: Any = None
        self._reference: Reference | None = None
        self.structure: Structure | None = find(problem)
        if self.structure is None:
            self._base = base.prepare(problem)

    @property
    def base(self) -> Any:
        """The state of the ordinary solver."""
        if self._base is None:
            self._base = self._solver.prepare(self.problem)
        return self._base

    def reference(self) -> Reference | None:
        """The factorised reference; None where nothing was found or the reference is singular."""
        if self._reference is None and self.structure is not None:
            backend = self._solver.backend if isinstance(self._solver, Direct) else None
            try:
                self._reference = Reference(self.structure, backend, isinstance(self.problem, Stable))
            except SingularMatrixError:
                self.structure = None
        return self._reference


@dataclass(frozen=True)
class Structured(Solver):
    """Looks at a few samples before anything is solved. A fixed matrix is factorised once; loads that are combinations
    of a few are solved once and combined; a change of low rank goes through the Woodbury formula on one factorisation.

    Every sample is compared with what was found, and the residual of its own system is recomputed; a sample for which
    the structure does not hold, or does not reach the tolerance, is solved by `base`. `Solution.note` says what was
    found and how many samples lacked it. Where nothing is found, `base` does everything. Which structure is found
    depends on the problem alone, not on the samples asked for.
    Statistics: those of Direct; `iterations` counts solves with a factorisation (0: combined).
    """

    base: Solver = field(default_factory=Direct)

    def prepare(self, problem: Problem) -> StructuredState:
        """The state to hand to `solve`. Raises InputError without the capability Linear."""
        if not isinstance(problem, Linear):
            raise InputError(
                f"{type(problem).__name__} is not Linear; inherit Linear and implement assemble(mu), or choose another "
                "solver"
            )
        return StructuredState(problem, self.base)

    def solve(self, state: StructuredState, mu: Mu, x0: Array | None = None, stop: Tolerance | None = None) -> Solution:
        """Solutions `(B, *shape)`; failures are those of `base`. Raises InputError for parameters that are not finite.

        x0 starts the samples that `base` solves.
        """
        begin = perf_counter()
        mu = as_mu(mu, state.problem.parameters.names)
        reference = state.reference() if batch_size(mu) else None
        if reference is None:
            return self.base.solve(state.base, mu, x0, stop)
        for name, values in mu.items():
            check_finite(f"parameter {name}", values)
        found = _answered(state.problem, reference, mu, stop or _DEFAULT)
        seconds = (perf_counter() - begin) / batch_size(mu)
        found.stats["seconds"][:] = seconds
        rows = np.flatnonzero(found.status != Status.CONVERGED)
        if not len(rows):
            return found
        other = self.base.solve(state.base, select(mu, rows), None if x0 is None else x0[rows], stop)
        note = f"{found.note} for {batch_size(mu) - len(rows)} of {batch_size(mu)} samples; the others: {other.note}"
        return merged(found, other, rows, seconds, note)


def _answered(problem: Linear, reference: Reference, mu: Mu, stop: Tolerance) -> Solution:
    """The samples that have the structure and reach the tolerance; all others have the status FAILED."""
    splits = reference.structure.source.splits(mu)
    rows = np.array([i for i, split in enumerate(splits) if split is not None], dtype=int)
    count, size = len(splits), problem.space.size
    dofs, residual, solves = (
        np.full((count, size), np.nan, problem.space.dtype),
        np.full(count, np.inf),
        np.zeros(count),
    )
    if len(rows):
        known = [split for split in splits if split is not None]
        answers = reference.solve(known)
        places = np.flatnonzero(reference.structure.source.free)
        for row, split, w in zip(rows, known, answers.w, strict=True):
            dofs[row] = split.lift
            dofs[row, places] += w
        residual[rows], solves[rows] = answers.residual, answers.solves
    stats = {"residual": residual, "iterations": solves.astype(int), "seconds": np.zeros(count)}
    good = residual <= (stop.value if stop.kind == "residual" else _DEFAULT.value)
    return with_bounds(problem, mu, dofs, good, stats, stop, reference.structure.note)


def with_bounds(
    problem: Linear, mu: Mu, dofs: Array, good: Mask, stats: dict[str, Array], stop: Tolerance | None, note: str
) -> Solution:
    """Fields whose residual is good, as a solution; with an energy tolerance their guaranteed bound must meet it too.

    Those that miss have the status FAILED.
    """
    if stop is not None and stop.kind == "energy":
        stats = stats | _bounds(problem, mu, dofs, good)
        good = good & (stats["bound"] <= stop.value * np.maximum(stats["norm"] - stats["bound"], 0.0))
    status = np.where(good, Status.CONVERGED, Status.FAILED)
    return Solution(dofs.reshape(len(dofs), *problem.space.shape), status, stats, note)


def _bounds(problem: Linear, mu: Mu, dofs: Array, good: Mask) -> dict[str, Array]:
    """The guaranteed bound and the energy norm of the good fields."""
    if not isinstance(problem, Stable):
        raise InputError(
            f"{type(problem).__name__} has no stability constant, so no energy error can be guaranteed; use "
            "Tolerance('residual', ...) or inherit Stable"
        )
    bound, norm = np.full(len(dofs), np.inf), np.zeros(len(dofs))
    if good.any():
        part = select(mu, good)
        systems = problem.systems(part)
        bounds = energy_bounds(systems, dofs[good], problem.space.inner("energy"), problem.constant(part))
        bound[good], norm[good] = bounds.upper, reference_norm(systems, dofs[good])
    return {"bound": bound, "norm": norm}


def merged(found: Solution, other: Solution, rows: Array, seconds: float, note: str) -> Solution:
    """The samples in `rows` replaced by another solver's; looking for the structure is part of their time."""
    fields, status = found.field, found.status
    fields[rows], status[rows] = other.field, other.status
    stats = {name: np.array(values) for name, values in found.stats.items()}
    for name, values in other.stats.items():
        column = stats.setdefault(name, np.full(len(status), np.nan))
        column[rows] = values
    stats["seconds"][rows] += seconds
    return Solution(fields, status, stats, note)
