"""The weak greedy algorithm: solve where the bound is largest, until it is small everywhere on a training set."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from nwidth.core.arrays import Array, Real
from nwidth.core.errors import InputError, WorkError
from nwidth.core.validation import as_mu, batch_size, check_choice, select
from nwidth.problems.base import Affine, Problem, Stable
from nwidth.rb.batched import primal, solve
from nwidth.rb.galerkin import ReducedBasis, quantities_of
from nwidth.rb.model import ReducedModel, stacked
from nwidth.rb.orthonormal import extension
from nwidth.rb.products import fast
from nwidth.rb.progress import greedy_bar
from nwidth.rb.residual import ResidualBuilder
from nwidth.rb.threads import threads
from nwidth.snapshots.base import Snapshots
from nwidth.solvers.direct import Direct
from nwidth.spaces.base import InnerProduct
from nwidth.surrogates.base import Fitter, Run

#: New parts of a snapshot below this share of it are rounding.
_DROP = 1e-11


@dataclass(frozen=True)
class Greedy(Fitter):
    """A reduced basis for an affine problem, certified where the problem knows its stability constant.

    tol: the bound that must be met on the whole training set; None stops at `max_size` only.
    error: "relative" to the energy norm of the reduced solution, Δ / (‖u_N‖_A - Δ); "absolute", Δ itself; or "space",
    the bound in the norm of the space, ‖u - u_N‖_X <= ‖r‖_{X⁻¹} / α.
    max_size: the largest number of modes.
    training: how many parameters are drawn from the problem's set, or a mapping name -> `(B,)` of your own.
    loads: "each" solves every load of a chosen parameter on its own, so that an output whose functional is a load has
    an error of second order; "sum" solves the one right-hand side at that parameter, with fewer modes.

    Each step evaluates the bound for the whole training set at once, solves at the worst parameter, and extends the
    basis (orthonormal in the energy inner product) and the residual's basis. Reference: Quarteroni, Manzoni and Negri
    (2016), section 7.1; the residual: `nwidth.rb.residual`.
    """

    tol: float | None = 1e-5
    max_size: int = 100
    training: int | Mapping[str, Any] = 300
    loads: str = "each"
    error: str = "relative"

    def __post_init__(self) -> None:
        check_choice("loads", self.loads, ("each", "sum"))
        check_choice("error", self.error, ("relative", "absolute", "space"))
        if self.tol is not None and not self.tol > 0:
            raise InputError(f"tol is {self.tol}; give a number above zero, or None to stop at max_size")
        if self.max_size < 1 or (isinstance(self.training, int) and self.training < 1):
            raise InputError(f"max_size is {self.max_size}, training {self.training}; both must be at least 1")

    def fit(
        self,
        snapshots: Snapshots | None = None,
        problem: Problem | None = None,
        *,
        seed: int = 0,
        run: Run = Run(),
    ) -> ReducedBasis:
        """The reduced basis. Snapshots, where given, only provide the training parameters: the greedy loop solves for
        itself.

        Raises InputError for a problem that is not Affine, WorkError where `tol` is missed with `max_size` modes or out
        of reach of rounding.
        """
        if not isinstance(problem, Affine):
            raise InputError(
                f"the greedy algorithm needs an Affine problem, got {type(problem).__name__}: inherit Affine (terms, "
                "coefficients) and pass it, Greedy(...).fit(problem=problem)"
            )
        mu = self._training_set(snapshots, problem, seed)
        with threads(run.threads), greedy_bar(run.progress, self.max_size) as show:
            search = _Search(problem, mu, self)
            while search.step():
                show(len(search.basis), search.bounds[-1])
            return search.result()

    def _training_set(self, snapshots: Snapshots | None, problem: Affine, seed: int) -> dict[str, Array]:
        if snapshots is not None:
            return as_mu({name: np.asarray(values) for name, values in snapshots.mu.items()}, problem.parameters.names)
        if isinstance(self.training, int):
            return problem.parameters.sample(range(self.training), seed)
        return as_mu(self.training, problem.parameters.names)


class _Search:
    """The state of one greedy loop."""

    def __init__(self, problem: Affine, mu: Mapping[str, Array], config: Greedy):
        self.problem, self.mu, self.config = problem, mu, config
        self.inner: InnerProduct = fast(problem.space.inner("energy"))
        self.terms, self.quantities = problem.terms(), quantities_of(problem)
        size = len(self.terms.lift)
        self.functionals = stacked(self.quantities, size)
        if self._new > config.max_size:
            raise InputError(
                f"max_size is {config.max_size}, and one step solves {self._new} loads; raise max_size, or solve their "
                "sum with loads='sum'"
            )
        self.residual = ResidualBuilder(self.terms, self.functionals, self.inner, config.max_size)
        self.model = ReducedModel.empty(self.terms, self.quantities)
        # memory is taken from the system only where something is written
        self._memory, self.basis = np.empty((config.max_size, size)), np.zeros((0, size))
        self.solver = Direct()
        self.state = self.solver.prepare(problem)
        self.theta, self.phi = _cases(*problem.coefficients(mu), config.loads)
        lower = problem.constant(mu).lower if isinstance(problem, Stable) else np.ones(batch_size(mu))
        lower = np.repeat(lower, len(self.theta) // len(lower))
        self.root = lower if config.error == "space" else np.sqrt(lower)
        self.bounds: list[float] = []
        self.chosen: list[int] = []

    def step(self) -> bool:
        """One step; False when the loop has ended. Raises WorkError where it cannot go on."""
        estimates = self._estimates()
        per_sample = estimates.reshape(batch_size(self.mu), -1).max(axis=1)
        worst = int(np.argmax(per_sample))
        self.bounds.append(float(per_sample[worst]))
        tol = self.config.tol
        if len(self.basis) and tol is not None and per_sample[worst] <= tol:
            return False
        if len(self.basis) + self._new > self.config.max_size:
            return self._full()
        return self._extend(worst) or self._stuck()

    @property
    def _new(self) -> int:
        """Modes that one step can add."""
        return len(self.terms.loads) if self.config.loads == "each" else 1

    def _estimates(self) -> Real:
        """The bound for every training parameter and case; without a basis, the size of the load."""
        residual = self.residual.model(certified=False)
        if not len(self.basis):
            none = np.zeros((len(self.theta), 0))
            norm, noise = primal(self.theta, self.phi, none, residual.rows, residual.weights, residual.fixed)
            return (norm + noise) / self.root
        coefficients = solve(self.theta, self.phi, self.model.packed, self.model.loads)
        norm, noise = primal(self.theta, self.phi, coefficients, residual.rows, residual.weights, residual.fixed)
        bound = (norm + noise) / self.root
        if self.config.error != "relative":
            return bound
        energy = np.sqrt(np.maximum(np.einsum("bn,bq,qn->b", coefficients, self.phi, self.model.loads), 0.0))
        rest = energy - bound
        return np.where(rest > 0, bound / np.where(rest > 0, rest, 1.0), np.where(energy + bound > 0, np.inf, 0.0))

    def _extend(self, worst: int) -> bool:
        """Solve at a training parameter and take what is new; False where nothing is."""
        point = select(self.mu, slice(worst, worst + 1))
        cases = self.solver.load_cases(self.state, point)[0]
        if self.config.loads == "sum":
            cases = self.problem.coefficients(point)[1] @ cases
        added, new = extension(self.basis, cases, self.inner, _DROP)
        if not len(added):
            return False
        fresh = self._keep(added)
        applied = self.residual.applied(fresh)
        self.model = self.model.extended(self.terms, self.functionals, self.basis, applied)
        self.residual.add(fresh, np.sort(new)[::-1][: len(fresh)], applied)
        self.chosen.append(worst)
        return True

    def _keep(self, added: Real) -> Real:
        """Append modes to the basis; they are one array from here on."""
        first = len(self.basis)
        self.basis = self._memory[: first + len(added)]
        self.basis[first:] = added
        return self.basis[first:]

    def _full(self) -> bool:
        tol = self.config.tol
        if tol is not None:
            raise WorkError(
                f"the bound on the training set is {self.bounds[-1]:.2e} with {len(self.basis)} modes and misses tol = "
                f"{tol:g}; raise max_size (now {self.config.max_size}) or tol"
            )
        return False

    def _stuck(self) -> bool:
        tol = self.config.tol
        if tol is not None:
            raise WorkError(
                f"the bound on the training set stays at {self.bounds[-1]:.2e} with {len(self.basis)} modes: the worst "
                f"parameter is represented to rounding, and tol = {tol:g} is out of reach; raise tol"
            )
        return False

    def result(self) -> ReducedBasis:
        """The surrogate, with the residual's rounding bounds computed."""
        history = {"bound": np.array(self.bounds), "chosen": np.array(self.chosen)}
        history |= {f"mu.{name}": values for name, values in select(self.mu, np.array(self.chosen)).items()}
        return ReducedBasis(self.problem, self.basis, self.model, self.residual.model(), history)


def _cases(theta: Real, phi: Real, loads: str) -> tuple[Real, Real]:
    """Coefficients of all training cases: as they are, or each load on its own for every parameter."""
    if loads == "sum":
        return theta, phi
    count = phi.shape[1]
    return np.repeat(theta, count, axis=0), np.tile(np.eye(count), (len(theta), 1))
