"""Conjugate gradients with algebraic multigrid (pyamg): for large meshes, where factors would not fit.

Smoothed aggregation builds its coarse spaces from the fields that the operator hardly resists: constants, or the rigid
motions of elasticity (Vaněk, Mandel and Brezina, Computing 56 (1996) 179). Needs the extra `mesh`.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Literal, NamedTuple

import numpy as np
import pyamg
import scipy.sparse as sp

from nwidth.core.arrays import Array, Mu, Real
from nwidth.core.errors import InputError
from nwidth.core.solution import Solution, Status, Tolerance
from nwidth.core.validation import as_mu, batch_size, check_choice, check_finite, select
from nwidth.problems.base import Linear, Problem, System
from nwidth.problems.near_null import Kernel, NearNull
from nwidth.solvers.base import Solver
from nwidth.solvers.kernel import KernelBasis, unbalanced
from nwidth.spaces.factor import restricted

_DEFAULT = Tolerance("residual", 1e-8)
#: The recursive residual stops here, so that the recomputed one meets the tolerance; then it is recomputed.
_MARGIN, _RESTARTS = 0.5, 4
_COARSEST = 200
#: Entries of a matrix and its transpose that differ by less than this, relative to the largest, count as equal.
_SYMMETRY = 1e-12

Method = Literal["auto", "smoothed aggregation", "ruge-stuben"]


@dataclass(frozen=True)
class Iterated(Solution):
    """A solution with the relative residual of every step of every sample, for a look at what did not converge."""

    histories: tuple[Real, ...] = ()


class _Hierarchy(NamedTuple):
    """The coarse spaces of one matrix, which is kept beside them: they answer for that matrix alone."""

    matrix: sp.csr_array
    apply: Callable[[Array], Array]


class AMGState:
    """What the solves of one problem share, held by the caller: near-null fields, kernel, the last hierarchy."""

    def __init__(self, problem: Linear, method: Method):
        self.problem, self._method = problem, method
        self.modes = problem.near_null() if isinstance(problem, NearNull) else None
        self.kernel = KernelBasis(problem) if isinstance(problem, Kernel) else None
        shape = problem.space.shape
        self._components = shape[0] if len(problem.space.components) > 1 else 1
        self._hierarchy: _Hierarchy | None = None

    @property
    def method(self) -> str:
        """Ruge-Stüben for scalar fields without modes of their own, smoothed aggregation for all others."""
        if self._method != "auto":
            return self._method
        return "ruge-stuben" if self._components == 1 and self.modes is None else "smoothed aggregation"

    def preconditioner(self, matrix: sp.csr_array, system: System) -> Callable[[Array], Array]:
        """One cycle for a matrix on the free dofs. The last hierarchy serves again where the matrix is the same, entry
        for entry."""
        if self._hierarchy is None or not _equal(self._hierarchy.matrix, matrix):
            ours = matrix.copy()
            self._hierarchy = _Hierarchy(ours, self._build(ours, system))
        return self._hierarchy.apply

    def _build(self, matrix: sp.csr_array, system: System) -> Callable[[Array], Array]:
        with _same_random_numbers():
            if self.method == "ruge-stuben":
                solver = pyamg.ruge_stuben_solver(sp.csr_matrix(matrix), max_coarse=_COARSEST, coarse_solver="pinv")
                return _cycle(solver)
            return self._aggregated(matrix, system)

    def _aggregated(self, matrix: sp.csr_array, system: System) -> Callable[[Array], Array]:
        """Smoothed aggregation node by node: all components of a node go to the same aggregate."""
        count, free = self._components, system.free
        nodes = len(free) // count
        held = np.flatnonzero(free.reshape(count, nodes).any(axis=0))
        place = np.full(len(free), -1)
        place[(held + nodes * np.arange(count)[:, None]).T.ravel()] = np.arange(len(held) * count)
        place = place[free]  # of each free dof among the nodes' dofs, node by node
        coo, size = matrix.tocoo(), len(held) * count
        rows, columns = place[coo.row], place[coo.col]
        alone = np.setdiff1d(np.arange(size), place)  # a prescribed component of a node that moves otherwise
        scale = np.full(len(alone), float(np.abs(matrix.diagonal()).max()))
        entries = np.concatenate([coo.data, scale])
        whole = sp.coo_matrix(
            (entries, (np.concatenate([rows, alone]), np.concatenate([columns, alone]))), shape=(size, size)
        )
        modes = np.ones((1, len(free))) if self.modes is None else self.modes
        candidates = np.zeros((size, len(modes)))
        candidates[place] = modes[:, free].T
        solver = pyamg.smoothed_aggregation_solver(
            whole.tobsr((count, count)) if count > 1 else whole.tocsr(),
            B=candidates,
            strength=("symmetric", {"theta": 0.0 if count > 1 else 0.08}),
            max_coarse=_COARSEST,
            coarse_solver="pinv",
        )
        cycle = _cycle(solver)

        def apply(r: Array) -> Array:
            full = np.zeros(size)
            full[place] = r
            return cycle(full)[place]

        return apply


@dataclass(frozen=True)
class AMG(Solver):
    """Conjugate gradients preconditioned by one V-cycle of algebraic multigrid, for symmetric positive definite
    matrices and for semidefinite ones whose kernel the problem knows (`Kernel`).

    `method`: 'smoothed aggregation' (with the problem's `near_null` fields, else constants), 'ruge-stuben', or 'auto':
    the former for vector fields and problems with `NearNull`, the latter for other scalar ones. A new matrix gets a new
    hierarchy; the same matrix again uses the last one. The default tolerance is a relative residual of 1e-8, recomputed
    at the end. Statuses: MAX_ITERATIONS, BREAKDOWN for a matrix that turns out not to be positive, SINGULAR for a load
    that does work on the kernel; the answer is an `Iterated` with the residuals of every step. Statistics: `residual`,
    `iterations`, `seconds`.
    """

    method: Method = "auto"
    max_iterations: int = 200

    def __post_init__(self) -> None:
        check_choice("method", self.method, ("auto", "smoothed aggregation", "ruge-stuben"))
        if self.max_iterations < 1:
            raise InputError(f"max_iterations is {self.max_iterations}; give at least 1")

    def prepare(self, problem: Problem) -> AMGState:
        """The state to hand to `solve`. Raises InputError without the capability Linear."""
        if not isinstance(problem, Linear):
            raise InputError(f"{type(problem).__name__} is not Linear; inherit Linear and implement assemble(mu)")
        return AMGState(problem, self.method)

    def solve(self, state: AMGState, mu: Mu, x0: Array | None = None, stop: Tolerance | None = None) -> Iterated:
        """Solutions `(B, *shape)`, started from `x0`. Raises InputError for parameters that are not finite, or a matrix
        that is not symmetric (use Direct)."""
        stop, space = stop or _DEFAULT, state.problem.space
        if stop.kind != "residual":
            raise InputError("AMG stops on residuals; use Tolerance('residual', ...), or Direct for an energy bound")
        mu = as_mu(mu, state.problem.parameters.names)
        for name, values in mu.items():
            if len(values):
                check_finite(f"parameter {name}", values)
        starts = None if x0 is None else space.flatten(x0)
        rows = [
            self._sample(state, select(mu, slice(i, i + 1)), None if starts is None else starts[i], stop.value)
            for i in range(batch_size(mu))
        ]
        share = np.array([row.share for row in rows])
        said = [f"{state.method} (pyamg)", unbalanced(share, np.flatnonzero(share > stop.value)), *_failures(rows)]
        return Iterated(
            field=np.array([row.v for row in rows]).reshape(len(rows), *space.shape),
            status=np.array([int(row.status) for row in rows], dtype=int),
            stats={
                "residual": np.array([row.residual for row in rows]),
                "iterations": np.array([row.iterations for row in rows], dtype=int),
                "seconds": np.array([row.seconds for row in rows]),
            },
            note="; ".join(filter(None, said)),
            histories=tuple(row.history for row in rows),
        )

    def _sample(self, state: AMGState, mu: Mu, start: Array | None, tolerance: float) -> "_Row":
        begin = perf_counter()
        system = state.problem.assemble(mu)
        matrix, load = _checked(system, mu)
        share, v = 0.0, system.lift.astype(np.float64)
        if state.kernel is not None:
            state.kernel.check(matrix, system.free)
            inside = state.kernel.of(load[None])[0]
            share = float(np.linalg.norm(inside) / (np.linalg.norm(load) or 1.0))
        if share > tolerance:
            return _Row(np.full_like(v, np.nan), Status.SINGULAR, np.inf, 0, perf_counter() - begin, np.empty(0), share)
        w = np.zeros(len(load)) if start is None else (start - system.lift)[system.free]
        try:
            cycle = state.preconditioner(matrix, system)
        except (ValueError, ZeroDivisionError, np.linalg.LinAlgError) as error:
            raise InputError(f"pyamg cannot coarsen this matrix ({error}); use Direct") from error
        project = None if state.kernel is None else state.kernel.of
        w, status, history = _conjugate_gradients(matrix, load, w, cycle, project, tolerance, self.max_iterations)
        v[system.free] += w
        if state.kernel is not None:
            v = state.kernel.without_mean(v[None])[0]
        residual = float(np.linalg.norm(load - matrix @ (v - system.lift)[system.free]) / (np.linalg.norm(load) or 1.0))
        if status == Status.CONVERGED and not residual <= tolerance:
            status = Status.MAX_ITERATIONS
        return _Row(v, status, residual, len(history) - 1, perf_counter() - begin, history, share)


class _Row(NamedTuple):
    """One sample: dofs, how it ended, the recomputed residual, its history, the share of the load on the kernel."""

    v: Array
    status: Status
    residual: float
    iterations: int
    seconds: float
    history: Real
    share: float


def _failures(rows: list[_Row]) -> list[str]:
    """How the first samples that did not converge came to it."""
    failed = [(i, row) for i, row in enumerate(rows) if row.status != Status.CONVERGED and len(row.history)]
    said = []
    for i, row in failed[:3]:
        shown = ", ".join(f"{r:.1e}" for r in row.history[:: max(1, len(row.history) // 6)])
        said.append(f"sample {i}: {row.status.name.lower()}, residuals {shown}")
    return said


def _conjugate_gradients(
    matrix: sp.csr_array,
    load: Array,
    w: Array,
    cycle: Callable[[Array], Array],
    kernel: Callable[[Array], Array] | None,
    tolerance: float,
    limit: int,
) -> tuple[Array, Status, Real]:
    """The solution, how it ended, and the relative residual before each step and at the end."""

    def project(r: Array) -> Array:
        return r if kernel is None else r - kernel(r[None])[0]

    size = float(np.linalg.norm(load)) or 1.0
    history: list[float] = []
    for _ in range(_RESTARTS):
        r = project(load - matrix @ w)
        history = [*history[:-1], float(np.linalg.norm(r)) / size]
        if history[-1] <= tolerance:
            return w, Status.CONVERGED, np.array(history)
        z = project(cycle(r))
        p, rho = z, float(r @ z)
        while len(history) <= limit and history[-1] > _MARGIN * tolerance:
            q = matrix @ p
            curvature = float(p @ q)
            if not (curvature > 0 and rho > 0 and np.isfinite(curvature) and np.isfinite(rho)):
                return w, Status.BREAKDOWN, np.array(history)
            w = w + rho / curvature * p
            r = project(r - rho / curvature * q)
            history.append(float(np.linalg.norm(r)) / size)
            z = project(cycle(r))
            rho, before = float(r @ z), rho
            p = z + rho / before * p
        if len(history) > limit:
            break
    return w, Status.MAX_ITERATIONS, np.array(history)


def _checked(system: System, mu: Mu) -> tuple[sp.csr_array, Array]:
    """Matrix and load on the free dofs. Raises InputError where they are not finite or the matrix not symmetric."""
    matrix = restricted(sp.csr_array(system.matrix), system.free)
    load = system.load[system.free]
    if not (np.isfinite(matrix.data).all() and np.isfinite(load).all()):
        raise InputError(f"the matrix or load at {dict(mu)} holds values that are not finite; check the coefficients")
    if np.iscomplexobj(matrix.data) or _skew(matrix) > _SYMMETRY:
        raise InputError("AMG is for real symmetric matrices; use Direct for this one")
    return matrix, load


def _skew(matrix: sp.csr_array) -> float:
    """How far a matrix is from its transpose, relative to its largest entry; a zero may be stored on one side only."""
    difference = np.abs((matrix - matrix.T).data).max(initial=0.0)
    return float(difference / (np.abs(matrix.data).max(initial=0.0) or 1.0))


def _equal(one: sp.csr_array, other: sp.csr_array) -> bool:
    return one.shape == other.shape and all(
        np.array_equal(getattr(one, part), getattr(other, part)) for part in ("indptr", "indices", "data")
    )


def _cycle(solver: Any) -> Callable[[Array], Array]:
    """One V-cycle from zero: linear and symmetric, since the smoothers are."""
    operator = solver.aspreconditioner(cycle="V")
    return lambda r: np.asarray(operator.matvec(r)).ravel()


@contextmanager
def _same_random_numbers() -> Iterator[None]:
    """pyamg estimates eigenvalues from NumPy's global random numbers: fixed here, and given back as they were."""
    state = np.random.get_state()
    np.random.seed(0)
    try:
        yield
    finally:
        np.random.set_state(state)
