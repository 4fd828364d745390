"""Marches with a constant-coefficient operator, `M (z^k - z^{k-1}) / dt + ω X z_ϑ^k = r^k` from zero, one ω per sample.

Approximate is good enough: whoever uses z measures what it leaves.
"""

from abc import ABC, abstractmethod

import numpy as np
import scipy.fft
import scipy.sparse as sp

from nwidth.core.arrays import Mask, Real
from nwidth.core.errors import InputError
from nwidth.spaces.base import FunctionSpace
from nwidth.spaces.factor import Factor, factorised, restricted
from nwidth.spaces.grid import Grid
from nwidth.spaces.grid_products import eigenvalues
from nwidth.spaces.mesh import MatrixProduct

#: Where each ω costs a factorisation, ω is a power of this number.
_RATIO = 1.2


class ConstantMarch(ABC):
    """The march above for one step length and one ϑ."""

    @abstractmethod
    def weights(self, wanted: Real) -> Real:
        """The ω that will be used for those wanted, `(B,)`: the same, or close to it."""

    @abstractmethod
    def levels(self, r: Real, omega: Real) -> Real:
        """The levels 0, 1, ..., K for r `(B, K, N)`, zero off the free dofs: `(B, K + 1, N)`."""


class FactorisedMarch(ConstantMarch):
    """With one factorisation for each ω, kept; samples that share it go together."""

    def __init__(self, x: sp.csr_array, mass: sp.csr_array, free: Mask, dt: float, weight: float):
        self._x, self._mass, self._free = x, sp.csr_array(mass / (weight * dt)), free
        self._weight = weight
        self._factors: dict[float, Factor] = {}

    def weights(self, wanted: Real) -> Real:
        return _RATIO ** np.round(np.log(wanted) / np.log(_RATIO))

    def levels(self, r: Real, omega: Real) -> Real:
        out = np.zeros((len(r), r.shape[1] + 1, r.shape[2]))
        for value in np.unique(omega):
            rows = np.flatnonzero(omega == value)
            factor, z = self._factor(float(value)), np.zeros((len(rows), self._x.shape[0]))
            everywhere = np.zeros((len(rows), r.shape[2]))
            for k in range(r.shape[1]):
                right = r[rows, k][:, self._free] + np.ascontiguousarray((self._mass @ z.T).T)
                z = z + (factor.solve(np.ascontiguousarray(right)) - z) / self._weight
                everywhere[:, self._free] = z
                out[rows, k + 1] = everywhere
        return out

    def _factor(self, value: float) -> Factor:
        if value not in self._factors:
            self._factors[value] = factorised(sp.csr_array(self._mass + value * self._x))
        return self._factors[value]


class SineMarch(ConstantMarch):
    """On the inner nodes of a grid whose mass is a number: sine transforms of all steps at once, then one recursion for
    each mode."""

    def __init__(self, grid: Grid, mass: float, dt: float, weight: float):
        self._box, self._shape = (slice(None), slice(None), *grid.free_box), grid.shape
        self._shift, self._weight = mass / (weight * dt), weight
        parts = [c * eigenvalues(n) for c, n in zip(grid.face_weights, grid.shape, strict=True)]
        self._values = np.zeros([len(p) for p in parts])
        for d, part in enumerate(parts):
            self._values += part.reshape(-1, *(1,) * (len(parts) - d - 1))

    def weights(self, wanted: Real) -> Real:
        return wanted

    def levels(self, r: Real, omega: Real) -> Real:
        axes = tuple(range(2, len(self._shape) + 2))
        modes = r.reshape(*r.shape[:2], *self._shape)[self._box]
        modes = scipy.fft.dstn(modes, type=1, axes=axes, norm="ortho")
        inverse = 1.0 / (self._shift + omega.reshape(-1, *(1,) * len(self._shape)) * self._values)
        z = np.zeros_like(modes[:, 0])
        for k in range(r.shape[1]):
            point = (modes[:, k] + self._shift * z) * inverse
            z = z + (point - z) / self._weight
            modes[:, k] = z
        out = np.zeros((len(r), r.shape[1] + 1, *self._shape))
        out[:, 1:][self._box] = scipy.fft.dstn(modes, type=1, axes=axes, norm="ortho", overwrite_x=True)
        return out.reshape(len(r), r.shape[1] + 1, -1)


def has_march(space: FunctionSpace) -> bool:
    """Whether a space has a fast march, given a mass that suits it."""
    return isinstance(space.inner("energy"), MatrixProduct) or (isinstance(space, Grid) and space.inside)


def constant_march(space: FunctionSpace, mass: sp.csr_array, free: Mask, dt: float, weight: float) -> ConstantMarch:
    """The march for a space with a mass `(N, N)`. Raises InputError where there is none that is fast."""
    inner = space.inner("energy")
    inside = restricted(sp.csr_array(mass), free)
    if isinstance(inner, MatrixProduct):
        return FactorisedMarch(inner.matrix, inside, free, dt, weight)
    value = constant_diagonal(inside)
    if isinstance(space, Grid) and space.inside and value is not None:
        return SineMarch(space, value, dt, weight)
    raise InputError(f"no fast march on {space!r} with this mass and these boundaries; use sweeps=0, which needs none")


def constant_diagonal(matrix: sp.csr_array) -> float | None:
    """The number that a matrix is, or None where it is no number times the identity."""
    diagonal: Real = matrix.diagonal()
    off = matrix - sp.diags_array(diagonal)
    same = len(diagonal) and float(np.ptp(diagonal)) == 0.0 and abs(off).max() == 0.0
    return float(diagonal[0]) if same else None
