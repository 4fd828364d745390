"""Problems whose matrix has a kernel (pure Neumann): loads must do no work on it, solutions have no part in it."""

from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
import scipy.linalg as sla
import scipy.sparse as sp

from nwidth.core.arrays import Array, Mask, Mu, Real
from nwidth.core.errors import InputError
from nwidth.core.solution import Solution, Status, Tolerance
from nwidth.core.validation import as_mu, batch_size, select
from nwidth.problems.base import Linear, Problem, System
from nwidth.problems.near_null import Kernel
from nwidth.solvers.base import Solver
from nwidth.solvers.structure.solver import Structured
from nwidth.spaces.base import FunctionSpace, ParameterSpace

_DEFAULT = Tolerance("residual", 1e-8)
#: `‖A k‖ / (‖A‖ ‖k‖)` beyond which a field is not in the kernel.
_IN_KERNEL = 1e-10


class KernelBasis:
    """The kernel of a problem's matrix, orthonormal `(k, N)`, with what it takes to remove it from loads and fields."""

    def __init__(self, problem: Kernel):
        given = np.atleast_2d(np.asarray(problem.kernel(), dtype=np.float64))
        if given.shape[1] != problem.space.size or np.linalg.matrix_rank(given) < len(given):
            raise InputError(
                f"{type(problem).__name__}.kernel() has shape {given.shape}; expected independent fields as dofs (k, "
                f"{problem.space.size})"
            )
        self.rows: Real = np.linalg.qr(given.T)[0].T
        weighted = problem.space.inner("mass").apply(self.rows)
        self._means = np.linalg.solve(weighted @ self.rows.T, weighted)

    def of(self, r: Array) -> Array:
        """The part of vectors `(B, N)` in the kernel, by the Euclidean product."""
        return (r @ self.rows.T) @ self.rows

    def without_mean(self, v: Array) -> Array:
        """Fields `(B, N)` moved along the kernel until they have no mean against it, by the L² product."""
        return v - (v @ self._means.T) @ self.rows

    def pins(self) -> Array:
        """k dofs that hold every field of the kernel: where all of them vanish, it does."""
        return np.sort(sla.qr(self.rows, mode="r", pivoting=True)[1][: len(self.rows)])

    def check(self, matrix: sp.csr_array, free: Mask) -> None:
        """Raises InputError where the matrix does not map the kernel to zero, or a dof is prescribed."""
        if not free.all():
            raise InputError(f"{int((~free).sum())} dofs are prescribed: there is no kernel; do not inherit Kernel")
        size = float(np.abs(matrix).sum(axis=1).max()) if matrix.nnz else 0.0
        left = np.linalg.norm(matrix @ self.rows.T, axis=0)
        if (left > _IN_KERNEL * size).any():
            raise InputError(
                f"kernel(): field {int(np.argmax(left))} is not mapped to zero (relative: {left.max() / size:.1e}); "
                "with a reaction or Robin term there is no kernel: do not inherit Kernel"
            )


def unbalanced(share: Real, rows: Array) -> str:
    """What is wrong with loads that do work on the kernel; empty where none does."""
    if not len(rows):
        return ""
    return (
        f"no solution for {len(rows)} of {len(share)} samples (rows {', '.join(map(str, rows[:5]))}): the load does "
        f"work on the kernel of the matrix, {share[rows].max():.1e} of its norm; subtract its mean (its resultant)"
    )


class _Pinned(Linear):
    """The same systems with a few more dofs held at zero: regular where the original has that kernel."""

    def __init__(self, problem: Kernel, basis: KernelBasis):
        self._problem, self._basis, self._pins = problem, basis, basis.pins()

    @property
    def parameters(self) -> ParameterSpace:
        return self._problem.parameters

    @property
    def space(self) -> FunctionSpace:
        return self._problem.space

    def assemble(self, mu: Mu) -> System:
        system = self._problem.assemble(mu)
        self._basis.check(sp.csr_array(system.matrix), system.free)
        free = system.free.copy()
        free[self._pins] = False
        load = system.load - self._basis.of(system.load[None])[0]
        return System(system.matrix, load, free, np.zeros_like(system.lift))


class GroundedState(NamedTuple):
    """The problem, its kernel, and the base solver's state for the problem with pinned dofs."""

    problem: Kernel
    basis: KernelBasis
    base: Any


@dataclass(frozen=True)
class Grounded(Solver):
    """Solves problems with a kernel by holding as many dofs as it has dimensions; `base` does the rest.

    For a load that does no work on the kernel this is exact: the held dofs carry no reaction. The solution returned has
    no mean against the kernel (L²). A load that does work on it has no solution: the status SINGULAR, with the rows and
    the size of the offence in `Solution.note`. The residual is that of all equations, the held ones included.
    """

    base: Solver = field(default_factory=Structured)

    def prepare(self, problem: Problem) -> GroundedState:
        """The state to hand to `solve`. Raises InputError without the capability Kernel."""
        if not isinstance(problem, Kernel):
            raise InputError(
                f"{type(problem).__name__} has no kernel; inherit Kernel (kernel), or choose another solver"
            )
        basis = KernelBasis(problem)
        return GroundedState(problem, basis, self.base.prepare(_Pinned(problem, basis)))

    def solve(self, state: GroundedState, mu: Mu, x0: Array | None = None, stop: Tolerance | None = None) -> Solution:
        """Solutions `(B, *shape)`. Raises InputError where the matrix does not have the kernel, and for an energy
        tolerance: in the energy norm only differences along the kernel's complement would count."""
        begin, stop = perf_counter(), stop or _DEFAULT
        if stop.kind != "residual":
            raise InputError("a problem with a kernel has no stability constant; use Tolerance('residual', ...)")
        mu = as_mu(mu, state.problem.parameters.names)
        solution = self.base.solve(state.base, mu, None, stop)
        space = state.problem.space
        fields = state.basis.without_mean(space.flatten(solution.field)) if len(solution.field) else solution.field
        share, residual = _measures(state, mu, fields.reshape(len(fields), space.size))
        status = np.where(solution.converged & ~(residual <= stop.value), Status.FAILED, solution.status)
        bad = np.flatnonzero(share > stop.value)
        status[bad], fields[bad] = Status.SINGULAR, np.nan
        stats = {**solution.stats, "residual": residual}
        if "seconds" in stats:
            stats["seconds"] = np.full(len(fields), (perf_counter() - begin) / max(len(fields), 1))
        said = [f"kernel of dimension {len(state.basis.rows)} held, {solution.note}", unbalanced(share, bad)]
        return Solution(fields.reshape(solution.field.shape), status, stats, "; ".join(filter(None, said)))


def _measures(state: GroundedState, mu: Mu, fields: Array) -> tuple[Real, Real]:
    """The share of each load that does work on the kernel, and the true relative residuals, each `(B,)`."""
    share, residual = np.zeros(len(fields)), np.zeros(len(fields))
    for i in range(batch_size(mu)):
        system = state.problem.assemble(select(mu, slice(i, i + 1)))
        size = np.linalg.norm(system.load) or 1.0
        share[i] = np.linalg.norm(state.basis.of(system.load[None])) / size
        residual[i] = np.linalg.norm(system.load - system.matrix @ (fields[i] - system.lift)) / size
    return share, residual
