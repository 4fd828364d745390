"""The bound of a reduced basis by whichever residual formula is cheapest for its size.

`ReducedCertificate` bounds outputs with the residuals of dual solutions, and needs the orthonormal basis for them.
Where the field is what counts and the problem has many terms (a coefficient that was interpolated, many small sources),
the interpolated residual costs a fraction. Outputs are then limited by `|s(u) - s(u_N)| <= ‖l‖_{X⁻¹} Δ / √α`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np

from nwidth.certificates.base import Certificate
from nwidth.certificates.probe import probe_of
from nwidth.core.arrays import Array, Mu, Real
from nwidth.core.errors import InputError
from nwidth.core.guarantee import Estimate, Guarantee, Rigorous
from nwidth.core.prediction import Output, Prediction, Reduced
from nwidth.core.storable import Parts
from nwidth.core.validation import as_mu, check_choice
from nwidth.problems.base import Affine, Stability, Stable
from nwidth.rb.batched import solve
from nwidth.rb.estimators import KINDS, Choice, OrthonormalResidual, cheaper
from nwidth.rb.galerkin import ReducedBasis, quantities_of, storable
from nwidth.rb.interpolated import InterpolatedResidual
from nwidth.rb.interpolated_build import interpolated_residual
from nwidth.rb.model import ReducedModel, stacked
from nwidth.rb.rounding import EPS
from nwidth.rb.wide import WideForm, dual_norms

_NORM = "energy norm"
_FORMS: dict[str, type[OrthonormalResidual] | type[InterpolatedResidual]] = {
    "orthonormal": OrthonormalResidual,
    "interpolated": InterpolatedResidual,
}


@dataclass(frozen=True, eq=False)
class EstimatorCertificate(Certificate):
    """Bounds of fields in one reduced basis through a residual estimator; rigorous where the estimator and the
    stability constant are, otherwise an `Estimate` that names what is missing.

    `duals (s,)` are bounds of ‖l‖_{X⁻¹} of the outputs; `reason` says why this estimator was taken.
    """

    kind: ClassVar[str] = "estimator-certificate"

    problem: Affine
    model: ReducedModel
    estimator: OrthonormalResidual | InterpolatedResidual
    duals: Real
    probe: Real
    reason: str

    @classmethod
    def build(
        cls, surrogate: ReducedBasis, kind: str = "auto", *, training: Mu | Array | int = 200, proven: bool = True
    ) -> Self:
        """The certificate of a reduced basis; the points of an interpolation are chosen among `training` parameters.
        Without `proven`, an interpolation leaves out its remainder: cheaper, and an Estimate.

        Raises InputError for a problem without a stability constant or a kind that does not exist.
        """
        problem = surrogate.problem
        if not isinstance(problem, Stable):
            raise InputError(
                f"no bound for {type(problem).__name__}: a stability constant is missing; inherit Stable and implement "
                "constant(mu)"
            )
        mu = problem.parameters.sample(range(training), 0) if isinstance(training, int) else training
        choice = _choose(surrogate, kind, as_mu(mu, problem.parameters.names), proven)
        terms, form = problem.terms(), WideForm(problem.space.inner("energy"))
        functionals = stacked(quantities_of(problem), len(terms.lift)) * terms.free
        duals = dual_norms(form, functionals) if len(functionals) else np.zeros(0)
        probe = probe_of(surrogate.basis, terms.lift)
        return cls(problem, surrogate.model, choice.estimator, duals, probe, choice.reason)

    @property
    def guarantee(self) -> Guarantee:
        """In the energy norm of A(mu), from the full-order solution; covers reduction and round-off."""
        missing = self.estimator.missing
        return Estimate(_NORM, missing) if missing else Rigorous(_NORM, ("reduction", "round-off"))

    def bound(self, prediction: Prediction) -> Prediction:
        """The prediction with its bounds and output limits; `stats["floor"]` is what rounding, and the remainder of an
        interpolation, put into a bound. Raises InputError for a prediction that is not in this basis."""
        values = prediction.values
        if not (isinstance(values, Reduced) and np.array_equal(probe_of(values.basis, values.offset), self.probe)):
            raise InputError(
                "the prediction does not live in the basis that this certificate was built for; build one for that "
                "surrogate: EstimatorCertificate.build(surrogate)"
            )
        theta, phi = self.problem.coefficients(prediction.mu)
        stability = self._constant(prediction.mu)
        c = np.ascontiguousarray(values.coefficients, dtype=np.float64)
        root = np.sqrt(np.where(stability.lower > 0, stability.lower, np.nan))  # no constant, no bound
        norm, noise = self.estimator.norms(theta, phi, c)
        made = self.model.reconstruction(theta, c)
        energy = _no_nan((norm + noise) / root * (1 + 16 * EPS) + made)
        finite = np.isfinite(energy)
        return replace(
            prediction,
            bound=energy,
            guarantee=self.guarantee if stability.proven else Estimate(_NORM, "a proven stability constant"),
            outputs=self._outputs(c, energy, root),
            reason=np.where(finite, "", "the reduced solution is not finite").astype(object),
            stats=dict(prediction.stats) | {"floor": _no_nan(noise / root * (1 + 16 * EPS) + made)},
        )

    def _constant(self, mu: Mu) -> Stability:
        if not isinstance(self.problem, Stable):
            raise InputError(f"{type(self.problem).__name__} has no stability constant; inherit Stable")
        return self.problem.constant(mu)

    def _outputs(self, c: Real, energy: Real, root: Real) -> dict[str, Output]:
        model = self.model
        values = model.offsets + c @ model.functionals.T
        rounding = np.abs(c) @ model.output_weights + 4 * EPS * (np.abs(values) + np.abs(model.offsets))
        limits = _no_nan((self.duals * (energy / root)[:, None] + rounding) * (1 + 16 * EPS))
        return {name: Output(values[:, i], limits[:, i], unit) for i, (name, unit) in enumerate(model.outputs)}

    def to_parts(self) -> Parts:
        """Reduced matrices and the estimator; the problem as a child."""
        form = next(name for name, cls in _FORMS.items() if isinstance(self.estimator, cls))
        model, estimator = self.model.to_stored(), self.estimator.to_stored()
        config = {"model": model[0], "estimator": estimator[0], "form": form, "reason": self.reason}
        arrays = {"duals": self.duals, "probe": self.probe, **model[1], **estimator[1]}
        return Parts(config, arrays, {"problem": storable(self.problem)})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        """The certificate again."""
        model = ReducedModel.from_stored(config["model"], arrays)
        estimator = _FORMS[config["form"]].from_stored(config["estimator"], arrays)
        return cls(children["problem"], model, estimator, arrays["duals"], arrays["probe"], config["reason"])


def _choose(surrogate: ReducedBasis, kind: str, mu: Mapping[str, Array], proven: bool) -> Choice:
    check_choice("kind", kind, KINDS)
    problem, ready = surrogate.problem, OrthonormalResidual(surrogate.residual)
    if kind == "orthonormal":
        return Choice(ready, "orthonormal basis: asked for")
    theta, phi = problem.coefficients(mu)
    coefficients = solve(theta, phi, surrogate.model.packed, surrogate.model.loads)
    data = (problem.terms(), problem.space.inner("energy"), surrogate.basis, theta, phi, coefficients)
    interpolated = interpolated_residual(*data, proven=proven)
    return Choice(interpolated, "interpolation: asked for") if kind == "interpolated" else cheaper(ready, interpolated)


def _no_nan(values: Real) -> Real:
    """NaN as +inf."""
    return np.where(np.isnan(values), np.inf, values)
