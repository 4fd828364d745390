"""The full-order steps of `M u' + A(t) u = f(t)`: the time-discrete solution that bounds of reduced bases refer to."""

import numpy as np
import scipy.sparse as sp

from nwidth.core.arrays import Array, Real
from nwidth.problems.base import AffineTerms
from nwidth.spaces.factor import Factor, Pattern, new_factor, restricted
from nwidth.spaces.mesh import Form


class StepMatrices:
    """`Σ_q θ_q A_q + s M` on the free dofs over one sparsity pattern, and the factorisation of the latest."""

    def __init__(self, terms: AffineTerms, mass: Form):
        self.free = terms.free
        parts = [restricted(sp.csr_array(m), terms.free) for m in (*terms.matrices, mass.matrix)]
        self.mass = parts[-1]
        ones = [sp.csr_array((np.ones(m.nnz), m.indices, m.indptr), m.shape) for m in parts]
        union = sp.csr_array(sum(ones))
        union.sort_indices()
        self._pattern = Pattern.of(union)
        self._values = np.stack([_spread(m, self._pattern) for m in parts])
        self._factor: Factor = new_factor(self._pattern)
        self._held = np.empty(0)

    def factor(self, weights: Real) -> Factor:
        """The factorisation for `weights (Q_A + 1,)`, M last; the latest is kept. Raises SingularMatrixError."""
        if not np.array_equal(self._held, weights):
            self._held = np.empty(0)
            self._factor.factorise(weights @ self._values)
            self._held = weights.copy()
        return self._factor


class March:
    """Trajectories that share their matrices, step by step: `level (k, N)` is the newest, zero off the free dofs.

    With s = 1 / (ϑ dt): `(A + s M) w_ϑ = f + s M w`, then `w⁺ = w + (w_ϑ - w) / ϑ`.
    """

    def __init__(self, matrices: StepMatrices, dt: float, weight: float, start: Real):
        self._matrices, self._weight, self._scale = matrices, weight, 1.0 / (weight * dt)
        self.level = np.array(start, dtype=np.float64)

    def step(self, theta: Real, loads: Real) -> Real:
        """One step with coefficients `θ (Q_A,)` and loads `(k, N)`; returns the states at its point `(k, N)`."""
        m, free = self._matrices, self._matrices.free
        old = np.ascontiguousarray(self.level[:, free])
        right = loads[:, free] + self._scale * np.ascontiguousarray((m.mass @ old.T).T)
        factor = m.factor(np.append(theta, self._scale))
        point = np.zeros(self.level.shape)
        point[:, free] = factor.solve(np.ascontiguousarray(right))
        self.level = self.level + (point - self.level) / self._weight if self._weight < 1 else point
        return point


def _spread(matrix: sp.csr_array, pattern: Pattern) -> Array:
    """The values of a matrix in the places of a larger pattern."""
    size = matrix.shape[0]
    rows = np.repeat(np.arange(size, dtype=np.int64), np.diff(matrix.indptr))
    keys = pattern.rows.astype(np.int64) * size + pattern.indices
    places = np.searchsorted(keys, rows * size + matrix.indices)
    return np.bincount(places, matrix.data, minlength=len(keys))
