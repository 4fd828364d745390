"""How far off a field is, from both sides, once there is a better one or a direction to it.

For `A u = f` symmetric positive definite on the free dofs, and residuals `r_v = f - A v`:

    ‖u - a‖²_A - ‖u - b‖²_A = (b - a)ᵀ (r_a + r_b)          for any two fields a, b that carry the prescribed values,
    |r_vᵀ p| / √(pᵀ A p)   <= ‖u - v‖_A                      for any direction p (Cauchy and Schwarz).

Neither line needs a stability constant, nor anything about where b or p come from. With b an iterate of conjugate
gradients started at a, the first is the Gauss quadrature lower bound of Hestenes and Stiefel (1952, theorem 6:1) summed
over all steps; with p the next direction of conjugate gradients, the second is that bound with a delay of one step
(Strakoš and Tichý, Electron. Trans. Numer. Anal. 13 (2002), section 4): both in a form that rounding in the iteration
cannot break, since the residuals are recomputed. What rounding adds to the evaluation is counted.

A direction gives an upper bound as well, where there is a stability constant: for any number t

    ‖u - v‖²_A = t (2 r_vᵀ p - t pᵀ A p) + ‖r_v - t A p‖²_{A⁻¹},

of which the last term, smaller than the whole by what a step along p brings, is left to the chord bound.
"""

import numpy as np

from nwidth.bounds.dual_norm import euclidean, largest, power_of_two
from nwidth.bounds.residual import EPS, Residual
from nwidth.core.arrays import Array, Real
from nwidth.problems.base import Stability, Systems
from nwidth.spaces.base import InnerProduct

#: A vector is made this large before `|A||p|` is read off `|A||p| + |f|`, so that the load does not count.
_LARGE = 1e100
#: Squares below this may have lost digits.
_VANISHING = 1e-250


def direction_lower(systems: Systems, r: Array, p: Array, q: Array, noise: Real, coercivity: Real) -> Real:
    """`|rᵀp| / √(pᵀAp)` less rounding, `(B,)`: a lower bound of the energy error of the field whose residual r is.

    q `(B, N)`: A p as computed. noise `(B,)`: a bound of the rounding error of r in the X⁻¹ norm (`round_off`);
    coercivity: `α X <= A`. Zero where the direction tells nothing.
    """
    size = np.max(np.abs(p), axis=1, initial=0.0)
    scale = np.where(size > 0, size, 1.0)[:, None]
    p, q = p / scale, q / scale
    products, count, absolute = np.abs(_dot(r, p)), p.shape[1] + 8, np.abs(p)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        rounding = systems.terms * EPS * _dot(absolute, systems.magnitude(_LARGE * p)) / _LARGE
        energy = np.maximum(_dot(p, q), 0.0) + rounding + count * EPS * _dot(absolute, np.abs(q))
        lost = count * EPS * _dot(absolute, np.abs(r)) + noise * np.sqrt(energy / coercivity)
        found = (products - lost) / np.sqrt(energy)
    return np.where((size > 0) & (found > 0) & np.isfinite(found), found * (1 - 16 * EPS), 0.0)


def stepped_upper(
    systems: Systems, inner: InnerProduct, stability: Stability, r: Array, p: Array, q: Array, noise: Real
) -> Real:
    """An upper bound of the energy error of the field whose residual r is, one step along p ahead of the chord bound.

    q `(B, N)`: A p as computed. noise `(B,)`: a bound of the rounding error of r in the X⁻¹ norm (`round_off`). +inf
    where no constant above zero is known or the direction tells nothing. Holds for any p, whatever its origin.
    """
    known, height = stability.lower > 0, power_of_two(largest(r))
    scale = np.ldexp(1.0, np.clip(np.frexp(largest(p))[1], -1000, 1000))[:, None]
    r, p, q = r / height[:, None], p / scale, q / scale  # powers of two: exact
    count, absolute = p.shape[1] + 8, np.abs(p)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        sizes = systems.magnitude(_LARGE * p) / _LARGE
        product, energy = _dot(r, p), _dot(p, q)
        t = np.where(energy > 0, product / energy, 0.0)
        gain, shaken = t * (2 * product - t * energy), systems.terms * EPS * _dot(absolute, sizes)
        lost = 2 * count * EPS * _dot(absolute, np.abs(r))
        lost += np.abs(t) * (shaken + count * EPS * _dot(absolute, np.abs(q)))
        lost = np.abs(t) * lost + 8 * EPS * (2 * np.abs(t * product) + t**2 * energy)
        drift = np.abs(t) * systems.terms * EPS * euclidean(sizes)
        drift += 2 * EPS * (euclidean(r) + np.abs(t) * euclidean(q))
        left = Residual.from_residual(inner, r - t[:, None] * q, drift * (1 + 8 * EPS) / np.sqrt(inner.lambda_min))
        rest = left.energy(systems, inner, stability).upper
        squared = np.maximum(gain, 0.0) + lost + rest**2
        found = height * np.sqrt(squared) + noise / np.sqrt(np.where(known, stability.lower, 1.0))
    return np.where(known & (t != 0) & np.isfinite(found), found * (1 + 16 * EPS), np.inf)


def error_before(systems: Systems, start: Array, better: Array, lower: Real, upper: Real) -> tuple[Real, Real]:
    """Lower and upper bounds of `‖u - start‖_A`, `(B,)` each, given those of `‖u - better‖_A`.

    start, better: dofs `(B, N)` that carry the prescribed values. The better the better field, the closer both are.
    """
    gain, noise = _gained(systems, start, better)
    low = np.sqrt(np.maximum(gain - noise + lower**2, 0.0)) * (1 - 16 * EPS)
    high = np.sqrt(np.maximum(gain + noise, 0.0) + upper**2) * (1 + 16 * EPS)
    # what overflows says nothing: zero and +inf, never NaN
    return np.where(np.isfinite(low), low, 0.0), np.where(np.isfinite(high), high, np.inf)


def error_after(systems: Systems, start: Array, better: Array, upper: Real) -> Real:
    """An upper bound of `‖u - better‖_A`, `(B,)`, given one of `‖u - start‖_A`; dofs as for `error_before`."""
    with np.errstate(over="ignore", invalid="ignore"):
        gain, noise = _gained(systems, start, better)
        square = upper**2
        left = np.maximum(square - gain, 0.0) + noise + 8 * EPS * (square + np.abs(gain))
        found = np.sqrt(left) * (1 + 16 * EPS)
    # squares that vanish have lost digits
    return np.where(np.isfinite(found) & (square > _VANISHING), found, np.inf)


def _gained(systems: Systems, start: Array, better: Array) -> tuple[Real, Real]:
    """`‖u - start‖²_A - ‖u - better‖²_A` and a bound of its rounding, `(B,)` each."""
    step, count = better - start, start.shape[1] + 8
    first, second = start - systems.lift, better - systems.lift
    residuals = 2.0 * systems.load - systems.apply(first + second)
    # `scale` is above |A| (|first| + |second|) + 2 |load|, hence above |residuals| too
    scale = systems.magnitude(np.abs(first) + np.abs(second)) + np.abs(systems.load)
    noise = (systems.terms + count + 2) * EPS * _dot(np.abs(step), scale) + np.finfo(np.float64).tiny
    return _dot(step, residuals), noise


def _dot(a: Array, b: Array) -> Real:
    return np.asarray(np.einsum("bn,bn->b", a, b))
