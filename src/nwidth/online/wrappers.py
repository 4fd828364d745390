"""Surrogates with a certificate. They cannot be fitted further or compressed: a stale bound is impossible by type."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from time import perf_counter
from typing import Any, ClassVar, Self

from nwidth.certificates.base import Answering, Certificate
from nwidth.certificates.quantile import Coverage
from nwidth.core.arrays import Array, Mu
from nwidth.core.errors import InputError
from nwidth.core.guarantee import Guarantee, Statistical
from nwidth.core.prediction import Prediction
from nwidth.core.storable import Parts, Storable
from nwidth.core.validation import as_mu
from nwidth.online.costs import Clock, CostModel
from nwidth.online.refine import refine
from nwidth.online.route import Router, check_tolerance, default_solvers
from nwidth.online.route_calibrated import CalibratedRouter
from nwidth.online.same_equation import check_same_equation
from nwidth.problems.base import Problem, is_coercive
from nwidth.snapshots.base import Snapshots
from nwidth.solvers.base import Solver
from nwidth.spaces.base import FunctionSpace, ParameterSpace
from nwidth.surrogates.around import Around
from nwidth.surrogates.base import Surrogate

#: Draws from this number on are no training runs, whatever their seed: on those a surrogate is better than it is.
_FRESH = 2**31


@dataclass(frozen=True)
class Certified(Around):
    """A surrogate whose every answer carries a limit.

    Raises InputError where the certificate was calibrated for another surrogate.
    """

    kind: ClassVar[str] = "certified"
    certificate: Certificate

    def __post_init__(self) -> None:
        self.certificate.check(self.surrogate)

    @property
    def guarantee(self) -> Guarantee:
        """What the limits promise."""
        return self.certificate.guarantee

    def predict(self, mu: Mu | Array) -> Prediction:
        """Answers with their limits."""
        return self._answer(mu)

    # neither part ever changes, so what is prepared from them always belongs to them
    @cached_property
    def _answer(self) -> Answering:
        return self.certificate.answering(self.surrogate)

    def to_parts(self) -> Parts:
        """Both as children."""
        return Parts({}, {}, {"surrogate": self.surrogate, "certificate": self.certificate})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        """Both again."""
        return cls(children["surrogate"], children["certificate"])


@dataclass(frozen=True)
class Refining(Surrogate):
    """Answers every query of a batch within a tolerance, each by the cheapest way that meets it.

    The ways: the surrogate alone, where its limit is small enough; its answer refined; a plain solve. Without `costs`
    what misses is refined; `refining.measured()` measures on this machine what the ways cost, so that each query (and,
    where the surrogate does not pay, the whole batch) takes the cheapest. `source` says which way an answer came,
    `Mix.of(prediction)` counts them.

    problem    linear with a stability constant: every answer is within `rtol` of the full-order solution, guaranteed,
               where `rtol` means `Δ / (‖v‖_A - Δ) <= rtol` (see `nw.refine`). Any other problem with a calibrated
               certificate: its limit decides between surrogate and solver, see `CalibratedRouter`; that is a promise
               for most queries, not for each
    solver     one to use instead of the choice; it has to stop on `Tolerance("energy", rtol)`
    costs      a `CostModel`, a value that is stored with it
    atol       for calibrated limits: an absolute tolerance, in their units, in place of `rtol`
    """

    kind: ClassVar[str] = "refining"
    certified: Certified
    problem: Problem
    rtol: float = 1e-4
    solver: Solver | None = None
    costs: CostModel | None = None
    atol: float | None = None

    def __post_init__(self) -> None:
        check_tolerance(self.rtol)
        if self._guaranteed:
            if self.atol is not None:
                raise InputError("atol is for calibrated limits; where answers are guaranteed, give rtol alone")
        elif self.costs is not None:
            raise InputError(
                f"costs are for problems with a stability constant; {type(self.problem).__name__} has the surrogate "
                "and its solver, and the limit decides between them"
            )

    @property
    def parameters(self) -> ParameterSpace:
        """The fitted set of the surrogate inside."""
        return self.certified.parameters

    @property
    def space(self) -> FunctionSpace:
        """The problem's space."""
        return self.problem.space

    def predict(self, mu: Mu | Array) -> Prediction:
        """Answers within the tolerance; `source` says by which way. Raises WorkError where it is missed."""
        if self._router is not None:
            return self._router.answer(mu)
        return refine(self.certified.predict(mu), self.problem, self.rtol, solver=self.solver)

    def measured(
        self,
        mu: Mu | Array | None = None,
        *,
        count: int = 16,
        repeats: int = 3,
        seed: int = 0,
        clock: Clock = perf_counter,
    ) -> "Refining":
        """The same with the costs of every way, measured here and now on `mu` (by default `count` fresh draws).

        It takes about `2 repeats` solves of each query by each solver. Measure where and how you will work: machine,
        threads, tolerance. `clock`: seconds by which the ways are compared; `time.process_time` where other work
        disturbs this machine and every solver runs in this process. Raises InputError for a problem without a stability
        constant.
        """
        if not isinstance(self._router, Router):
            raise InputError(
                f"nothing to measure: {type(self.problem).__name__} has no stability constant, so that the limit alone "
                "decides between the surrogate and the solver"
            )
        drawn = range(_FRESH, _FRESH + count)
        queries = self.parameters.sample(drawn, seed) if mu is None else as_mu(mu, self.parameters.names)
        return replace(self, costs=self._router.measure(queries, repeats, clock))

    def coverage(self, runs: Snapshots) -> Coverage:
        """For calibrated limits: how often they held among the accepted of these runs, which nothing has seen.

        Raises InputError where answers are guaranteed.
        """
        if not isinstance(self._router, CalibratedRouter):
            raise InputError("coverage is for calibrated limits; these answers are guaranteed")
        return self._router.coverage(runs)

    @property
    def _guaranteed(self) -> bool:
        return is_coercive(self.problem)

    # no part ever changes, so that the solvers prepared here always belong to them
    @cached_property
    def _router(self) -> Router | CalibratedRouter | None:
        if is_coercive(self.problem):
            check_same_equation(self.certified.certificate.equation, self.problem)
            solvers = default_solvers(self.problem, self.solver)
            return Router(self.certified, self.certified.surrogate, self.problem, self.rtol, solvers, self.costs)
        certificate = self.certified.certificate
        if not isinstance(certificate.guarantee, Statistical):
            return None
        return CalibratedRouter(self.certified, certificate, self.problem, self.rtol, self.atol, self.solver)

    def to_parts(self) -> Parts:
        """The certified surrogate, the problem, the costs. Raises InputError for what cannot be stored."""
        if self.solver is not None or not isinstance(self.problem, Storable):
            raise InputError(
                "a Refining surrogate is stored with its problem and the default solver; save .certified instead, or "
                "make the problem Storable"
            )
        children: dict[str, Storable] = {"certified": self.certified, "problem": self.problem}
        if self.costs is not None:
            children["costs"] = self.costs
        return Parts({"rtol": self.rtol, "atol": self.atol}, {}, children)

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        """The same again."""
        limits = {"rtol": config["rtol"], "atol": config.get("atol")}
        return cls(children["certified"], children["problem"], costs=children.get("costs"), **limits)
