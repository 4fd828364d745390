"""What foretells the size of an error besides the query itself: the residual of the equation, other surrogates.

A hint only shapes a limit; that the limit holds comes from the calibration afterwards, on other runs. A hint must not
look at the truth, and it is asked in the same way when it is calibrated and when it is used.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self, TypeGuard

import numpy as np

from nwidth.certificates.quantities import Truth, errors_of, names_of
from nwidth.core.arrays import Array, Real
from nwidth.core.errors import InputError
from nwidth.core.prediction import Prediction
from nwidth.core.storable import Parts, Storable
from nwidth.core.validation import select
from nwidth.problems.base import Linear, Problem, Stable
from nwidth.spaces.base import InnerProduct
from nwidth.surrogates.base import Surrogate

#: Dofs per piece of a batch: the vectors stay in cache.
_PIECE = 100_000


class Hint(Storable):
    """A number per query and quantity that grows with the error. Its `part` is its name among what a scale may use."""

    part: ClassVar[str]

    @property
    def asked(self) -> tuple[Surrogate, ...]:
        """Other surrogates that it asks. None of them may have been fitted to runs that calibrate."""
        return ()

    @abstractmethod
    def __call__(self, prediction: Prediction, norm: str, spread: Mapping[str, float]) -> Mapping[str, Real]:
        """Quantity -> `(B,)` >= 0, for all quantities of the prediction; NaN where the query is not finite."""


@dataclass(frozen=True)
class Residual(Hint):
    """`‖f - A v‖_{X⁻¹}`, divided by `√α` where the problem knows a stability constant α, for every quantity.

    A calibrated limit shaped by it follows the error wherever residual and error go together; the constant between
    them need not be known. Raises InputError for a problem that is not Linear.
    """

    kind: ClassVar[str] = "residual-hint"
    part: ClassVar[str] = "residual"

    problem: Linear
    inner: InnerProduct = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not has_residual(self.problem):
            raise InputError(
                f"{type(self.problem).__name__} is not Linear (it has no assemble), so an answer has no residual; give "
                "another hint, such as Spread(other_surrogates)"
            )
        object.__setattr__(self, "inner", self.problem.space.inner("energy"))

    def __call__(self, prediction: Prediction, norm: str, spread: Mapping[str, float]) -> dict[str, Real]:
        space = self.problem.space
        v = space.flatten(np.asarray(prediction.field))
        found = np.full(len(v), np.nan)
        step = max(1, _PIECE // space.size)
        finite = np.isfinite(v).all(axis=1) & prediction.inside
        for first in range(0, len(v), step):
            rows = first + np.flatnonzero(finite[first : first + step])
            if len(rows):
                found[rows] = self._sizes(select(prediction.mu, rows), v[rows])
        return dict.fromkeys(names_of(prediction), found)

    def _sizes(self, mu: Mapping[str, Array], v: Array) -> Real:
        systems = self.problem.systems(mu)
        sizes = self.inner.dual_norm(systems.residual(systems.impose(v)))
        if not isinstance(self.problem, Stable):
            return sizes
        lower = self.problem.constant(mu).lower
        return sizes / np.sqrt(np.where(lower > 0, lower, 1.0))

    def to_parts(self) -> Parts:
        """The problem as a child. Raises InputError for a problem that cannot be stored."""
        if not isinstance(self.problem, Storable):
            raise InputError(
                f"{type(self.problem).__name__} cannot be stored with its certificate: inherit nwidth's Storable "
                "(kind, to_parts, from_parts), or calibrate without problem="
            )
        return Parts({}, {}, {"problem": self.problem})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        return cls(children["problem"])


def has_residual(problem: Problem | None) -> TypeGuard[Linear]:
    """Whether an answer to this problem has a residual that a hint can measure."""
    return isinstance(problem, Linear)


@dataclass(frozen=True)
class Spread(Hint):
    """How far other surrogates' answers to the same query are from this one: the root mean square over them.

    `members` are trained on other data or from other seeds (an ensemble), or are the same surrogate asked in another
    way (`nwidth.certificates.self_consistency`). None may know the runs that calibrate: a member that does is nearer to
    the truth there than elsewhere, and the limit is too small elsewhere.
    """

    kind: ClassVar[str] = "spread-hint"
    part: ClassVar[str] = "spread"

    members: Sequence[Surrogate]

    def __post_init__(self) -> None:
        object.__setattr__(self, "members", tuple(self.members))
        if not self.members:
            raise InputError("the spread of an ensemble needs other surrogates; got none")

    @property
    def asked(self) -> tuple[Surrogate, ...]:
        return tuple(self.members)

    def __call__(self, prediction: Prediction, norm: str, spread: Mapping[str, float]) -> dict[str, Real]:
        squares: dict[str, Real] = {}
        for member in self.members:
            answer = member.predict(prediction.mu)
            missing = set(prediction.outputs) - set(answer.outputs)
            if missing:
                raise InputError(f"a member of the ensemble does not answer {sorted(missing)[0]!r}; fit it to the same")
            truth = Truth(np.asarray(answer.field), {n: o.values for n, o in answer.outputs.items()})
            for name, distance in errors_of(prediction, truth, norm, spread).items():
                squares[name] = squares.get(name, 0.0) + distance**2
        return {name: np.sqrt(total / len(self.members)) for name, total in squares.items()}

    def to_parts(self) -> Parts:
        return Parts({}, {}, {f"member {i}": member for i, member in enumerate(self.members)})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        return cls(tuple(children[f"member {i}"] for i in range(len(children))))
