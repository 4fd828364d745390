"""Batched conjugate gradients for fluxes: what they leave undone is balanced afterwards, so nothing rests on them."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from nwidth.core.arrays import Array, Real

#: A symmetric positive definite map of vectors `(B, n)`.
Map = Callable[[Real], Real]


@dataclass(frozen=True, eq=False)
class Steps:
    """Approximate solutions `(B, n)` and the steps that each took, `(B,)`."""

    x: Real
    steps: Array


def conjugate_gradients(apply: Map, riesz: Map, rhs: Real, wanted: Real, limit: int) -> Steps:
    """`A x ≈ rhs` until `‖r‖_{X⁻¹} <= wanted (B,)` or `limit` steps; a sample that is done stands still."""
    x, r = np.zeros_like(rhs), rhs.copy()
    z = riesz(r)
    p, rho = z.copy(), _dot(r, z)
    steps = np.zeros(len(rhs), dtype=int)
    for _ in range(limit):
        active = rho > wanted**2
        if not active.any():
            break
        q = apply(p)
        curvature = _dot(p, q)
        active &= curvature > 0
        step = np.where(active, rho / np.where(active, curvature, 1.0), 0.0)
        x += step[:, None] * p
        r -= step[:, None] * q
        z = riesz(r)
        rho, old = _dot(r, z), rho
        p = z + np.where(old > 0, rho / np.where(old > 0, old, 1.0), 0.0)[:, None] * p
        steps += active
    return Steps(x, steps)


def _dot(a: Real, b: Real) -> Real:
    return np.asarray(np.einsum("bn,bn->b", a, b))
