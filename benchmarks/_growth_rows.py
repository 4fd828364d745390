"""How the iterations grow with the difficulty of the coefficient, and what happens beyond."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from _contestants import RTOL
from _harness import Row

from nwidth.core.arrays import Mu, Real
from nwidth.core.solution import Status, Tolerance
from nwidth.core.validation import batch_size, select
from nwidth.problems.base import Linear
from nwidth.problems.darcy import Darcy
from nwidth.solvers.choose import default_solver
from nwidth.spaces.factor import restricted


@dataclass(frozen=True)
class Runs:
    """Iterations, status and true relative residuals of a few samples, `(B,)` each."""

    iterations: Real
    status: Real
    residuals: Real

    @property
    def median(self) -> float:
        """The median of the iterations; a sample that was not solved counts as infinitely many."""
        solved = (self.status == Status.CONVERGED) & (self.residuals <= 1.01 * RTOL)
        return float(np.median(np.where(solved, self.iterations, np.inf)))

    def detail(self) -> dict[str, Any]:
        """What the row keeps."""
        return {
            "iterations": np.asarray(self.iterations).tolist(),
            "status": [Status(code).name.lower() for code in self.status],
            "most": float(np.max(self.iterations)),
            "failed": int((self.status != Status.CONVERGED).sum()),
            "largest_residual": float(np.max(self.residuals)),
        }


def solved(problem: Linear, mu: Mu) -> Runs:
    """The samples solved as generation would, each residual recomputed from the assembled matrix."""
    solver = default_solver(problem)
    answer = solver.solve(solver.prepare(problem), mu, stop=Tolerance("residual", RTOL))
    dofs = problem.space.flatten(answer.field)
    residuals = [_residual(problem, select(mu, slice(i, i + 1)), dofs[i]) for i in range(batch_size(mu))]
    return Runs(np.asarray(answer.stats["iterations"]), np.asarray(answer.status), np.array(residuals))


def _residual(problem: Linear, mu: Mu, v: Real) -> float:
    system = problem.assemble(mu)
    matrix, load = restricted(sp.csr_array(system.matrix), system.free), system.load[system.free]
    r = load - matrix @ (v - system.lift)[system.free]
    return float(np.linalg.norm(r) / np.linalg.norm(load))


@dataclass(frozen=True)
class Difficulty:
    """A harder problem, and how many times the iterations of contrast 4 it may take in the median (or how many in all).

    At contrast 1e6 the residual of a few samples cannot fall below 1e-8 in float64: rounding the solution alone leaves
    more (3e-8 for large inclusions that touch no boundary). They are typed failures, and `failed` counts them.
    """

    name: str
    problem: Darcy
    target: float
    in_all: bool = False
    contrast: float | None = None

    def sample(self, count: int, seed: int) -> Mu:
        """Its parameters; where a contrast is set, every field is brought to exactly that one."""
        a = self.problem.parameters.sample(range(count), seed)["a"]
        if self.contrast is None:
            return {"a": a}
        g = np.log(a)
        low, high = (getattr(g, name)(axis=(1, 2), keepdims=True) for name in ("min", "max"))
        return {"a": np.exp((g - low) / (high - low) * np.log(self.contrast))}


def rows(quick: bool, seed: int) -> list[Row]:
    """One row for each difficulty, and one for what lies beyond all of them."""
    n, count = (32, 3) if quick else (128, 16)
    base = solved(Darcy(n), Darcy(n).parameters.sample(range(count), seed))
    two = {"low": 1.0, "high": 1e6}
    cases = (
        Difficulty("log-normal, contrast 1e4", Darcy(n, law="log-normal"), 1.5, contrast=1e4),
        Difficulty("two-valued 1e6, tau 3", Darcy(n, **two), 2.5),
        Difficulty("two-valued 1e6, tau 30", Darcy(n, tau=30.0, **two), 60, in_all=True),
        Difficulty("aligned anisotropy 1e3", Darcy(n, lengths=(1.0, np.sqrt(1e3))), 1.5),
    )
    found = [Row(f"{n}², contrast 4: iterations", base.median, detail=base.detail())]
    for case in cases:
        runs = solved(case.problem, case.sample(count, seed))
        detail = {**runs.detail(), "contrast_4": base.median}
        if case.in_all:
            found.append(Row(f"{n}², {case.name}: iterations in all", runs.median, "", case.target, "<=", detail))
            found.append(Row(f"{n}², {case.name}: most iterations", detail["most"]))
        else:
            ratio = runs.median / base.median
            found.append(Row(f"{n}², {case.name}: iterations / contrast 4", ratio, "x", case.target, "<=", detail))
    return [*found, _beyond(n, count, seed)]


def _beyond(n: int, count: int, seed: int) -> Row:
    """Contrast 1e14 on a field of the grid's own scale: solved or a typed failure, never a wrong answer as if right."""
    problem = Darcy(n, tau=100.0, low=1.0, high=1e14)
    runs = solved(problem, problem.parameters.sample(range(count), seed))
    silent = (runs.status == Status.CONVERGED) & ~(runs.residuals <= 1.01 * RTOL)
    name = f"{n}², two-valued 1e14, tau 100: wrong answers called converged"
    return Row(name, float(silent.sum()), "", 0, "==", runs.detail())
