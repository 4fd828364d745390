"""Coefficients of exponential Runge-Kutta steps, accurate for every argument.

Written as quotients they lose all digits near zero; there a Taylor series takes over (Kassam & Trefethen 2005 average
over a contour instead, to the same effect).
"""

from dataclasses import dataclass
from math import factorial

import numpy as np

from nwidth.core.arrays import Array

#: Within this distance of zero the series is used. At its edge the quotients lose at most two digits.
_NEAR = 1.0
_TERMS = 22


@dataclass(frozen=True, eq=False)
class ETDRK4Coefficients:
    """Factors of one step h of ETDRK4 for the symbol L, with z = h L:

    `full` e^z, `half` e^(z/2), `stage` h/2 φ1(z/2), and the weights `first` h (φ1 - 3 φ2 + 4 φ3),
    `middle` h (2 φ2 - 4 φ3) and `last` h (4 φ3 - φ2).
    """

    full: Array
    half: Array
    stage: Array
    first: Array
    middle: Array
    last: Array


def etdrk4_coefficients(symbol: Array, h: float) -> ETDRK4Coefficients:
    """The factors of a step h (Cox & Matthews 2002, equations 26-29), float64 or complex128, of the symbol's shape."""
    z = h * np.asarray(symbol)
    half = z / 2
    weights = _weights(z)
    return ETDRK4Coefficients(np.exp(z), np.exp(half), h / 2 * _phi1(half), *(h * w for w in weights))


def _phi1(z: Array) -> Array:
    """(e^z - 1) / z."""
    safe = np.where(z == 0, 1.0, z)
    return np.where(z == 0, 1.0, np.expm1(z) / safe)


def _weights(z: Array) -> tuple[Array, Array, Array]:
    near = np.abs(z) < _NEAR
    far, close = np.where(near, 1.0, z), np.where(near, z, 0.0)
    e, cube = np.exp(far), far**3
    quotients = (
        (e * (4 - 3 * far + far**2) - 4 - far) / cube,
        2 * (e * (far - 2) + 2 + far) / cube,
        (e * (4 - far) - 4 - 3 * far - far**2) / cube,
    )
    p1, p2, p3 = (_series(close, order) for order in (1, 2, 3))
    series = (p1 - 3 * p2 + 4 * p3, 2 * p2 - 4 * p3, 4 * p3 - p2)
    first, middle, last = (np.where(near, s, q) for s, q in zip(series, quotients, strict=True))
    return first, middle, last


def _series(z: Array, order: int) -> Array:
    """φ_order(z) = Σ_j z^j / (j + order)!, by Horner's rule."""
    total = np.zeros_like(z)
    for j in range(_TERMS, -1, -1):
        total = total * z + 1 / factorial(j + order)
    return total
