"""One direction of a grid: where its values, faces and control volumes lie, and what its two ends are."""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import scipy.linalg

from nwidth.core.arrays import Real

#: What stands at an end: prescribed values, a prescribed flux, a flux that depends on the value, or the other end.
Boundary = Literal["dirichlet", "neumann", "robin", "periodic"]
#: Whether values belong to the corners of cells or to their middles.
Centring = Literal["node", "cell"]

BOUNDARIES: tuple[Boundary, ...] = ("dirichlet", "neumann", "robin", "periodic")
CENTRINGS: tuple[Centring, ...] = ("node", "cell")
_EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class GridAxis:
    """`cells` equal cells on (0, length) with values at their corners ("node") or middles ("cell").

    Every value has a control volume around it, half a cell long where the value lies on the boundary; neighbouring
    volumes share a face. A periodic direction has no ends: its corners are counted once.
    """

    cells: int
    length: float
    low: Boundary
    high: Boundary
    centring: Centring

    @property
    def periodic(self) -> bool:
        """Whether the last value is a neighbour of the first."""
        return self.low == "periodic"

    @property
    def spacing(self) -> float:
        """Distance of neighbouring values."""
        return self.length / self.cells

    @property
    def size(self) -> int:
        """Number of values, ends included."""
        return self.cells + int(self.centring == "node" and not self.periodic)

    @property
    def free(self) -> slice:
        """The values that do not lie on a Dirichlet end."""
        on_ends = self.centring == "node"
        first = int(on_ends and self.low == "dirichlet")
        return slice(first, self.size - int(on_ends and self.high == "dirichlet"))

    @cached_property
    def coordinates(self) -> Real:
        """Where the values are, `(size,)`."""
        shift = 0.5 if self.centring == "cell" else 0.0
        return np.asarray((np.arange(self.size) + shift) * self.spacing, dtype=np.float64)

    @cached_property
    def faces(self) -> Real:
        """Where the control volumes end, `(size + 1,)`: value i lies between faces i and i + 1."""
        if self.centring == "cell":
            return np.asarray(np.arange(self.size + 1) * self.spacing, dtype=np.float64)
        middles: Real = np.asarray((np.arange(self.size + 1) - 0.5) * self.spacing, dtype=np.float64)
        return middles if self.periodic else np.clip(middles, 0.0, self.length)

    @cached_property
    def widths(self) -> Real:
        """Lengths of the control volumes, `(size,)`."""
        widths = np.full(self.size, self.spacing)
        if self.centring == "node" and not self.periodic:
            widths[[0, -1]] /= 2
        return widths

    @property
    def fixed(self) -> bool:
        """Whether an end holds the level of a solution: without one it is defined up to a constant."""
        return bool({self.low, self.high} & {"dirichlet", "robin"})

    def stiffness(self) -> Real:
        """K over the free values with `vᵀ K v = Σ_faces (v_i - v_j)² / spacing + ends ≈ ∫ v'²`, `(n, n)`.

        A Robin end adds the square of its value over the length of the axis.
        """
        n, k = self.size, np.zeros((self.size, self.size))
        for i in range(n if self.periodic else n - 1):
            pair = np.ix_([i, (i + 1) % n], [i, (i + 1) % n])
            k[pair] += np.array([[1.0, -1.0], [-1.0, 1.0]]) / self.spacing
        for word, i in ((self.low, 0), (self.high, n - 1)):
            k[i, i] += self.wall(word)
        return k[self.free, self.free]

    def wall(self, word: Boundary) -> float:
        """What couples the value next to an end of this kind to that end."""
        distance = self.spacing / 2 if self.centring == "cell" else 0.0
        if word == "robin":
            return 1.0 / (distance + self.length)
        return 1.0 / distance if word == "dirichlet" and distance else 0.0

    def modes(self) -> tuple[Real, Real]:
        """Eigenvalues λ `(n,)`, ascending, and vectors V `(n, n)` of `K V = W V Λ`, `Vᵀ W V = I`, W the widths.

        The first eigenvalue is exactly 0 and its vector constant where no end is fixed; others are lower bounds.
        """
        roots = np.sqrt(self.widths[self.free])
        scaled = self.stiffness() / np.outer(roots, roots)
        values, vectors = scipy.linalg.eigh((scaled + scaled.T) / 2)
        values = values - 8 * _EPS * values[-1]
        if not self.fixed:
            values[0], vectors[:, 0] = 0.0, roots / np.sqrt(self.length)
        return values, vectors / roots[:, None]
