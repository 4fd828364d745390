"""The guaranteed bound of a reduced basis, from its coefficients alone: its cost does not depend on the full size.

Energy norm: `‖u - u_N‖_A <= ‖r‖_{X⁻¹} / √α` with the residual in an orthonormal basis (`nwidth.rb.residual`).

Outputs, `s(u) = l·u`: with the reduced solution z of the dual problem `A z = l` and the corrected value
`s_N = l·u_N + r(z)`,

    |s(u) - s_N| <= ‖u - u_N‖_A ‖z* - z‖_A <= Δ Δ_dual,

a product of two small numbers where the dual solution is well represented; it is where l is a load, because the basis
then holds it. Reference: Pierce and Giles, SIAM Review 42 (2000); Patera and Rozza (2007), section 2.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, ClassVar, Self

import numpy as np

from nwidth.certificates.base import Answering, Certificate
from nwidth.certificates.one_by_one import OneByOne, one_or_many
from nwidth.certificates.probe import probe_of
from nwidth.core.arrays import Array, Mu, Real
from nwidth.core.errors import InputError
from nwidth.core.guarantee import Estimate, Guarantee, Rigorous
from nwidth.core.prediction import Output, Prediction, Reduced
from nwidth.core.storable import Parts
from nwidth.problems.base import Affine, Problem, Stability, Stable
from nwidth.problems.min_theta import ThetaStable
from nwidth.rb.batched import CHUNK
from nwidth.rb.comparison import SampledStability
from nwidth.rb.galerkin import ReducedBasis, storable
from nwidth.rb.many import residuals
from nwidth.rb.model import ReducedModel
from nwidth.rb.residual import ResidualModel
from nwidth.rb.rounding import EPS, gamma
from nwidth.rb.threads import one_thread
from nwidth.surrogates.base import Surrogate

_TINY = float(np.finfo(np.float64).tiny)
_NORM = "energy norm"
_RIGOROUS = Rigorous(_NORM, ("reduction", "round-off"))


@dataclass(frozen=True, eq=False)
class ReducedCertificate(Certificate):
    """Bounds of fields and outputs for every prediction in one reduced basis, rounding included.

    Valid for any coefficients in that basis, whoever computed them, and outside the training range too, as long as the
    problem is coercive there. Rigorous where the stability constant is proven, otherwise an Estimate.
    """

    kind: ClassVar[str] = "reduced-certificate"

    problem: Affine
    model: ReducedModel
    residual: ResidualModel
    probe: Real

    @classmethod
    def build(cls, surrogate: ReducedBasis, problem: Problem | None = None) -> Self:
        """The certificate of a reduced basis. Raises InputError where `problem` is not the one that was reduced."""
        own = surrogate.problem
        if problem is not None and problem is not own and problem != own:
            raise InputError(
                f"this basis was built for {own!r}, not for {problem!r}: its residual belongs to that problem. Certify "
                "with surrogate.problem, or fit again"
            )
        return cls(own, surrogate.model, surrogate.residual, probe_of(surrogate.basis, own.terms().lift))

    def __post_init__(self) -> None:
        _stable(self.problem)

    @property
    def equation(self) -> Problem:
        """The problem of the residual."""
        return self.problem

    @property
    def guarantee(self) -> Guarantee:
        """In the energy norm of A(mu), from the full-order solution; covers reduction and round-off. An Estimate where
        the problem's stability constants are none that were proven."""
        return _RIGOROUS if self._proven else _unproven(self.problem)

    @cached_property
    def _proven(self) -> bool:
        return _stable(self.problem).constant(self.problem.parameters.sample(range(1), 0)).proven

    def answering(self, surrogate: Surrogate) -> Answering:
        """Single queries to the basis that this certificate belongs to go through one compiled call."""
        usual = super().answering(surrogate)
        if not (isinstance(surrogate, ReducedBasis) and surrogate.problem == self.problem and self._fits(surrogate)):
            return usual
        one = OneByOne.of(surrogate, self.residual, self.guarantee)
        return usual if one is None else partial(one_or_many, one, usual)

    def _fits(self, surrogate: ReducedBasis) -> bool:
        return np.array_equal(probe_of(surrogate.basis, self.problem.terms().lift), self.probe)

    def bound(self, prediction: Prediction) -> Prediction:
        """The prediction with its bounds and output limits; `stats["floor"]` is what rounding alone puts into a bound.

        Raises InputError for a prediction that is not in this basis.
        """
        coefficients = self._coefficients(prediction)
        theta, phi = self.problem.coefficients(prediction.mu)
        stability = _constants(_stable(self.problem), prediction.mu, theta)
        lower = np.where(stability.lower > 0, stability.lower, np.nan)
        with one_thread(self.residual.rows.size * min(len(theta), CHUNK)):
            limits = self._limits(theta, phi, coefficients, lower)
        return replace(
            prediction,
            bound=limits.bound,
            guarantee=_RIGOROUS if stability.proven else _unproven(self.problem),
            outputs=limits.outputs,
            reason=_reasons(limits.bound, lower),
            stats=dict(prediction.stats) | {"floor": limits.floor},
        )

    def _coefficients(self, prediction: Prediction) -> Real:
        values = prediction.values
        if not isinstance(values, Reduced):
            raise InputError("this certificate bounds reduced coefficients; certify a field with ResidualCertificate")
        if not np.array_equal(probe_of(values.basis, values.offset), self.probe):
            raise InputError(
                "the prediction lives in another basis than the one this certificate was built for; call "
                "nw.certify(surrogate, problem) for that surrogate"
            )
        return np.ascontiguousarray(values.coefficients, dtype=np.float64)

    def _limits(self, theta: Real, phi: Real, coefficients: Real, lower: Real) -> "_Limits":
        """Everything at once: see `_Limits`."""
        model, residual = self.model, self.residual
        found = residuals(model, residual, theta, phi, coefficients)
        norm, noise, correction, shift = found.norm, found.noise, found.correction, found.shift
        root = np.sqrt(lower)[:, None]
        # gain: W is orthonormal up to rounding; the last factor pays for the roundings in this line and in the norm
        gain = residual.gain * (1 + gamma(residual.rows.shape[1] + 16))
        floors = noise / root * (1 + 16 * EPS)
        energies = (norm * gain / root + floors) * (1 + 16 * EPS) + _TINY
        made = model.reconstruction(theta, coefficients)
        magnitudes = np.abs(coefficients)
        values = model.offsets + coefficients @ model.functionals.T + correction
        rounding = magnitudes @ model.output_weights + shift + 4 * EPS * (np.abs(values) + np.abs(model.offsets))
        limit = (energies[:, :1] * energies[:, 1:] + rounding) * (1 + 8 * EPS)
        named = {name: Output(values[:, i], _no_nan(limit[:, i]), unit) for i, (name, unit) in enumerate(model.outputs)}
        return _Limits(_no_nan(energies[:, 0] + made), _no_nan(floors[:, 0] + made), named)

    def to_parts(self) -> Parts:
        """Reduced matrices and residual coordinates; the problem as a child."""
        model, residual = self.model.to_stored(), self.residual.to_stored()
        arrays = {"probe": self.probe, **model[1], **residual[1]}
        return Parts({"model": model[0], "residual": residual[0]}, arrays, {"problem": storable(self.problem)})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        """The certificate again."""
        model = ReducedModel.from_stored(config["model"], arrays)
        residual = ResidualModel.from_stored(config["residual"], arrays)
        return cls(children["problem"], model, residual, arrays["probe"])


