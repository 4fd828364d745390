"""A reduced basis: Galerkin's solution in the span of a few full-order solutions."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np

from nwidth.core.arrays import Array, Mu, Real
from nwidth.core.errors import InputError
from nwidth.core.prediction import Output, Prediction, Reduced, uncertified
from nwidth.core.storable import Parts, Storable
from nwidth.core.validation import as_mu
from nwidth.problems.base import Affine, Outputs, Quantity
from nwidth.rb.batched import LANES, solve
from nwidth.rb.model import ReducedModel
from nwidth.rb.residual import ResidualModel
from nwidth.rb.threads import one_thread
from nwidth.spaces.base import FunctionSpace, ParameterSpace
from nwidth.surrogates.base import Surrogate


@dataclass(frozen=True, eq=False)
class ReducedBasis(Surrogate):
    """`u_N(mu) = lift + Σ_j c_j(mu) v_j` with `Σ_q θ_q A_q,N c = Σ_q φ_q f_q,N`: cost independent of the full size.

    basis `(n, N)` is orthonormal in the energy inner product, vanishes where values are prescribed, and is ordered:
    `truncate(m)` is the basis of the first m modes. `residual` serves the certificate (`nw.certify`). `history` says
    how the basis came about: name -> array.

    Reference: Quarteroni, Manzoni and Negri, Reduced Basis Methods for Partial Differential Equations (2016), ch. 3.
    """

    kind: ClassVar[str] = "reduced-basis"

    problem: Affine
    basis: Real
    model: ReducedModel
    residual: ResidualModel
    history: Mapping[str, Array] = field(default_factory=dict)

    @property
    def parameters(self) -> ParameterSpace:
        """The parameters of the problem that was reduced."""
        return self.problem.parameters

    @property
    def space(self) -> FunctionSpace:
        """The full-order space."""
        return self.problem.space

    @property
    def modes(self) -> int:
        """n, the dimension of the basis."""
        return len(self.basis)

    def predict(self, mu: Mu | Array) -> Prediction:
        """Reduced solutions and outputs of a batch, without limits: attach them with `nw.certify`.

        The fields are made on demand from their coefficients. Raises InputError for parameters without a solution (a
        conductivity that is not positive).
        """
        mu = as_mu(mu, self.parameters.names)
        theta, phi = self.problem.coefficients(mu)
        with one_thread(self.model.packed.size * min(len(theta), LANES)):
            coefficients = solve(theta, phi, self.model.packed, self.model.loads)
            outputs = self._outputs(coefficients)
        values = Reduced(coefficients, self.basis, self.problem.terms().lift)
        return uncertified(mu, values, self.space, self.parameters.contains(mu), outputs)

    def _outputs(self, coefficients: Real) -> dict[str, Output]:
        unknown = np.full(len(coefficients), np.inf)
        values = coefficients @ self.model.functionals.T + self.model.offsets
        return {name: Output(values[:, i], unknown, unit) for i, (name, unit) in enumerate(self.model.outputs)}

    def truncate(self, modes: int) -> "ReducedBasis":
        """The basis of the first `modes` modes. Raises InputError for more than there are."""
        if not 1 <= modes <= self.modes:
            raise InputError(f"cannot keep {modes} of {self.modes} modes; choose a number from 1 to {self.modes}")
        return ReducedBasis(
            problem=self.problem,
            basis=self.basis[:modes],
            model=self.model.truncate(modes),
            residual=self.residual.truncate(modes, len(self.model.matrices)),
            history=self.history,
        )

    def to_parts(self) -> Parts:
        """Basis, reduced matrices and residual coordinates; the problem as a child.

        Raises InputError for a problem that cannot be stored.
        """
        model, residual = self.model.to_stored(), self.residual.to_stored()
        history = {f"history.{name}": np.asarray(values) for name, values in self.history.items()}
        arrays = {"basis": self.basis, **model[1], **residual[1], **history}
        return Parts({"model": model[0], "residual": residual[0]}, arrays, {"problem": storable(self.problem)})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        """The surrogate again."""
        history = {name.partition(".")[2]: a for name, a in arrays.items() if name.startswith("history.")}
        return cls(
            problem=children["problem"],
            basis=arrays["basis"],
            model=ReducedModel.from_stored(config["model"], arrays),
            residual=ResidualModel.from_stored(config["residual"], arrays),
            history=history,
        )


def storable(problem: Affine) -> Storable:
    """The problem, if it can be stored with what was fitted to it. Raises InputError otherwise."""
    if not isinstance(problem, Storable):
        raise InputError(
            f"{type(problem).__name__} cannot be stored with its reduced basis, because its coefficient functions live "
            "in your code: inherit nwidth's Storable (kind, to_parts, from_parts) and pass the class to "
            "nw.load(path, kinds=[...])"
        )
    return problem


def quantities_of(problem: Affine) -> dict[str, Quantity]:
    """The problem's quantities of interest; empty without the capability Outputs."""
    return dict(problem.quantities()) if isinstance(problem, Outputs) else {}
