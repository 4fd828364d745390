"""The lowest eigenvalue of `A v = λ X v`, computed: a good guess, and a proof of nothing (see `positive`)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import scipy.linalg as la
import scipy.sparse as sp

from nwidth.core.arrays import Real
from nwidth.core.seeding import generator
from nwidth.spaces.factor import factorised

_Map: TypeAlias = Callable[[Real], Real]

#: Up to this size the dense solver is the fastest.
_DENSE = 150
#: Lanczos steps, and those with an inverse; a part of the norm below which a new direction is rounding.
_LANCZOS, _INVERSE, _BREAKDOWN = 60, 16, 1e-10


@dataclass(frozen=True, eq=False)
class Lowest:
    """`value`, the Rayleigh quotient of `vector`, never below the smallest eigenvalue but for rounding; `spread`, the
    size of the spectrum; `doubt`, how far below it the eigenvalue may be, by experience."""

    value: float
    spread: float
    doubt: float
    vector: Real

    @property
    def negative(self) -> "Lowest":
        """The same pair for the matrix with the other sign."""
        return Lowest(-self.value, self.spread, self.doubt, self.vector)

    @classmethod
    def at(cls, value: float) -> "Lowest":
        """An estimate from elsewhere."""
        return cls(value, max(abs(value), 1e-3), 1e-6 * max(abs(value), 1e-3), np.zeros(0))


@dataclass(frozen=True, eq=False)
class Ends:
    """The lowest and the highest eigenpair."""

    lowest: Lowest
    highest: Lowest


def lowest(a: sp.csr_array, x: sp.csr_array | None) -> Lowest:
    """The lowest eigenpair of the pencil (A, X), X positive definite; without X, of a positive definite A alone."""
    if x is not None:
        return ends(a, x).lowest
    return _dense(a, None).lowest if a.shape[0] <= _DENSE else _inverse(a)


def ends(a: sp.csr_array, x: sp.csr_array, riesz: _Map | None = None) -> Ends:
    """Both ends of the spectrum of the pencil (A, X); `riesz`, `X⁻¹` for rows `(k, n)`, where the caller has it."""
    if a.shape[0] <= _DENSE:
        return _dense(a, x)
    return _by_riesz_maps(a, x, factorised(x).solve if riesz is None else riesz)


def _dense(a: sp.csr_array, x: sp.csr_array | None) -> Ends:
    values, vectors = la.eigh(a.toarray(), None if x is None else x.toarray())
    size = float(np.abs(values).max())
    doubt = 4e-16 * len(values) * size
    first, last = (Lowest(float(values[i]), size, doubt, vectors[:, i]) for i in (0, -1))
    return Ends(first, last)


def _inverse(a: sp.csr_array) -> Lowest:
    """By Lanczos with A⁻¹: the lowest eigenvalue of a discretised operator is far from the rest in the inverse."""
    factor = factorised(a)
    values, vectors = _lanczos(lambda v: factor.solve(v[None])[0], lambda v: v, a.shape[0], _INVERSE)
    value = 1 / float(values[-1])
    return Lowest(value, value, 1e-9 * value, vectors[-1])


def _by_riesz_maps(a: sp.csr_array, x: sp.csr_array, riesz: _Map) -> Ends:
    values, vectors = _lanczos(lambda v: riesz((a @ v)[None])[0], lambda v: x @ v, a.shape[0])
    spread = float(np.abs(values).max())

    def pair(i: int) -> Lowest:
        v, value = vectors[i], float(values[i])
        residual = a @ v - value * (x @ v)
        size = float(np.sqrt(max(residual @ riesz(residual[None])[0], 0.0)))  # ‖r‖_{X⁻¹} for ‖v‖_X = 1
        # the error of a Rayleigh quotient is of second order; a cluster at the edge of the spectrum makes it of first
        return Lowest(value, spread, size * min(1.0, 100 * size / spread) if spread > 0 else size, v)

    return Ends(pair(0), pair(1))


def _lanczos(operator: _Map, weigh: _Map, size: int, most: int = _LANCZOS) -> tuple[Real, Real]:
    """Lowest and highest Ritz value and vector of an operator that is symmetric in the product (v, weigh(w)).

    Every vector is made orthogonal to all before it, so that no eigenvalue appears twice.
    """
    steps = min(most, size)
    basis, weighed = np.empty((steps, size)), np.empty((steps, size))
    projected = np.zeros((steps, steps))
    v = operator(generator(0).standard_normal(size))
    for k in range(steps):
        image = weigh(v)
        length = np.sqrt(v @ image)
        basis[k], weighed[k] = v / length, image / length
        v = operator(basis[k])
        scale = np.abs(v).max()
        for _ in range(2):
            part = weighed[: k + 1] @ v
            projected[: k + 1, k] += part
            v = v - part @ basis[: k + 1]
        if np.abs(v).max() <= _BREAKDOWN * scale:
            steps = k + 1
            break
    h = projected[:steps, :steps]
    values, vectors = la.eigh((h + h.T) / 2 if steps == 1 else _tridiagonal(h))
    ends = vectors[:, [0, -1]].T @ basis[:steps]
    return values[[0, -1]], ends


def _tridiagonal(h: Real) -> Real:
    """The projected operator from its diagonal and the entries above it, which is where rounding leaves it."""
    above = np.diagonal(h, 1)
    return np.diag(np.diagonal(h)) + np.diag(above, 1) + np.diag(above, -1)
