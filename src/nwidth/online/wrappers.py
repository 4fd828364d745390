"""Surrogates with a certificate. They cannot be fitted further or compressed: a stale bound is impossible by type."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Self

from nwidth.certificates.base import Answering, Certificate
from nwidth.core.arrays import Array, Mu
from nwidth.core.errors import InputError
from nwidth.core.guarantee import Guarantee
from nwidth.core.prediction import Prediction
from nwidth.core.storable import Parts, Storable
from nwidth.online.refine import refine
from nwidth.problems.base import Problem
from nwidth.solvers.base import Solver
from nwidth.spaces.base import FunctionSpace, ParameterSpace
from nwidth.surrogates.base import Surrogate


@dataclass(frozen=True)
class Certified(Surrogate):
    """A surrogate whose every answer carries a limit.

    Raises InputError where the certificate was calibrated for another surrogate.
    """

    kind: ClassVar[str] = "certified"
    surrogate: Surrogate
    certificate: Certificate

    def __post_init__(self) -> None:
        self.certificate.check(self.surrogate)

    @property
    def parameters(self) -> ParameterSpace:
        """The fitted set of the surrogate inside."""
        return self.surrogate.parameters

    @property
    def space(self) -> FunctionSpace:
        """The space of the surrogate inside."""
        return self.surrogate.space

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
    """Answers every query to a guaranteed relative tolerance: the surrogate's answer, refined where necessary."""

    kind: ClassVar[str] = "refining"
    certified: Certified
    problem: Problem
    rtol: float = 1e-4
    solver: Solver | None = None

    @property
    def parameters(self) -> ParameterSpace:
        """The fitted set of the surrogate inside."""
        return self.certified.parameters

    @property
    def space(self) -> FunctionSpace:
        """The problem's space."""
        return self.problem.space

    def predict(self, mu: Mu | Array) -> Prediction:
        """Answers within `rtol`; `source` says which had to be refined."""
        return refine(self.certified.predict(mu), self.problem, self.rtol, solver=self.solver)

    def to_parts(self) -> Parts:
        """The certified surrogate and the problem. Raises InputError for a problem or solver that cannot be stored."""
        if self.solver is not None or not isinstance(self.problem, Storable):
            raise InputError(
                "a Refining surrogate is stored with its problem and the default solver; save .certified instead, or "
                "make the problem Storable"
            )
        return Parts({"rtol": self.rtol}, {}, {"certified": self.certified, "problem": self.problem})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        """The same again."""
        return cls(children["certified"], children["problem"], config["rtol"])
