"""The dual norm of a residual from a Riesz map of any quality, bounded from both sides with every rounding counted.

For any z, with `s = r - X z`,

    ‖r‖²_{X⁻¹} = zᵀ (r + s) + ‖s‖²_{X⁻¹},        0 <= ‖s‖²_{X⁻¹} <= ‖s‖²₂ / λ_min(X).

What z misses enters squared, so that a Riesz map in single precision, or some steps of multigrid, is as good as an
exact one. (Never above `‖z‖_X + ‖s‖₂ / √λ_min(X)`, in which it enters as it is.) Rounding: Higham, Accuracy and
Stability of Numerical Algorithms (2002), section 3.1.
"""

from dataclasses import dataclass, fields

import numpy as np

from nwidth.core.arrays import Array, Real
from nwidth.spaces.base import InnerProduct

EPS = float(np.finfo(np.float64).eps)
#: Squares of numbers between these neither overflow nor vanish, also summed and divided by an eigenvalue.
_SMALL, _LARGE = 1e-100, 1e100


@dataclass(frozen=True, eq=False)
class DualNorm:
    """`lower <= ‖r‖_{X⁻¹} <= upper`, `(B,)`, and what they were found with: for the z that was used, `length` = ‖z‖₂ as
    computed, `least <= ‖z‖_X <= energy`, and a bound from above of ‖r - X z‖_{X⁻¹}, `rest`."""

    upper: Real
    lower: Real
    length: Real
    energy: Real
    least: Real
    rest: Real

    @classmethod
    def from_sums(cls, sums: "Sums", size: int, inner: InnerProduct) -> "DualNorm":
        """From the sums over z, r and s = r - X z, vectors of `size` entries, as they were computed."""
        paid = (size + 8) * EPS
        length, whole, left = np.sqrt(sums.zz), np.sqrt(sums.rr), np.sqrt(sums.ss)
        product = inner.rounding(size) * length
        rest = (left + product) * (1 + paid) / np.sqrt(inner.lambda_min)
        loss = length * (product + paid * (whole + 2 * left)) * (1 + paid)
        squared = sums.zr + sums.zs
        upper = np.sqrt(np.maximum(squared, 0.0) + loss + rest**2) * (1 + 8 * EPS)
        lower = np.sqrt(np.maximum(squared - loss, 0.0)) * (1 - 8 * EPS)
        energy = np.sqrt(np.maximum(sums.zr - sums.zs, 0.0) + loss) * (1 + 8 * EPS)
        least = np.sqrt(np.maximum(sums.zr - sums.zs - loss, 0.0)) * (1 - 8 * EPS)
        return cls(
            upper=_known(upper, np.inf),
            lower=_known(lower, 0.0),
            length=length,
            energy=_known(energy, np.inf),
            least=_known(least, 0.0),
            rest=_known(rest, np.inf),
        )

    def times(self, scale: Real) -> "DualNorm":
        """Of the functionals times powers of two `(B,)`."""
        return DualNorm(*(scale * getattr(self, part.name) for part in fields(self)))


@dataclass(frozen=True, eq=False)
class Sums:
    """The products of z, r and s = r - X z with each other, `(B,)` each."""

    zr: Real
    zs: Real
    zz: Real
    rr: Real
    ss: Real


def represented(inner: InnerProduct, r: Array) -> tuple[Array, DualNorm]:
    """z, about X⁻¹ r, and the bounds that it gives, for functionals `(B, N)`, float64.

    Infinite and zero where numbers overflow, never NaN.
    """
    scale = power_of_two(largest(r))
    if (scale == 1).all():
        return _represented(inner, r)
    z, dual = _represented(inner, r / scale[:, None])
    return z * scale[:, None], dual.times(scale)


def _represented(inner: InnerProduct, r: Array) -> tuple[Array, DualNorm]:
    z = inner.riesz_roughly(r)
    s = r - inner.apply(z)
    return z, DualNorm.from_sums(Sums(dot(z, r), dot(z, s), dot(z, z), dot(r, r), dot(s, s)), r.shape[1], inner)


def dual_norm_upper(inner: InnerProduct, r: Array) -> Real:
    """An upper bound of `‖r‖_{X⁻¹}`, `(B,)`, whatever the accuracy of the Riesz map."""
    return represented(inner, r)[1].upper


def dot(a: Array, b: Array) -> Real:
    """`aᵀ b` of each row, `(B,)`."""
    return np.asarray(np.einsum("bn,bn->b", a, b))


def euclidean(v: Array) -> Real:
    """An upper bound of `‖v‖₂` of each row, `(B,)`, for numbers of any size."""
    scale = power_of_two(largest(v))
    v = v if (scale == 1).all() else v / scale[:, None]
    found = np.sqrt(dot(v, v)) * scale * (1 + (v.shape[1] + 8) * EPS)
    return _known(found, np.inf)


def largest(v: Array) -> Real:
    """The largest absolute value of each row, `(B,)`."""
    return np.asarray(np.maximum(v.max(axis=1, initial=0.0), -v.min(axis=1, initial=0.0)))


def power_of_two(size: Real) -> Real:
    """Scales for rows with largest entries `size (B,)`: 1 where squares are safe, else the power of two just above."""
    unsafe = ((size < _SMALL) | (size > _LARGE)) & (size > 0) & np.isfinite(size)
    exponent = np.where(unsafe, np.clip(np.frexp(np.where(unsafe, size, 1.0))[1], -1000, 1000), 0)
    return np.ldexp(1.0, exponent)


def _known(values: Real, otherwise: float) -> Real:
    return np.where(np.isnan(values), otherwise, values)
