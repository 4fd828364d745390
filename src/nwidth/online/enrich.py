"""Enrichment: where the bound misses the tolerance, one full solve, one more basis vector, go on.

Every answer is within the tolerance, guaranteed; a full solve is paid for only where the basis does not yet hold the
solution, and never again for what lies near. The number of full solves is reported.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np

from nwidth.certificates.reduced import ReducedCertificate
from nwidth.certificates.reduced_residual import reduced_basis_of
from nwidth.core.arrays import Array, Mu, Real
from nwidth.core.errors import InputError, WorkError
from nwidth.core.prediction import Prediction
from nwidth.core.storable import Parts
from nwidth.core.validation import as_mu, select
from nwidth.online.reduced_relative import relative_of_reduced
from nwidth.online.wrappers import Certified
from nwidth.problems.base import Affine, Problem
from nwidth.rb.extend import GrowingBasis
from nwidth.rb.galerkin import ReducedBasis
from nwidth.solvers.direct import Direct
from nwidth.spaces.base import FunctionSpace, ParameterSpace
from nwidth.surrogates.base import Surrogate


@dataclass(frozen=True, eq=False)
class Enriched:
    """Answers within the tolerance, the certified basis that gives them, and the full solves that it took."""

    prediction: Prediction
    surrogate: Certified
    full_solves: int


def enrich(
    surrogate: Surrogate, problem: Problem | None, mu: Mu | Array, rtol: float, *, max_solves: int = 100
) -> Enriched:
    """Answers for all of mu within rtol, and the basis that was needed; the surrogate that is passed in is unchanged.

    See `Enriching`, which goes on from batch to batch. Raises InputError and WorkError as it does.
    """
    session = Enriching(surrogate, problem, rtol, max_solves=max_solves)
    return Enriched(session.predict(mu), session.surrogate, session.full_solves)


class Enriching(Surrogate):
    """A session that answers every query to a guaranteed relative tolerance and learns from the ones that missed it.

    **It has a state**: `predict` may enlarge the basis, so that later answers (all within the tolerance) depend on
    earlier queries; it belongs to one thread. `enrich` is the same as a function of its arguments.

    surrogate: a reduced basis, certified or not, or any surrogate that answers in a basis (`PODRegression`): Galerkin's
    method then takes the place of its coefficients. problem: Affine and Stable; None for that of a reduced basis.
    rtol: `Δ / (‖v‖_A - Δ) <= rtol` with Δ the guaranteed bound, where ‖v‖_A is the smaller energy of the field and of
    its change from the boundary lift. max_solves: a limit for all full solves of the session.

    Raises InputError for a problem without a stability constant or a tolerance that is not between 0 and 1.
    """

    kind: ClassVar[str] = "enriching"

    def __init__(
        self,
        surrogate: Surrogate,
        problem: Problem | None = None,
        rtol: float = 1e-4,
        *,
        max_solves: int = 100,
        full_solves: int = 0,
    ):
        if not 0 < rtol < 1:
            raise InputError(f"rtol is {rtol}; it is a relative tolerance: choose a number between 0 and 1")
        self.rtol, self.max_solves, self.full_solves = rtol, max_solves, full_solves
        reduced = _reduced(surrogate, problem)
        self._problem: Affine = reduced.problem
        self._certified = Certified(reduced, ReducedCertificate.build(reduced, problem))
        self._solver = Direct()
        self._growing: GrowingBasis | None = None
        self._state = self._solver.prepare(self._problem)

    @property
    def surrogate(self) -> Certified:
        """The certified basis as it stands: a value that later queries do not change."""
        return self._certified

    @property
    def modes(self) -> int:
        """The size of the basis as it stands."""
        return len(self._reduced.basis)

    @property
    def parameters(self) -> ParameterSpace:
        """The problem's parameters."""
        return self._problem.parameters

    @property
    def space(self) -> FunctionSpace:
        """The full-order space."""
        return self._problem.space

    @property
    def _reduced(self) -> ReducedBasis:
        reduced = self._certified.surrogate
        if not isinstance(reduced, ReducedBasis):
            raise InputError(f"expected a reduced basis inside, got {type(reduced).__name__}")
        return reduced

    def predict(self, mu: Mu | Array) -> Prediction:
        """Answers within rtol. `stats` holds, per sample, `relative` (the guaranteed relative bound) and `solved`
        (whether a full solve was made there).

        Raises WorkError where rtol is out of reach of rounding, or max_solves is spent; what was learned stays.
        """
        mu = as_mu(mu, self.parameters.names)
        answer = self._certified.predict(mu)
        relative = relative_of_reduced(self._reduced, answer)
        solved = np.zeros(len(answer), dtype=bool)
        while not (relative <= self.rtol).all():
            self._learn(mu, relative, solved)
            answer = self._certified.predict(mu)
            relative = relative_of_reduced(self._reduced, answer)
        return replace(answer, stats=dict(answer.stats) | {"relative": relative, "solved": solved})

    def _learn(self, mu: Mapping[str, Array], relative: Real, solved: Array) -> None:
        """Solve at the worst sample until, by bounds whose rounding is not counted yet, none is left; then count it."""
        try:
            growing, certified = self._grown(), self._certified
            while not (relative <= 0.999 * self.rtol).all() or certified is self._certified:
                self._solve_worst(growing, mu, relative, solved)
                reduced = growing.reduced(certified=False)
                certified = Certified(reduced, ReducedCertificate.build(reduced))
                relative = relative_of_reduced(reduced, certified.predict(mu))
        finally:
            if self._growing is not None and len(self._growing.basis) > self.modes:
                reduced = self._growing.reduced()
                self._certified = Certified(reduced, ReducedCertificate.build(reduced))

    def _grown(self) -> GrowingBasis:
        if self._growing is None:
            self._growing = GrowingBasis.of(self._reduced, self.modes + self.max_solves)
        return self._growing

    def _solve_worst(self, growing: GrowingBasis, mu: Mapping[str, Array], relative: Real, solved: Array) -> None:
        """One full solve, one more mode. Raises WorkError where it brings nothing new."""
        left = np.where(np.isnan(relative), np.inf, relative)
        worst = int(np.argmax(left))
        if self.full_solves >= self.max_solves:
            raise WorkError(
                f"{int((left > self.rtol).sum())} of {len(left)} answers miss rtol = {self.rtol:g} after "
                f"{self.full_solves} full solves (worst: {left[worst]:.2g}); raise max_solves or rtol"
            )
        point = select(mu, slice(worst, worst + 1))
        solution = self._solver.solve(self._state, point)
        if not solution.converged.all():
            raise WorkError(f"the full solve at sample {worst} failed; check its parameters {dict(point)}")
        self.full_solves += 1
        lift = growing.terms.lift
        if solved[worst] or not growing.add(self.space.flatten(solution.field) - lift):
            raise WorkError(
                f"sample {worst} is represented to rounding and its guaranteed relative bound stays at "
                f"{left[worst]:.2g}: rtol = {self.rtol:g} is below what rounding allows; raise rtol"
            )
        solved[worst] = True

    def to_parts(self) -> Parts:
        """The certified basis as it stands."""
        config = {"rtol": self.rtol, "max_solves": self.max_solves, "full_solves": self.full_solves}
        return Parts(config, {}, {"reduced": self._reduced})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        """The session again."""
        limits = {"max_solves": int(config["max_solves"]), "full_solves": int(config["full_solves"])}
        return cls(children["reduced"], None, float(config["rtol"]), **limits)


def _reduced(surrogate: Surrogate, problem: Problem | None) -> ReducedBasis:
    """The Galerkin basis to start from."""
    bare = surrogate.surrogate if isinstance(surrogate, Certified) else surrogate
    if isinstance(bare, ReducedBasis):
        return bare
    if problem is None:
        raise InputError(f"a {type(bare).__name__} does not know its equation; pass the problem")
    return reduced_basis_of(bare, problem)