@dataclass(frozen=True)
class _Limits:
    """Bounds `(B,)`, the floor that rounding puts under them, and the outputs with their limits."""

    bound: Real
    floor: Real
    outputs: dict[str, Output]


def _constants(problem: Stable, mu: Mu, theta: Real) -> Stability:
    """The constants at mu, from coefficients that are there already where they follow from these alone."""
    if isinstance(problem, ThetaStable) and type(problem).constant is ThetaStable.constant:
        return problem.stability.constants(theta)
    return problem.constant(mu)


def _stable(problem: Problem) -> Stable:
    if not isinstance(problem, Stable):
        raise InputError(
            f"no bound for {type(problem).__name__}: a stability constant is missing; inherit Stable and implement "
            "constant(mu), have one proven for an affine problem, nw.rb.with_stability(problem), or certify with runs "
            "of your own: nw.certify(surrogate, holdout=snapshots)"
        )
    return problem


def _unproven(problem: Problem) -> Estimate:
    """The indication that is left, with the reason where the constants know it."""
    known = problem.stability if isinstance(problem, ThetaStable) else None
    return Estimate(_NORM, known.missing if isinstance(known, SampledStability) else "a proven stability constant")


def _reasons(bound: Real, lower: Real) -> Array:
    reason = np.full(len(bound), "", dtype=object)
    reason[~np.isfinite(bound)] = "the reduced matrix is not positive definite to rounding"
    reason[np.isnan(lower)] = "no coercivity constant above zero is proven at these parameters"
    return reason


def _no_nan(values: Real) -> Real:
    """NaN (no factorisation) as +inf."""
    return np.where(np.isnan(values), np.inf, values)
