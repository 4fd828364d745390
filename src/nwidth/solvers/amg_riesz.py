"""A Riesz map by conjugate gradients with algebraic multigrid: for bounds on meshes whose factors would not fit.

The bound holds for any z (see `nwidth.bounds.dual_norm`): steps are made until what z misses raises it by no more than
a hundredth. How much that is at most follows from the proven λ_min(X), never from a Ritz value. Needs the
extra `mesh`.
"""

from collections.abc import Callable
from typing import Self

import numpy as np

from nwidth.core.arrays import Array, Real
from nwidth.core.errors import InputError
from nwidth.problems.base import Linear, System
from nwidth.solvers.amg import AMGState
from nwidth.spaces.base import InnerProduct
from nwidth.spaces.mesh import MatrixProduct

#: What `‖s‖²₂ / λ_min` may be of the squared norm, and of it for a Riesz map that is to be exact.
_ENOUGH, _EXACT = 1e-4, 1e-24
_STEPS = 200


class AMGRiesz(InnerProduct):
    """The energy inner product of a mesh without a factorisation; one hierarchy serves all right-hand sides.

    `riesz_roughly` is good enough for bounds; `riesz` goes on to rounding.
    """

    def __init__(self, inner: MatrixProduct, cycle: Callable[[Array], Array]):
        self._inner, self._cycle = inner, cycle

    @classmethod
    def of(cls, problem: Linear) -> Self:
        """Near-null fields are the problem's (`NearNull`). Raises InputError for a space without a matrix of X."""
        inner = problem.space.inner("energy")
        if not isinstance(inner, MatrixProduct):
            raise InputError(
                f"the inner product of {type(problem.space).__name__} is not a sparse matrix; multigrid is for meshes"
            )
        zero = np.zeros(len(inner.free))
        system = System(inner.matrix, zero, inner.free, zero)
        return cls(inner, AMGState(problem, "auto").preconditioner(inner.matrix, system))

    def apply(self, v: Array) -> Array:
        return self._inner.apply(v)

    def riesz(self, r: Array) -> Array:
        return self._solved(r, _EXACT)

    def riesz_roughly(self, r: Array) -> Array:
        """Until what is missing is small beside the norm itself."""
        return self._solved(r, _ENOUGH)

    @property
    def lambda_min(self) -> float:
        return self._inner.lambda_min

    def rounding(self, size: int) -> float:
        return self._inner.rounding(size)

    def _solved(self, r: Array, enough: float) -> Array:
        out = np.zeros(r.shape)
        places = np.flatnonzero(self._inner.free)
        for i, row in enumerate(r[:, places]):
            out[i, places] = self._solve(np.ascontiguousarray(row, dtype=np.float64), enough)
        return out

    def _solve(self, r: Real, enough: float) -> Real:
        """One right-hand side on the free dofs, scaled so that its squares are safe."""
        scale = float(np.abs(r).max(initial=0.0))
        if not (0 < scale < np.inf):
            return np.zeros_like(r)
        r, matrix, limit = r / scale, self._inner.matrix, self.lambda_min
        z, s = np.zeros_like(r), r / 1.0
        y = self._cycle(s)
        p, rho = y, float(s @ y)
        for _ in range(_STEPS):
            q = matrix @ p
            step = rho / float(p @ q)
            z, s = z + step * p, s - step * q
            if float(s @ s) <= enough * limit * float(z @ (r + s)):
                break
            y = self._cycle(s)
            rho, old = float(s @ y), rho
            if not (np.isfinite(rho) and rho > 0):
                break
            p = y + (rho / old) * p
        return np.asarray(scale * z)
