"""An energy inner product X together with its matrix: for matrices that are not positive definite."""

from dataclasses import dataclass
from functools import reduce

import numpy as np
import scipy.sparse as sp

from nwidth.bounds.dual_norm import EPS, represented
from nwidth.core.arrays import Array, Real
from nwidth.core.errors import InputError
from nwidth.problems.grid_terms import GridTerms
from nwidth.problems.stencils import Stencils
from nwidth.spaces.algebraic import Algebraic
from nwidth.spaces.base import FunctionSpace, InnerProduct
from nwidth.spaces.complex_grid import ComplexGrid
from nwidth.spaces.factor import restricted
from nwidth.spaces.grid import Grid, Side
from nwidth.spaces.mesh import MeshSpace


@dataclass(frozen=True, eq=False)
class Metric:
    """X by its products and its Riesz map, `inner`, the same for real vectors, `real`, and `largest` >= λ_max(X)."""

    inner: InnerProduct
    real: InnerProduct
    largest: float

    @classmethod
    def of(cls, space: FunctionSpace) -> "Metric":
        """Raises InputError for a space in which X does not see constants, or that gives no matrix of X."""
        largest, inner = absolute_norm(energy_matrix(space)), space.inner("energy")
        if isinstance(space, ComplexGrid):
            return cls(inner, Grid.inner(space, "energy"), largest)
        is_complex = np.issubdtype(space.dtype, np.complexfloating)
        return cls(inner, _OfRealVectors(inner) if is_complex else inner, largest)

    def dual_norm(self, r: Array) -> tuple[Real, Real]:
        """An upper and a lower bound of `‖r‖_{X⁻¹} = √(rᴴ X⁻¹ r)` of each row, `(B,)` each, real or complex.

        They hold whatever the accuracy of the Riesz map, see `nwidth.bounds.dual_norm`; X is real, so that the squares
        of real and imaginary part add.
        """
        if not np.iscomplexobj(r):
            found = represented(self.real, r)[1]
            return found.upper, found.lower
        real, imaginary = (represented(self.real, np.ascontiguousarray(part))[1] for part in (r.real, r.imag))
        paid = 4 * EPS
        return (
            np.hypot(real.upper, imaginary.upper) * (1 + paid),
            np.hypot(real.lower, imaginary.lower) * (1 - paid),
        )


class _OfRealVectors(InnerProduct):
    """A real X that is given as products with complex vectors."""

    def __init__(self, inner: InnerProduct):
        self._inner = inner

    def apply(self, v: Array) -> Array:
        return self._inner.apply(v + 0j).real

    def riesz(self, r: Array) -> Array:
        return self._inner.riesz(r + 0j).real

    def riesz_roughly(self, r: Array) -> Array:
        return self._inner.riesz_roughly(r + 0j).real

    def rounding(self, size: int) -> float:
        return self._inner.rounding(size)

    @property
    def lambda_min(self) -> float:
        return self._inner.lambda_min


def dot(a: Array, b: Array) -> Real:
    """The real part of `aᴴ b` of each row, `(B,)`."""
    if np.iscomplexobj(a) or np.iscomplexobj(b):
        return np.einsum("bn,bn->b", np.conj(a), b).real
    return np.einsum("bn,bn->b", a, b)


def absolute_norm(matrix: sp.csr_array) -> float:
    """`‖ |M| ‖_∞` or that of its transpose, whichever is larger: no less than `‖ |M| ‖₂`, rounded up."""
    whole = abs(matrix)
    sums = [float(whole.sum(axis=axis).max(initial=0.0)) for axis in (0, 1)]
    return max(sums) * (1 + (matrix.shape[0] + 8) * EPS)


def energy_matrix(space: FunctionSpace) -> sp.csr_array:
    """X on the free dofs. Raises InputError where it has a kernel or the space gives no matrix."""
    if isinstance(space, Grid):
        check_level(space)
        return _grid_matrix(space)
    if isinstance(space, MeshSpace | Algebraic):
        return restricted(space.energy.matrix, space.free)
    raise InputError(
        f"{type(space).__name__} is not a Grid, a MeshSpace or an Algebraic space: it has no matrix of its energy "
        "product; take one of those"
    )


def check_level(grid: Grid) -> None:
    """Raises InputError where no end fixes the level of a solution."""
    if grid.floating:
        raise InputError(
            "no end of the grid is Dirichlet or Robin: its energy product does not see constants, so a residual says "
            "nothing about the level of the error; calibrate a limit instead: nw.certify(surrogate, holdout=snapshots)"
        )


def energy_stencils(grid: Grid) -> Stencils:
    """X of a grid as stencils, `(1, N0, N1, N2)`: unit coefficient, and κ = 1 / length at Robin ends."""
    ones = np.ones((1, *grid.shape))
    kappa = {side: _unit_transfer(grid, side) for side in grid.sides if side.word == "robin"}
    return GridTerms(grid, ones, 0 * ones, None, None, {}, kappa, "arithmetic", "upwind").stencils()


def _unit_transfer(grid: Grid, side: Side) -> Real:
    return np.full((1, *side.shape), 1.0 / grid.directions[side.axis].length)


def _grid_matrix(grid: Grid) -> sp.csr_array:
    axes = grid.directions
    widths = [sp.diags_array(axis.widths[axis.free]) for axis in axes]
    lines = [sp.csr_array(axis.stiffness()) for axis in axes]
    parts = [
        reduce(sp.kron, [lines[d] if d == axis else widths[d] for d in range(grid.dim)]) for axis in range(grid.dim)
    ]
    total = sp.csr_array(sum(parts[1:], start=parts[0]))
    total.sum_duplicates()
    return total
