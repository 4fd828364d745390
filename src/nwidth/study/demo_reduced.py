"""What the demo's two reduced bases have in common: fit, check on unseen cases, time against solvers, tell."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from time import perf_counter
from typing import Any, TypeAlias

import numpy as np

from nwidth.core.arrays import Array, Mask, Mu, Real
from nwidth.core.errors import WorkError
from nwidth.core.prediction import Prediction, Reduced
from nwidth.core.solution import Solution, Tolerance
from nwidth.core.storable import fingerprint
from nwidth.core.validation import select
from nwidth.online.certify import certify
from nwidth.online.wrappers import Certified
from nwidth.problems.base import Problem
from nwidth.problems.thermal_block import ThermalBlock
from nwidth.rb.galerkin import ReducedBasis
from nwidth.rb.greedy import Greedy
from nwidth.reports.model import Appendix, Curves, ProblemReport
from nwidth.solvers.base import Solver
from nwidth.study.measure import digest

#: Cases that one factorised preconditioner serves together.
TOGETHER = 32

Say: TypeAlias = Callable[[str], None]


@dataclass(frozen=True)
class ReducedDemo:
    """Sizes of a part: unseen cases to check, and the guaranteed relative energy error at which training stops."""

    resolution: int
    fresh: int = 200
    tol: float = 1e-3
    training: int = 300
    repeats: int = 3

    @property
    def greedy(self) -> Greedy:
        """The method, configured."""
        return Greedy(tol=self.tol, training=self.training)


@dataclass(frozen=True)
class Part:
    """One part of the demo: what goes into the report, and the numbers behind it."""

    report: ProblemReport
    measured: Mapping[str, Any]


@dataclass(frozen=True)
class Fit:
    """A certified reduced basis and what its preparation cost."""

    problem: Any
    surrogate: ReducedBasis
    certified: Certified
    seconds: float

    @property
    def solves(self) -> int:
        """Parameters at which the full-order problem was solved."""
        return len(np.unique(self.surrogate.history["chosen"]))

    def coefficients(self, mu: Mu) -> Real:
        """Reduced coefficients `(B, n)`."""
        values = self.surrogate.predict(mu).values
        if not isinstance(values, Reduced):
            raise TypeError(f"a reduced basis answered with a {type(values).__name__}")
        return values.coefficients

    def __str__(self) -> str:
        return f"{self.solves} solves, {self.surrogate.modes} modes"


def compile_kernels() -> float:
    """Run everything once on a tiny problem: compilation happens once per installation. Seconds that it took."""
    begin = perf_counter()
    tiny = ThermalBlock(resolution=8)
    reduced = reduce(tiny, Greedy(tol=0.1, training=5), seed=0)
    reduced.certified.predict(tiny.parameters.sample(range(2), 0))
    return perf_counter() - begin


def reduce(problem: Problem, greedy: Greedy, seed: int) -> Fit:
    """Fit and certify, timed together."""
    begin = perf_counter()
    surrogate = greedy.fit(problem=problem, seed=seed)
    certified = certify(surrogate, problem)
    return Fit(problem, surrogate, certified, perf_counter() - begin)


class Prepared:
    """A solver with its state for one problem, so that preparation is not timed again and again."""

    def __init__(self, solver: Solver, problem: Problem, stop: Tolerance | None = None):
        self.solver, self.problem, self.stop = solver, problem, stop
        self.state = solver.prepare(problem)

    def __call__(self, mu: Mu, x0: Array | None = None) -> Solution:
        """Solutions, started from the fields x0. Raises WorkError where one did not converge."""
        solution = self.solver.solve(self.state, mu, x0, self.stop)
        if not solution.converged.all():
            raise WorkError(
                f"{type(self.solver).__name__} did not converge for {int((~solution.converged).sum())} of "
                f"{len(solution.status)} cases; the comparison needs all of them"
            )
        return solution


@dataclass(frozen=True)
class Check:
    """Answers on unseen cases beside reference solutions (dofs `(B, N)`); errors of the outputs name -> `(B,)`."""

    problem: Any
    mu: Mu
    prediction: Prediction
    reference: Array
    energy_error: Real
    energy_norm: Real
    errors: Mapping[str, Real]
    seconds: float

    @cached_property
    def outside(self) -> dict[str, Mask]:
        """Where an error exceeds its limit: output by output, and the field in the energy norm."""
        missed = {name: ~(e <= self.prediction.outputs[name].limit) for name, e in self.errors.items()}
        return missed | {"field": ~(self.energy_error <= self.prediction.bound)}

    @property
    def violations(self) -> int:
        """All misses together."""
        return sum(int(m.sum()) for m in self.outside.values())

    @property
    def largest_error(self) -> float:
        """Over all outputs."""
        return max(float(e.max()) for e in self.errors.values())


def check(reduced: Fit, solve: Prepared, count: int, seed: int) -> Check:
    """Compare `count` unseen cases with a full-order solver that starts from nothing."""
    problem = reduced.problem
    mu = problem.parameters.sample(range(count), seed)
    begin = perf_counter()
    solution = solve(mu)
    seconds = perf_counter() - begin
    prediction = reduced.certified.predict(mu)
    reference = problem.space.flatten(solution.field)
    error = reference - problem.space.flatten(prediction.field)
    return Check(
        problem=problem,
        mu=mu,
        prediction=prediction,
        reference=reference,
        energy_error=energies(problem, mu, error),
        energy_norm=energies(problem, mu, reference - problem.terms().lift),
        errors=output_errors(problem, reference, {k: o.values for k, o in prediction.outputs.items()}),
        seconds=seconds,
    )


def outputs_of(problem: Any, dofs: Array) -> dict[str, Real]:
    """Quantities of interest of full fields `(B, N)`."""
    return {name: dofs @ q.functional + q.offset for name, q in problem.quantities().items()}


def output_errors(problem: Any, reference: Array, values: Mapping[str, Real]) -> dict[str, Real]:
    """Absolute errors of given output values."""
    return {name: np.abs(exact - values[name]) for name, exact in outputs_of(problem, reference).items()}


def energies(problem: Any, mu: Mu, dofs: Array, piece: int = 50) -> Real:
    """`‖v‖_A(mu)` of dofs that vanish where values are prescribed, `(B,)`."""
    parts = []
    for first in range(0, len(dofs), piece):
        rows = slice(first, first + piece)
        parts.append(np.sqrt(np.maximum(problem.systems(select(mu, rows)).energy(dofs[rows]), 0.0)))
    return np.concatenate(parts)


def singular_values(reduced: Fit, samples: int, seed: int) -> Real:
    """Singular values of many solutions in the energy inner product, relative to the first: how they decay is how
    small a basis can be. Solutions are taken from the reduced basis, whose coordinates carry them exactly."""
    mu = reduced.problem.parameters.sample(range(samples), seed)
    sigma = np.linalg.svd(reduced.coefficients(mu), compute_uv=False)
    return sigma / sigma[0]


def appendix(reduced: Fit, greedy: Greedy, checked: Check, seed: int) -> Appendix:
    """The n-width picture, the greedy algorithm's bound, configuration and hashes."""
    sigma = singular_values(reduced, 1000, seed)
    bound = reduced.surrogate.history["bound"]
    size = np.linspace(0, reduced.surrogate.modes, len(bound)).astype(int)
    charts = (
        Curves("Singular values of 1,000 answers (the n-width picture)", "index n", "relative to the first",
               {"singular values": (np.arange(1, len(sigma) + 1), sigma)}),
        Curves("Largest limit on the training set", "modes n", "relative energy error",
               {"limit": (size[1:], bound[1:])}),
    )  # fmt: skip
    configuration = {
        "problem": repr(reduced.problem),
        "method": repr(greedy),
        "modes": str(reduced.surrogate.modes),
        "full-order solves": str(reduced.solves),
        "unknowns": f"{reduced.problem.space.size:,}",
        "seed": str(seed),
    }
    hashes = {
        "certified surrogate": fingerprint(reduced.certified),
        "unseen cases (parameters)": digest(*checked.mu.values()),
        "reference solutions": digest(checked.reference.astype(np.float32)),
    }
    return Appendix(charts, configuration, hashes)
