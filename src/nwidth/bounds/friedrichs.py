"""Friedrichs' inequality with proven constants: `∫ v² <= C ∫ |∇v|²` for what vanishes somewhere on the boundary.

It is what leads from an energy to a mass, and from there to the smallest eigenvalue of a stiffness matrix, without
computing an eigenvalue: such a value proves nothing.
"""

from collections.abc import Sequence

import numpy as np

from nwidth.bounds.positive import upper_constant
from nwidth.core.arrays import Real
from nwidth.core.errors import InputError, WorkError
from nwidth.spaces.base import FunctionSpace
from nwidth.spaces.grid import Grid
from nwidth.spaces.mesh import MatrixProduct

#: Up to so many dofs the constant of a mesh is proven by factorisations (some seconds at the end of the range).
_FACTORISED = 200_000
_EPS = float(np.finfo(np.float64).eps)


def box_constant(lengths: Sequence[float] | Real) -> float:
    """C = 1 / (π² Σ 1/L²): for v = 0 on the whole boundary of a domain that fits into a box with these sides.

    Continued by zero v lies in H¹₀ of the box, whose smallest Dirichlet eigenvalue is 1 / C. Raises InputError for
    sides that are not above zero.
    """
    sides = np.asarray(lengths, dtype=np.float64)
    if not ((sides > 0) & np.isfinite(sides)).all():
        raise InputError(f"the sides of a box are {sides.tolist()}; give numbers above zero")
    return float(1 / (np.pi**2 * (1 / sides**2).sum())) * (1 + 16 * _EPS)


def mass_constant(space: FunctionSpace) -> float:
    """C with `vᵀ M v <= C vᵀ X v` for the mass and the energy form of a space, on its free dofs: proven.

    On a grid from the eigenvalues of its directions, exact up to rounding. On a mesh by a factorisation of `σ X - M`
    (`nwidth.bounds.positive`), close to the smallest such C; where that is too large, `‖M‖ / λ_min(X)`, which is
    larger by the condition number of M. Raises InputError for a space whose energy does not see constants, or that
    has no such forms.
    """
    if isinstance(space, Grid) and space.floating:
        raise InputError("no end of this grid is Dirichlet or Robin: fields are defined up to a constant, and so is L2")
    energy, mass = space.inner("energy"), space.inner("mass")
    if isinstance(space, Grid):
        # λ_min(X) is the smallest eigenvalue relative to the mass times the smallest volume, which λ_min(M) is
        return mass.lambda_min / energy.lambda_min * (1 + 1e-12)
    if not isinstance(energy, MatrixProduct) or not isinstance(mass, MatrixProduct):
        raise InputError(f"{type(space).__name__} has no mass and energy matrices, so that no L2 bound can be proven")
    crude = float(abs(mass.matrix).sum(axis=1).max()) * (1 + 1e-9) / energy.lambda_min
    if energy.matrix.shape[0] > _FACTORISED:
        return crude
    try:
        return min(crude, upper_constant(mass.matrix, energy.matrix, lambda_min=energy.lambda_min))
    except WorkError:
        return crude
