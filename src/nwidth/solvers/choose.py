"""`solve`: the one way to solve a problem; the solver follows from the problem's capabilities."""

from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

from nwidth.core.arrays import Array, Mu
from nwidth.core.errors import InputError
from nwidth.core.solution import Solution, Status, Tolerance
from nwidth.core.validation import as_mu, batch_size, check_batched
from nwidth.problems.base import BlackBox, Diffusive, Evolution, Linear, Problem, is_coercive
from nwidth.problems.evolution import LinearEvolution, Semilinear
from nwidth.problems.fixed_pattern import FixedPattern
from nwidth.problems.near_null import Kernel
from nwidth.solvers.base import Solver
from nwidth.solvers.etdrk4 import ETDRK4
from nwidth.solvers.implicit import CrankNicolson
from nwidth.solvers.kernel import Grounded
from nwidth.solvers.ldlt import BatchedLDLT
from nwidth.solvers.multigrid import Multigrid, suits
from nwidth.solvers.riesz_cg import RieszCG
from nwidth.solvers.structure.combined import Combined
from nwidth.solvers.structure.solver import Structured
from nwidth.spaces.box import Box


@dataclass(frozen=True)
class OwnSolver(Solver):
    """Calls the problem's own `solve`: for black boxes."""

    def prepare(self, problem: Problem) -> BlackBox:
        """The problem itself. Raises InputError where it has no `solve` of its own."""
        if not isinstance(problem, BlackBox):
            raise InputError(f"{type(problem).__name__} is not a BlackBox; inherit BlackBox and implement solve(mu)")
        return problem

    def solve(self, state: Any, mu: Mu, x0: Array | None = None, stop: Tolerance | None = None) -> Solution:
        """The problem's own answer; a field that is not finite is a failed sample."""
        mu = as_mu(mu, state.parameters.names)
        begin = perf_counter()
        levels = (len(state.times),) if isinstance(state, Evolution) else ()
        shape = (*levels, *state.space.shape)
        fields = check_batched("the field returned by solve(mu)", np.asarray(state.solve(mu)), shape)
        seconds = np.full(len(fields), (perf_counter() - begin) / max(len(fields), 1))
        if len(fields) != batch_size(mu):
            raise InputError(
                f"solve(mu) returned {len(fields)} fields for {batch_size(mu)} parameters; return one each"
            )
        finite = np.isfinite(fields).reshape(len(fields), -1).all(axis=1)
        return Solution(fields, np.where(finite, Status.CONVERGED, Status.FAILED), {"seconds": seconds})


def default_solver(problem: Problem) -> Solver:
    """The solver that suits the problem's capabilities; `explain` says why."""
    return _choose(problem)[0]


def explain(problem: Problem) -> str:
    """Which solver `default_solver` picks, and the capability that decided it."""
    return _choose(problem)[1]


def _choose(problem: Problem) -> tuple[Solver, str]:
    if isinstance(problem, BlackBox):
        return OwnSolver(), "the problem brings its own solver"
    if isinstance(problem, Semilinear):
        return ETDRK4(), "semilinear in time on a torus: exponential Runge-Kutta of order 4 in Fourier space"
    if isinstance(problem, LinearEvolution):
        return CrankNicolson(), "linear in time: Crank-Nicolson with a smoothed start, one factorisation for all steps"
    if suits(problem):
        why = "nearest neighbours on a grid: multigrid inside conjugate gradients or BiCGStab"
        return _with_cases(Multigrid(), why, problem)
    if isinstance(problem, Diffusive) and is_coercive(problem):
        return RieszCG(), "diffusion on a grid: conjugate gradients with a fast transform, batched"
    if isinstance(problem, Kernel):
        return Grounded(), "a matrix with a kernel (pure Neumann): as many dofs held, the load checked"
    # in space the factors fill up, and eight at a time are too many: a gigabyte at 10,000 unknowns
    if isinstance(problem, FixedPattern) and (not is_coercive(problem) or problem.space.points().shape[-1] < 3):
        return BatchedLDLT(), "symmetric matrices of one pattern, perhaps indefinite: batched LDLᵀ, residuals checked"
    if isinstance(problem, Linear):
        return Structured(), "one sparse matrix per parameter: structure is looked for, else one factorisation each"
    raise InputError(
        f"{type(problem).__name__} offers no way to be solved; inherit Linear (implement assemble) or BlackBox "
        "(implement solve)"
    )


def _with_cases(solver: Solver, why: str, problem: Problem) -> tuple[Solver, str]:
    """Where a few scalars are all that varies, loads from a small space are looked for first."""
    if not isinstance(problem.parameters, Box):
        return solver, why
    return Combined(solver), f"{why}; load cases are combined where the matrix is fixed"


def solve(
    problem: Problem,
    mu: Mu | Array,
    solver: Solver | None = None,
    *,
    x0: Array | None = None,
    stop: Tolerance | None = None,
) -> Solution:
    """Full-order solutions of a batch of parameters, `(B, *space.shape)`, with a status for every sample.

    To solve many batches, keep the state yourself: `state = solver.prepare(problem)`, `solver.solve(state, mu)`.
    """
    chosen = solver or default_solver(problem)
    return chosen.solve(chosen.prepare(problem), as_mu(mu, problem.parameters.names), x0, stop)
