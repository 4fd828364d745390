"""Matrices of nearest neighbours on a box of unknowns: what every discretisation on a grid hands to its solvers."""

from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from nwidth.core.arrays import Array, Mask, Mu, Real
from nwidth.problems.base import Linear


@dataclass(frozen=True, eq=False)
class Stencils:
    """A batch of systems `A_i w_i = load_i` in which every unknown meets its 2 d neighbours on a box.

        (A w)_j = centre_j w_j + Σ_d (minus_d,j w_{j - e_d} + plus_d,j w_{j + e_d})

    Arrays are `(B, N0, N1, N2)`, float64, C-contiguous, in the layout of `nwidth.spaces._layout` (a 2-D box has N1 = 1,
    a 1-D box N1 = N2 = 1); `plus` and `minus` hold one array per axis, of shape `(B, 0, 0, 0)` for a missing axis. A
    coupling that would leave the box is zero, unless the axis is `periodic`: then it wraps around. `minus` is None for
    symmetric matrices: there `minus_d,j = plus_d,j-e_d`. Unknowns are the free dofs of the space (prescribed values are
    cut off and sit in `load`). `constants (B,)`: whether A_i maps constants to zero (pure Neumann or periodic).
    """

    centre: Real
    plus: tuple[Real, Real, Real]
    minus: tuple[Real, Real, Real] | None
    load: Real
    periodic: tuple[bool, bool, bool]
    constants: Mask

    @property
    def shape(self) -> tuple[int, int, int]:
        """Unknowns along the three axes."""
        _, n0, n1, n2 = self.centre.shape
        return n0, n1, n2

    @cached_property
    def symmetric(self) -> bool:
        """Whether every matrix equals its transpose by construction."""
        return self.minus is None

    def __len__(self) -> int:
        return len(self.centre)

    def take(self, rows: Array | slice) -> "Stencils":
        """The chosen samples."""
        p0, p1, p2 = (p[rows] for p in self.plus)
        minus = None if self.minus is None else (self.minus[0][rows], self.minus[1][rows], self.minus[2][rows])
        return Stencils(
            np.ascontiguousarray(self.centre[rows]),
            (p0, p1, p2),
            minus,
            np.ascontiguousarray(self.load[rows]),
            self.periodic,
            self.constants[rows],
        )


class Stencilled(Linear):
    """A linear problem on a grid whose matrices couple nearest neighbours only: what multigrid on grids needs."""

    @abstractmethod
    def stencils(self, mu: Mu) -> Stencils:
        """The systems of a batch. Raises InputError for coefficients that make no sense, naming sample and place."""

    def lift(self, mu: Mu) -> Real:
        """The prescribed values of every sample, dofs `(B, N)`, zero on the free ones; a new array."""
        return self.systems(mu).lift.copy()
