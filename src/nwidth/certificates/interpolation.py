"""The bound of a reduced basis whose coefficients were interpolated, with the interpolation error inside.

The basis solves with a_M, c_M, f_M; the reference is the full-order solution with the *true* a, c, f. For the reduced
solution u_N, with X the form of a = 1 and C Friedrichs' constant, the residual in the true equation is bounded by

    ‖r‖_{X⁻¹} <= ‖r_M‖_{X⁻¹} + ‖(a - a_M) ∇u_N‖_{L²} + √C ‖(f - f_M) - (c - c_M) u_N‖_{L²}
              <= ‖r_M‖_{X⁻¹} + max|a - a_M| ‖u_N‖_X + max|c - c_M| √C ‖u_N‖_{L²} + √C ‖f - f_M‖_{L²},

norms and maxima over the quadrature points, where both are exact for the discrete forms (`problems.point_forms`), and

    ‖u - u_N‖_A <= ‖r‖_{X⁻¹} / √α,    A and α those of the true coefficients.

r_M is the residual in the interpolated equation, from coefficients alone. Outputs `s(u) = l·u` with the reduced dual
solution z and the corrected value `l·u_N + r_M(z)`: `|s(u) - s_N| <= Δ Δ_dual + (the last three terms) ‖z‖_X`.
Reference: Grepl, Maday, Nguyen and Patera, ESAIM: M2AN 41 (2007), section 3.3; here without the assumption there that
the error at one more point is its maximum, unless that rule is asked for: then the limit is an Estimate.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np

from nwidth.certificates.base import Certificate
from nwidth.certificates.interpolation_error import (
    Errors,
    Query,
    Rule,
    at_next_point,
    everywhere,
    in_boxes,
    prepare_boxes,
)
from nwidth.certificates.probe import probe_of
from nwidth.core.arrays import Array, Real
from nwidth.core.errors import InputError
from nwidth.core.guarantee import Estimate, Guarantee, Rigorous
from nwidth.core.prediction import Output, Prediction, Reduced
from nwidth.core.storable import Parts
from nwidth.core.validation import check_choice
from nwidth.problems.base import Problem
from nwidth.rb.batched import CHUNK, primal, solve
from nwidth.rb.galerkin import ReducedBasis, storable
from nwidth.rb.interpolation.compressed import compressed
from nwidth.rb.interpolation.problem import Interpolated
from nwidth.rb.interpolation.taylor import BoxBound
from nwidth.rb.model import ReducedModel
from nwidth.rb.residual import ResidualModel
from nwidth.rb.rounding import EPS, gamma, product_operations
from nwidth.rb.threads import one_thread
from nwidth.spaces.base import InnerProduct

_TINY = float(np.finfo(np.float64).tiny)
_NORM = "energy norm"
#: How the interpolation error is known.
RULES = ("everywhere", "box", "next point")


@dataclass(frozen=True, eq=False)
class InterpolationCertificate(Certificate):
    """Bounds of fields and outputs against the full-order solution with the true coefficients.

    error: "everywhere" compares true and interpolated coefficients at all quadrature points of a query (rigorous, at a
    cost like one assembly); "box" uses bounds prepared for the whole box of parameters (rigorous there, at a cost that
    does not depend on the mesh; needs Smooth functions); "next point" looks at one more point: an Estimate.

    `gain` bounds ‖V‖_X of the basis V, which is 1 up to rounding.
    """

    kind: ClassVar[str] = "interpolation-certificate"

    problem: Interpolated
    model: ReducedModel
    residual: ResidualModel
    probe: Real
    gain: float
    error: str = "everywhere"
    boxes: Mapping[str, BoxBound] = field(default_factory=dict)

    @classmethod
    def build(
        cls,
        surrogate: ReducedBasis,
        problem: Problem | None = None,
        error: str = "everywhere",
        *,
        levels: int = 20,
        order: int = 8,
        compress: float = 0.02,
    ) -> Self:
        """The certificate of a basis that was built on an `Interpolated` problem.

        `levels` and `order`: cells per parameter and Taylor terms of "box". compress: the share of a typical residual
        that fewer coordinates may add to it (0: none). Raises InputError for another basis, another problem, or
        functions without the derivatives that "box" needs.
        """
        own = surrogate.problem
        if not isinstance(own, Interpolated):
            raise InputError(f"this basis was built for {type(own).__name__}, whose coefficients are not interpolated")
        if problem is not None and all(problem is not p and problem != p for p in (own, own.truth)):
            raise InputError(f"this basis was built for {own.truth!r}, not for {problem!r}; fit again for that one")
        check_choice("error", error, RULES)
        boxes = prepare_boxes(own, levels, order) if error == "box" else {}
        gain = _gain(surrogate.basis, own.space.inner("energy"), own.truth.forms.stiffness_norm)
        probe = probe_of(surrogate.basis, own.terms().lift)
        residual = compressed(surrogate, compress) if compress > 0 else surrogate.residual
        return cls(own, surrogate.model, residual, probe, gain, error, boxes)

    @property
    def guarantee(self) -> Guarantee:
        """In the energy norm of the true A(mu), from the full-order solution with the true coefficients."""
        if self.error == "next point":
            return Estimate(_NORM, "the interpolation error at all points but the next one")
        return Rigorous(_NORM, ("reduction", "interpolation", "round-off"))

    def bound(self, prediction: Prediction) -> Prediction:
        """The prediction with its bounds and output limits. `stats`: "interpolation" is the part of the bound that the
        interpolation makes, "floor" what rounding (and the compression of the residual) puts into it.

        Raises InputError for a prediction that is not in this basis.
        """
        values = self._reduced(prediction)
        coefficients = values.coefficients
        theta, phi = self.problem.coefficients(prediction.mu)
        table, parts = self.problem.truth.table(prediction.mu), self.problem.by_role(theta, phi)
        query = Query(table, parts, values)
        with one_thread(len(values.basis) * values.basis.shape[1] * min(len(theta), CHUNK)):
            errors = self._rule(self.problem, query)
            found = _Bounds(self, theta, phi, coefficients, errors)
            outputs = found.outputs()
        return replace(
            prediction,
            bound=_no_nan(found.bound),
            guarantee=self.guarantee,
            outputs=outputs,
            reason=_reasons(found.bound, errors),
            stats=dict(prediction.stats) | {"floor": _no_nan(found.floor), "interpolation": _no_nan(found.part)},
        )

    @cached_property
    def _rule(self) -> Rule:
        if self.error == "box":
            return in_boxes(self.boxes)
        return everywhere if self.error == "everywhere" else at_next_point

    def _reduced(self, prediction: Prediction) -> Reduced:
        values = prediction.values
        if not isinstance(values, Reduced):
            raise InputError("this certificate bounds reduced coefficients; certify a field with ResidualCertificate")
        if not np.array_equal(probe_of(values.basis, values.offset), self.probe):
            raise InputError("the prediction lives in another basis than the one this certificate was built for")
        coefficients = np.ascontiguousarray(values.coefficients, dtype=np.float64)
        return Reduced(coefficients, values.basis, self.problem.terms().lift)

    @cached_property
    def sizes(self) -> tuple[float, float, float]:
        """‖lift‖_X, ‖lift‖_{L²}, and the largest factor from a norm of X⁻¹ to a Euclidean one, 1/√λ_min(X)."""
        space, lift = self.problem.space, self.problem.terms().lift
        energy, mass = (float(lift @ (form.matrix @ lift)) for form in (space.energy, space.mass))
        return np.sqrt(max(energy, 0)) * (1 + 1e-9), np.sqrt(max(mass, 0)) * (1 + 1e-9), space.energy.lambda_min**-0.5

    def to_parts(self) -> Parts:
        """Reduced matrices and residual coordinates; the problem and the prepared bounds as children."""
        model, residual = self.model.to_stored(), self.residual.to_stored()
        config = {"model": model[0], "residual": residual[0], "gain": self.gain, "error": self.error}
        boxes = {f"box.{role}": box for role, box in self.boxes.items()}
        arrays = {"probe": self.probe, **model[1], **residual[1]}
        return Parts(config, arrays, {"problem": storable(self.problem), **boxes})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        """The certificate again."""
        model = ReducedModel.from_stored(config["model"], arrays)
        residual = ResidualModel.from_stored(config["residual"], arrays)
        boxes = {name.partition(".")[2]: box for name, box in children.items() if name.startswith("box.")}
        return cls(children["problem"], model, residual, arrays["probe"], config["gain"], config["error"], boxes)


class _Bounds:
    """One batch: everything that the bound of the field and those of the outputs share."""

    def __init__(self, own: InterpolationCertificate, theta: Real, phi: Real, coefficients: Real, errors: Errors):
        self.own, self.theta, self.phi, self.c, self.errors = own, theta, phi, coefficients, errors
        model, forms = own.model, own.problem.truth.forms
        self.root = np.sqrt(np.where(errors.lower > 0, errors.lower, np.nan))
        self._matrix_noise, load_noise = own.problem.rounding
        lift, mean_lift, self._dual = own.sizes
        self._constant = np.sqrt(forms.friedrichs)
        size = self._size(coefficients)
        change = (
            errors.diffusion * (size + lift)
            + errors.reaction * self._constant * (self._constant * size + mean_lift)
            + errors.source * self._constant
        )
        # both are bounds; the second knows where the solution is steep
        least = change if errors.weighted is None else np.minimum(change, errors.weighted)
        self.change = least * (1 + 4 * forms.slack + 64 * EPS)
        self.assembly = (
            self._assembly(coefficients, model.lift_length) + np.abs(phi) @ load_noise * self._dual * (1 + 64 * EPS)
        )  # fmt: skip
        norm, noise = self._residual(phi, coefficients)
        self.rounding = noise + self.assembly
        self.total = (norm + self.change + self.rounding) * (1 + 16 * EPS)
        made = self._made()
        self.floor = (self.rounding / self.root) * (1 + 16 * EPS) + made
        self.part = self.change / self.root
        self.bound = (self.total / self.root) * (1 + 16 * EPS) + made + _TINY

    def outputs(self) -> dict[str, Output]:
        """Corrected values with their limits."""
        model = self.own.model
        rest = self.phi @ model.loads - np.einsum("bq,qij,bj->bi", self.theta, model.matrices, self.c, optimize=True)
        return {name: self._output(i, unit, rest) for i, (name, unit) in enumerate(model.outputs)}

    def _output(self, i: int, unit: str, rest: Real) -> Output:
        model, count = self.own.model, len(self.own.model.functionals)
        z = solve(self.theta, np.ones((len(self.theta), 1)), model.packed, model.functionals[i : i + 1])
        chosen = np.zeros((len(z), self.phi.shape[1] + count))
        chosen[:, self.phi.shape[1] + i] = 1.0
        norm, noise = self._residual(chosen, z)
        size, errors = self._size(z), self.errors
        change = (errors.diffusion + errors.reaction * self._constant**2) * size * (1 + 4 * self.slack + 64 * EPS)
        total = norm + noise + change + self._assembly(z, 0.0)
        values = model.offsets[i] + self.c @ model.functionals[i] + np.einsum("bi,bi->b", z, rest)
        rounding = self._output_rounding(z, values, i) + self.assembly * size
        limit = (self.total / self.root) * (total / self.root) + self.change * size + rounding
        return Output(values, _no_nan(limit * (1 + 64 * EPS) + _TINY), unit)

    @property
    def slack(self) -> float:
        return self.own.problem.truth.forms.slack

    def _output_rounding(self, z: Real, values: Real, i: int) -> Real:
        """What rounding does to `l·u_N + z·(f - A c)` as it is evaluated."""
        model = self.own.model
        terms = np.abs(self.theta)[:, None, :] * np.abs(self.c)[:, :, None]
        scale = np.concatenate([np.abs(self.phi), terms.reshape(len(terms), -1)], axis=1) @ model.term_weights
        shift = np.abs(z) @ model.lengths * scale
        return np.abs(self.c) @ model.output_weights[:, i] + shift + 8 * EPS * (np.abs(values) + abs(model.offsets[i]))

    def _residual(self, phi: Real, coefficients: Real) -> tuple[Real, Real]:
        """`‖r_M‖_{X⁻¹}` as norm and rounding; φ may run on into the functionals."""
        residual = self.own.residual
        norm, noise = primal(self.theta, phi, coefficients, residual.rows, residual.weights, residual.fixed)
        return norm * residual.gain * (1 + gamma(residual.rows.shape[1] + 16)), noise * (1 + 16 * EPS)

    def _size(self, coefficients: Real) -> Real:
        """A bound of `‖Σ c_j v_j‖_X`."""
        return self.own.gain * np.linalg.norm(coefficients, axis=1) * (1 + gamma(coefficients.shape[1] + 4))

    def _assembly(self, coefficients: Real, lift: float) -> Real:
        """Rounding in the interpolated matrices, as a dual norm."""
        length = np.abs(coefficients) @ self.own.model.lengths + lift
        return np.abs(self.theta) @ self._matrix_noise * length * self._dual * (1 + 64 * EPS)

    def _made(self) -> Real:
        """Rounding in `lift + c @ basis` as it is handed out, in the energy norm of the true A."""
        model, forms = self.own.model, self.own.problem.truth.forms
        entries = gamma(model.modes + 2) * (np.abs(self.c) @ model.lengths) + 2 * EPS * model.lift_length
        norm = np.abs(self.theta) @ (model.term_norms + self._matrix_noise)
        norm = norm + self.errors.diffusion * forms.stiffness_norm + self.errors.reaction * forms.mass_norm
        return np.sqrt(norm) * entries


def _gain(basis: Real, inner: InnerProduct, norm: float) -> float:
    """A bound of ‖V‖_X = √‖V X Vᵀ‖₂ for rows that are orthonormal up to rounding."""
    gram = basis @ inner.apply(basis).T
    lengths = np.linalg.norm(basis, axis=1)
    noise = gamma(product_operations(basis.shape[1]) + basis.shape[1] + 64) * norm * np.outer(lengths, lengths)
    return float(np.sqrt(1 + np.linalg.norm(np.abs(gram - np.eye(len(gram))) + noise)))


def _reasons(bound: Real, errors: Errors) -> Array:
    reason = np.full(len(bound), "", dtype=object)
    reason[~np.isfinite(bound)] = "the reduced matrix is not positive definite to rounding"
    outside = ~np.isfinite(errors.diffusion + errors.reaction + errors.source)
    reason[outside] = "outside the box of parameters for which the interpolation error was bounded"
    reason[~(errors.lower > 0)] = "the true operator is not known to be coercive there"
    return reason


def _no_nan(values: Real) -> Real:
    """NaN (no factorisation) as +inf."""
    return np.where(np.isnan(values), np.inf, values)
