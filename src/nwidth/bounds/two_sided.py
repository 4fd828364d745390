"""How far off a field is, from both sides, once there is a better one or a direction to it.

For `A u = f` symmetric positive definite on the free dofs, and residuals `r_v = f - A v`:

    ‖u - a‖²_A - ‖u - b‖²_A = (b - a)ᵀ (r_a + r_b)          for any two fields a, b that carry the prescribed values,
    |r_vᵀ p| / √(pᵀ A p)   <= ‖u - v‖_A                      for any direction p (Cauchy and Schwarz).

Neither line needs a stability constant, nor anything about where b or p come from. With b an iterate of conjugate
gradients started at a, the first is the Gauss quadrature lower bound of Hestenes and Stiefel (1952, theorem 6:1) summed
over all steps; with p the next direction of conjugate gradients, the second is that bound with a delay of one step
(Strakoš and Tichý, Electron. Trans. Numer. Anal. 13 (2002), section 4): both in a form that rounding in the iteration
cannot break, since the residuals are recomputed. What rounding adds to the evaluation is counted.
"""

import numpy as np

from nwidth.bounds.residual import EPS
from nwidth.core.arrays import Array, Real
from nwidth.problems.base import Systems

#: A vector is made this large before `|A||p|` is read off `|A||p| + |f|`, so that the load does not count.
_LARGE = 1e100


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


def error_before(systems: Systems, start: Array, better: Array, lower: Real, upper: Real) -> tuple[Real, Real]:
    """Lower and upper bounds of `‖u - start‖_A`, `(B,)` each, given those of `‖u - better‖_A`.

    start, better: dofs `(B, N)` that carry the prescribed values. The better the better field, the closer both are.
    """
    step, count = better - start, start.shape[1] + 8
    first, second = start - systems.lift, better - systems.lift
    residuals = 2.0 * systems.load - systems.apply(first + second)
    gain = _dot(step, residuals)
    # `scale` is above |A| (|first| + |second|) + 2 |load|, hence above |residuals| too
    scale = systems.magnitude(np.abs(first) + np.abs(second)) + np.abs(systems.load)
    noise = (systems.terms + count + 2) * EPS * _dot(np.abs(step), scale) + np.finfo(np.float64).tiny
    low = np.sqrt(np.maximum(gain - noise + lower**2, 0.0)) * (1 - 16 * EPS)
    high = np.sqrt(np.maximum(gain + noise, 0.0) + upper**2) * (1 + 16 * EPS)
    # what overflows says nothing: zero and +inf, never NaN
    return np.where(np.isfinite(low), low, 0.0), np.where(np.isfinite(high), high, np.inf)


def _dot(a: Array, b: Array) -> Real:
    return np.asarray(np.einsum("bn,bn->b", a, b))
