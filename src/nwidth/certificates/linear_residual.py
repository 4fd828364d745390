"""A guaranteed bound for a field from anywhere where the matrix is not symmetric, not definite, or complex.

What is bounded is the distance between the *returned* field, with the prescribed values imposed, and the full-order
solution on the same grid or mesh: in the energy norm of the symmetric part for transport (`FaceConstants`), in the
gradient norm ‖·‖_X for waves (constants of inf-sup kind).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import numpy as np

from nwidth.bounds.default_constants import default_constants
from nwidth.bounds.dual_norm import EPS
from nwidth.bounds.dual_residual import Constants, Dual, Prepared, residual_bounds
from nwidth.bounds.metric import Metric
from nwidth.certificates.base import Certificate
from nwidth.core.arrays import Array, Mask, Mu, Real
from nwidth.core.errors import InputError
from nwidth.core.guarantee import Estimate, Guarantee, Rigorous
from nwidth.core.prediction import Output, Prediction
from nwidth.core.storable import Parts, Storable
from nwidth.core.validation import select
from nwidth.problems.base import Linear, Outputs, Problem

_COVERS = ("reduction", "algebraic", "round-off")
#: Dofs per piece of a batch: the bound's vectors stay in cache.
_PIECE = 100_000


@dataclass(frozen=True)
class LinearResidualCertificate(Certificate):
    """`‖u - v‖ <= above ‖f - A v‖_{X⁻¹} + round-off`, and a bound from below, in float64 or complex128.

    `constants` say in which norm and where `above` comes from; see `nwidth.bounds.default_constants` for what is taken
    when none are given. Rigorous where they are proven, otherwise an Estimate that says what is missing. A query
    without a constant (a flow with divergence, a resonance) and a field that is not finite get +inf with the reason.
    """

    kind: ClassVar[str] = "linear-residual-certificate"

    problem: Linear
    constants: Constants
    metric: Metric = field(init=False, repr=False, compare=False)
    prepared: Prepared = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.problem, Linear):
            raise InputError(
                f"no residual bound for {type(self.problem).__name__}: it is not Linear (implement assemble); certify "
                "with runs of your own: nw.certify(surrogate, holdout=snapshots, level=0.9)"
            )
        object.__setattr__(self, "metric", Metric.of(self.problem.space))
        object.__setattr__(self, "prepared", self.constants.prepare(self.problem))

    @classmethod
    def build(cls, problem: Problem, constants: Constants | None = None) -> Self:
        """With the constants that suit the problem, where none are given. Raises InputError for a problem without."""
        chosen = constants or default_constants(problem)
        if not isinstance(problem, Linear):
            raise InputError(f"{type(problem).__name__} is not Linear; inherit Linear and implement assemble(mu)")
        return cls(problem, chosen)

    @property
    def equation(self) -> Problem:
        """The problem of the residual."""
        return self.problem

    @property
    def guarantee(self) -> Guarantee:
        """Rigorous in the norm of the constants, or an Estimate that names what they lack."""
        return promise(self.constants)

    def bound(self, prediction: Prediction) -> Prediction:
        """The prediction with prescribed values imposed, its bounds and output limits, in the problem's number type.

        Raises InputError for complex fields of a real problem.
        """
        space = self.problem.space
        fields = np.array(prediction.field)
        if np.iscomplexobj(fields) and not np.issubdtype(space.dtype, np.complexfloating):
            raise InputError(
                f"fields are complex, but {type(self.problem).__name__} is real; hand over their real part"
            )
        v = space.flatten(fields).astype(space.dtype)
        finite = np.asarray(np.isfinite(v).all(axis=1))
        found = _Found.of(finite)
        step = max(1, _PIECE // space.size)
        for first in range(0, len(v), step):
            rows = first + np.flatnonzero(finite[first : first + step])
            if len(rows):
                self._piece(select(prediction.mu, rows), v, rows, found)
        return replace(
            prediction,
            values=space.unflatten(v),
            space=space,
            bound=found.upper,
            lower=found.lower,
            guarantee=self.guarantee,
            reason=found.reason,
            outputs=limited_outputs(self.problem, prediction.mu, v, found.gradient, self.metric),
        )

    def _piece(self, mu: Mu, v: Array, rows: Array, found: "_Found") -> None:
        systems = self.problem.systems(mu)
        dual = self.prepared(mu, systems)
        v[rows] = systems.impose(v[rows])
        bounds = residual_bounds(systems, v[rows], self.metric, dual)
        found.upper[rows], found.lower[rows], found.reason[rows] = bounds.upper, bounds.lower, dual.reason
        found.gradient[rows] = in_gradient_norm(bounds.upper, dual)

    def to_parts(self) -> Parts:
        """Problem and constants as children. Raises InputError for a problem that cannot be stored."""
        if not isinstance(self.problem, Storable):
            raise InputError(
                f"{type(self.problem).__name__} cannot be stored with its certificate: inherit nwidth's Storable "
                "(kind, to_parts, from_parts), or save the surrogate alone and certify it again after loading"
            )
        return Parts({}, {}, {"problem": self.problem, "constants": self.constants})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        """The certificate again."""
        return cls(children["problem"], children["constants"])


@dataclass
class _Found:
    """Bounds from above and below, bounds of `‖u - v‖_X`, and reasons, `(B,)` each."""

    upper: Real
    lower: Real
    gradient: Real
    reason: Array

    @classmethod
    def of(cls, finite: Mask) -> "_Found":
        unknown, reason = np.full(len(finite), np.inf), np.where(finite, "", "the field is not finite").astype(object)
        return cls(unknown, np.zeros(len(finite)), unknown.copy(), reason)


def promise(constants: Constants) -> Guarantee:
    """What bounds from these constants promise."""
    if constants.missing:
        return Estimate(constants.norm, constants.missing)
    return Rigorous(constants.norm, _COVERS)


def in_gradient_norm(bound: Real, dual: Dual) -> Real:
    """A bound of `‖u - v‖_X` from that in the norm of the constants: `‖e‖_X <= ‖e‖_S / √α`."""
    if dual.norm == "gradient norm":
        return bound
    known = np.isfinite(bound)
    return np.where(known, np.where(known, bound, 0.0) * np.where(known, dual.above, 1.0) * (1 + 4 * EPS), np.inf)


def limited_outputs(problem: Problem, mu: Mu, v: Array, gradient: Real, metric: Metric) -> dict[str, Output]:
    """Every quantity of the problem for dofs v `(B, N)`: `|l(u - v)| <= ‖l‖_{X⁻¹} ‖u - v‖_X`, the latter `gradient`."""
    if not isinstance(problem, Outputs) or not isinstance(problem, Linear):
        return {}
    found, free = {}, problem.systems(select(mu, slice(0, 1))).free
    for name, quantity in problem.quantities().items():
        values = v @ quantity.functional + quantity.offset
        dual = metric.dual_norm(np.where(free, quantity.functional, 0.0)[None])[0][0]
        noise = (v.shape[1] + 4) * EPS * (np.abs(v) @ np.abs(quantity.functional) + abs(quantity.offset))
        known = np.isfinite(gradient)
        limit = np.where(known, dual * np.where(known, gradient, 0.0) + noise, np.inf)
        found[name] = Output(values, limit, quantity.unit)
    return found
