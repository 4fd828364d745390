"""A guaranteed bound for a field from anywhere: a neural operator, a regression, a guess.

What is bounded is the distance in the energy norm between the *returned* field, with the prescribed boundary values
imposed, and the full-order solution on the same grid or mesh.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import numpy as np

from nwidth.bounds.outputs import problem_outputs
from nwidth.bounds.residual import energy_bounds
from nwidth.certificates.base import Certificate
from nwidth.core.arrays import Array, Real
from nwidth.core.errors import InputError
from nwidth.core.guarantee import Estimate, Guarantee, Rigorous
from nwidth.core.prediction import Prediction
from nwidth.core.storable import Parts, Storable
from nwidth.core.validation import select
from nwidth.problems.base import Coercive, is_coercive
from nwidth.spaces.base import InnerProduct

#: Dofs per piece of a batch: the bound's vectors stay in cache.
_PIECE = 100_000


@dataclass(frozen=True)
class ResidualCertificate(Certificate):
    """`‖u - v‖_A <= ‖f - A v‖_{X⁻¹} / √α + round-off` for symmetric coercive linear problems, in float64.

    Rigorous where the problem's stability constant is proven; otherwise an Estimate that says so. A field that is not
    finite gets +inf with the reason.
    """

    kind: ClassVar[str] = "residual-certificate"
    problem: Coercive
    inner: InnerProduct = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not is_coercive(self.problem):
            raise InputError(
                f"no residual bound for {type(self.problem).__name__}: it must inherit Linear (implement assemble) and "
                "Stable (implement constant). Without a stability constant, certify with runs of your own: "
                "nw.certify(surrogate, holdout=snapshots, level=0.9)"
            )
        object.__setattr__(self, "inner", self.problem.space.inner("energy"))

    @property
    def guarantee(self) -> Guarantee:
        """Rigorous in the energy norm; covers the surrogate's error of any origin and round-off."""
        return Rigorous("energy norm", ("reduction", "algebraic", "round-off"))

    def bound(self, prediction: Prediction) -> Prediction:
        """The prediction in float64 with prescribed values imposed, and its bounds."""
        space = self.problem.space
        fields = np.array(prediction.field)
        if np.iscomplexobj(fields):
            raise InputError("fields are complex; the coercive residual bound is for real fields")
        v = space.flatten(fields).astype(np.float64)
        finite = np.asarray(np.isfinite(v).all(axis=1))
        bound, proven = np.full(len(v), np.inf), True
        step = max(1, _PIECE // space.size)
        for first in range(0, len(v), step):
            rows = first + np.flatnonzero(finite[first : first + step])
            if len(rows):
                v[rows], bound[rows], known = self._bound_piece(prediction.mu, v, rows)
                proven &= known
        values = space.unflatten(v)
        return replace(
            prediction,
            values=values,
            space=space,
            bound=bound,
            guarantee=self.guarantee if proven else Estimate("energy norm", "a proven stability constant"),
            reason=np.where(finite, "", "the field is not finite").astype(object),
            outputs=problem_outputs(self.problem, prediction.mu, values, bound, self.inner),
        )

    def _bound_piece(self, mu: Mapping[str, Array], v: Real, rows: Array) -> tuple[Real, Real, bool]:
        part = select(mu, rows)
        systems, stability = self.problem.systems(part), self.problem.constant(part)
        imposed = systems.impose(v[rows])
        return imposed, energy_bounds(systems, imposed, self.inner, stability).upper, stability.proven

    def to_parts(self) -> Parts:
        """The problem as a child. Raises InputError for a problem that cannot be stored."""
        if not isinstance(self.problem, Storable):
            raise InputError(
                f"{type(self.problem).__name__} cannot be stored with its certificate: inherit nwidth's Storable "
                "(kind, to_parts, from_parts), or save the surrogate alone and certify it again after loading"
            )
        return Parts({}, {}, {"problem": self.problem})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        """The certificate again."""
        return cls(children["problem"])
