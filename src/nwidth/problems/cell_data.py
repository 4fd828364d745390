"""Diffusion with data given triangle by triangle: what bounds against the exact solution need to know."""

from abc import abstractmethod
from dataclasses import dataclass

import numpy as np

from nwidth.core.arrays import Mu, Real
from nwidth.core.errors import InputError
from nwidth.problems.base import Problem


@dataclass(frozen=True, eq=False)
class CellData:
    """Coefficient a > 0, `(B, T)`, and source f of each triangle: constant `(B, T)`, or corner values `(B, T, 3)`."""

    a: Real
    f: Real

    def __post_init__(self) -> None:
        if self.a.ndim != 2 or self.f.shape[:2] != self.a.shape or self.f.shape[2:] not in ((), (3,)):
            raise InputError(
                f"cell data has a of shape {self.a.shape} and f of shape {self.f.shape}; expected (B, T) for a, and "
                "(B, T) or (B, T, 3) for f"
            )
        if not (np.isfinite(self.a).all() and (self.a > 0).all() and np.isfinite(self.f).all()):
            raise InputError("cell data must be finite, and the coefficient above zero on every triangle: repair it")

    def take(self, rows: slice) -> "CellData":
        """The chosen samples."""
        return CellData(self.a[rows], self.f[rows])


class CellDiffusive(Problem):
    """`-∇·(a ∇u) = f` in a plane domain that the triangles of `space` fill, a and f given triangle by triangle.

    u is given on the boundary (linear between the nodes there), or on a part of it; the rest is insulated.
    """

    @abstractmethod
    def cell_data(self, mu: Mu) -> CellData:
        """The data of a batch, in the order of `space.elements`."""
