"""Which formula evaluates the residual's norm online, chosen by size and with its reason.

Both are bounds with their rounding counted, and neither depends on the full size. With K = Q_f + Q_A n functionals, the
orthonormal basis (`nwidth.rb.residual`) costs K M multiplications per query, M being the dimension of what the
functionals span; the interpolated form (`nwidth.rb.interpolated`) costs K m + 3 m² / 2 with m points. m follows the
dimension of the set of solutions, M the number of functionals: many terms and few parameters favour interpolation, one
term per parameter does not.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from nwidth.core.arrays import Array, Real
from nwidth.core.errors import InputError
from nwidth.core.validation import check_choice
from nwidth.problems.base import AffineTerms
from nwidth.rb.batched import primal, solve
from nwidth.rb.interpolated import InterpolatedResidual
from nwidth.rb.interpolated_build import interpolated_residual
from nwidth.rb.model import ReducedModel
from nwidth.rb.residual import ResidualBuilder, ResidualModel
from nwidth.rb.rounding import EPS, gamma
from nwidth.spaces.base import InnerProduct

KINDS = ("auto", "orthonormal", "interpolated")
_TINY = float(np.finfo(np.float64).tiny)


class ResidualEstimator(Protocol):
    """Anything that bounds `‖r‖_{X⁻¹}` of reduced coefficients."""

    @property
    def missing(self) -> str:
        """What keeps norm + noise from being a bound; empty for a bound."""
        ...

    @property
    def operations(self) -> int:
        """Multiplications per query."""
        ...

    def norms(self, theta: Real, phi: Real, coefficients: Real) -> tuple[Real, Real]:
        """Norm and noise, both `(B,)`, for θ `(B, Q_A)`, φ `(B, Q_f)`, coefficients `(B, n)`."""
        ...

    def truncate(self, modes: int, terms: int) -> "ResidualEstimator":
        """The same for the first `modes` modes."""
        ...

    def to_stored(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """Configuration and arrays."""
        ...


@dataclass(frozen=True, eq=False)
class OrthonormalResidual:
    """The orthonormal basis of representatives behind the protocol of estimators."""

    model: ResidualModel

    @property
    def missing(self) -> str:
        """Nothing: norm + noise is a bound."""
        return ""

    @property
    def operations(self) -> int:
        """K M + K."""
        return self.model.rows.size + len(self.model.rows)

    def norms(self, theta: Real, phi: Real, coefficients: Real) -> tuple[Real, Real]:
        """See `ResidualEstimator`."""
        model, arguments = self.model, [np.ascontiguousarray(part) for part in (theta, phi, coefficients)]
        norm, noise = primal(*arguments, model.rows, model.weights, model.fixed)
        gain = model.gain * (1 + gamma(model.rows.shape[1] + 16))
        return norm * gain, noise * (1 + 16 * EPS) + _TINY

    def truncate(self, modes: int, terms: int) -> "OrthonormalResidual":
        """The same for the first `modes` modes."""
        return replace(self, model=self.model.truncate(modes, terms))

    def to_stored(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """Configuration and arrays."""
        return self.model.to_stored()

    @classmethod
    def from_stored(cls, config: Mapping[str, Any], arrays: Mapping[str, Array]) -> "OrthonormalResidual":
        """The residual again."""
        return cls(ResidualModel.from_stored(config, arrays))


@dataclass(frozen=True, eq=False)
class Choice:
    """A residual estimator, and why it was taken."""

    estimator: OrthonormalResidual | InterpolatedResidual
    reason: str


def residual_estimator(
    terms: AffineTerms,
    functionals: Real,
    inner: InnerProduct,
    basis: Real,
    theta: Real,
    phi: Real,
    kind: str = "auto",
    coefficients: Real | None = None,
) -> Choice:
    """The estimator for a basis `(n, N)` that vanishes where values are prescribed.

    θ `(T, Q_A)` and φ `(T, Q_f)` are training coefficients; `coefficients (T, n)` those of the surrogate there, None
    for Galerkin's. `functionals (s, N)` of outputs are represented by the orthonormal basis only, which bounds the dual
    residuals with it: with functionals, "auto" is the orthonormal basis.

    Raises InputError for a kind that does not exist.
    """
    check_choice("kind", kind, KINDS)
    if coefficients is None:
        coefficients = galerkin(terms, basis, theta, phi)
    if kind == "orthonormal" or (kind == "auto" and len(functionals)):
        reason = "asked for" if kind == "orthonormal" else "outputs need the residuals of dual solutions too"
        return Choice(_orthonormal(terms, functionals, inner, basis, coefficients), f"orthonormal basis: {reason}")
    interpolated = interpolated_residual(terms, inner, basis, theta, phi, coefficients)
    if kind == "interpolated":
        return Choice(interpolated, "interpolation: asked for")
    return cheaper(_orthonormal(terms, functionals, inner, basis, coefficients), interpolated)


def cheaper(orthonormal: OrthonormalResidual, interpolated: InterpolatedResidual) -> Choice:
    """The one with fewer multiplications per query, and the comparison in words."""
    count, width = orthonormal.model.rows.shape
    one = f"the orthonormal basis takes {orthonormal.operations:,} multiplications per query ({count} x {width})"
    other = (
        f"interpolation {interpolated.operations:,} ({interpolated.points} points, {len(interpolated.sizes)} products)"
    )
    if interpolated.operations < orthonormal.operations:
        return Choice(interpolated, f"interpolation: {one}, {other}")
    return Choice(orthonormal, f"orthonormal basis: {one}, {other}")


def galerkin(terms: AffineTerms, basis: Real, theta: Real, phi: Real) -> Real:
    """Coefficients `(T, n)` of Galerkin's solutions.

    Raises InputError where a reduced matrix is not positive definite.
    """
    model = ReducedModel.empty(terms, {}).extended(terms, np.zeros((0, terms.loads.shape[1])), basis)
    arguments = [np.ascontiguousarray(part) for part in (theta, phi)]
    found = solve(*arguments, model.packed, model.loads)
    if not np.isfinite(found).all():
        row = int(np.argmin(np.isfinite(found).all(axis=1)))
        raise InputError(
            f"the reduced matrix of training row {row} is not positive definite; check the coefficients {theta[row]} "
            "and that the basis is linearly independent"
        )
    return found


def shares(coefficients: Real) -> Real:
    """The largest part that each mode of an orthonormal basis has in solutions with coefficients `(T, n)`, `(n,)`: what
    a residual's basis leaves out of a mode's functionals counts with that part only."""
    finite = np.abs(coefficients[np.isfinite(coefficients).all(axis=1)])
    whole = float(np.linalg.norm(finite, axis=1).max(initial=0.0))
    return finite.max(axis=0, initial=0.0) / whole if whole > 0 else np.ones(coefficients.shape[1])


def _orthonormal(
    terms: AffineTerms, functionals: Real, inner: InnerProduct, basis: Real, coefficients: Real
) -> OrthonormalResidual:
    builder = ResidualBuilder(terms, functionals, inner, len(basis))
    for mode, part in zip(basis, shares(coefficients), strict=True):  # as a search does
        builder.add(np.array(mode[None]), np.array([part]))
    return OrthonormalResidual(builder.model())
