"""The energy inner product of a grid with any boundary, inverted by one-dimensional eigenvectors."""

from functools import reduce

import numpy as np

from nwidth.core.arrays import Array, Real
from nwidth.core.errors import InputError
from nwidth.core.validation import check_batched
from nwidth.spaces._dense import product
from nwidth.spaces.base import InnerProduct
from nwidth.spaces.grid_axis import GridAxis

#: A load on functions up to constants may have a mean of this size, relative to the mean of its absolute values.
_MEAN = 1e-8
_EPS = float(np.finfo(np.float64).eps)


class GridModes(InnerProduct):
    """`X = Σ_d K_d ⊗ (widths of the other directions)` on the free dofs of a grid with any boundary types.

    K_d is `GridAxis.stiffness`. With `K_d V_d = W_d V_d Λ_d` and V = ⊗ V_d the Riesz map is `V (Σ_d Λ_d)⁻¹ Vᵀ`: dense
    products of the size of one direction (fast diagonalisation).

    Where no end is fixed, X acts on functions up to constants. Loads with a mean have no solution: `dual_norm` refuses
    them. `riesz` is the pseudo-inverse: it drops the mean (in a residual that is all rounding, nobody can tell) and
    returns the function of mean zero.
    """

    def __init__(self, directions: tuple[GridAxis, ...]):
        self._shape = tuple(axis.size for axis in directions)
        self._box = (slice(None), *(axis.free for axis in directions))
        self._widths = [axis.widths[axis.free] for axis in directions]
        self._stiffness = [axis.stiffness() for axis in directions]
        values, self._vectors = zip(*(axis.modes() for axis in directions), strict=True)
        self._values = reduce(np.add.outer, values)
        self._floating = not any(axis.fixed for axis in directions)

    def apply(self, v: Array) -> Array:
        v, dim = self._inside(v), len(self._widths)
        total = np.zeros_like(v)
        for d in range(dim):
            part = _along(v, self._stiffness[d], d + 1)
            for other in set(range(dim)) - {d}:
                part *= self._widths[other].reshape(-1, *(1,) * (dim - other - 1))
            total += part
        return self._everywhere(total)

    def riesz(self, r: Array) -> Array:
        r = self._inside(r)
        values = self._values
        if self._floating:
            values = values.copy()
            values.flat[0] = np.inf  # drops the mean
        for d, vectors in enumerate(self._vectors, start=1):
            r = _along(r, vectors.T, d)
        r = r / values
        for d, vectors in enumerate(self._vectors, start=1):
            r = _along(r, vectors, d)
        return self._everywhere(r)

    def dual_norm(self, r: Array) -> Real:
        """`√(rᵀ X⁻¹ r)`, `(B,)`. Raises InputError for a load that does not sum to zero where no end is fixed."""
        if self._floating:
            _check_mean(self._inside(r))
        return super().dual_norm(r)

    @property
    def lambda_min(self) -> float:
        """The smallest eigenvalue relative to the mass (the smallest but 0 without fixed ends), times the smallest
        volume."""
        volume = float(np.prod([w.min() for w in self._widths]))
        return float(np.sort(self._values, axis=None)[int(self._floating)]) * volume

    def rounding(self, size: int) -> float:
        """Three products along each direction (all others are by zeros), times widths, summed."""
        total = 0.0
        for d, stiffness in enumerate(self._stiffness):
            others = [w.max() for k, w in enumerate(self._widths) if k != d]
            total += float(np.abs(stiffness).sum(axis=1).max() * np.prod(others))
        return 32 * _EPS * total

    def _inside(self, v: Array) -> Real:
        v = check_batched("dofs", v, (int(np.prod(self._shape)),))
        return np.ascontiguousarray(v.reshape(len(v), *self._shape)[self._box], dtype=np.float64)

    def _everywhere(self, inside: Real) -> Real:
        out = np.zeros((len(inside), *self._shape))
        out[self._box] = inside
        return out.reshape(len(inside), -1)


def _along(v: Real, matrix: Real, axis: int) -> Real:
    """`matrix` applied to one axis of `v`, one sample and one slab at a time."""
    lines = np.ascontiguousarray(np.moveaxis(v, axis, -1))
    flat = lines.reshape(-1, lines.shape[-1])
    out = product(flat, np.ascontiguousarray(matrix.T), np.empty_like(flat))
    return np.ascontiguousarray(np.moveaxis(out.reshape(lines.shape), -1, axis))


def _check_mean(r: Real) -> None:
    flat = r.reshape(len(r), -1)
    mean, size = flat.sum(axis=1), np.abs(flat).sum(axis=1)
    bad = ~(np.abs(mean) <= _MEAN * size)
    if bad.any():
        row = int(np.argmax(bad))
        raise InputError(
            f"load {row} sums to {mean[row]:.3g} (its absolute values to {size[row]:.3g}, {int(bad.sum())} of {len(r)} "
            "loads are like it); no end of this grid is Dirichlet or Robin, so only loads that sum to zero have a "
            "solution: balance sources and boundary fluxes, or subtract the mean"
        )
