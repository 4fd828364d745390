"""Random stream functions: two-dimensional flows without divergence, the same draw on every grid."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np

from nwidth.core.arrays import Array, Mask, Mu, Real
from nwidth.core.errors import InputError
from nwidth.core.seeding import generator
from nwidth.core.storable import Parts
from nwidth.core.validation import as_mu
from nwidth.spaces._dense import product
from nwidth.spaces.base import ParameterSpace

#: Cells per direction of the grid on which a draw's largest velocity is found: the same for every resolution.
_REFERENCE = 128
#: How much larger than 1 the velocity may be between the points of that grid, as the set is drawn.
_ROOM = 1.05


@dataclass(frozen=True)
class StreamFunction(ParameterSpace):
    """Random ψ on (0, 1)², scaled so that the flow `b = (∂ψ/∂y, -∂ψ/∂x)` has the largest speed 1; by nodal values.

        ψ(x, y) = Σ_{k, l} (k² + l² + τ²/π²)^(-α/2) ξ_kl φ_k(x) φ_l(y),   ξ_kl ~ N(0, 1) independent,

    `walls` False: φ_k = cos(π k x), k < `modes` (the flow crosses the boundary); True: φ_k = sin(π k x), 0 < k <= modes
    (nothing crosses it: the flow circulates). The speed is the largest on a fixed grid of 128² cells, so that a draw
    is the same function on every grid of `resolution` cells per direction. Fields are `(B, resolution + 1, resolution +
    1)`. The set holds every ψ whose differences between neighbouring nodes are speeds of at most 1 (with 5 % room).

    Raises InputError for fewer than 2 cells or modes, tau or alpha that are not positive.
    """

    kind: ClassVar[str] = "stream-function"

    name: str = "psi"
    resolution: int = 64
    modes: int = 8
    tau: float = 3.0
    alpha: float = 3.0
    walls: bool = False

    def __post_init__(self) -> None:
        if self.resolution < 2 or self.modes < 2 or not (self.tau > 0 and self.alpha > 0):
            raise InputError(f"{self}: expected at least 2 cells and 2 modes per direction, tau and alpha above zero")

    @property
    def names(self) -> tuple[str, ...]:
        return (self.name,)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one field, boundary nodes included."""
        return (self.resolution + 1, self.resolution + 1)

    def at(self, resolution: int) -> Self:
        """The same set on another grid; draw i is the same function."""
        return replace(self, resolution=resolution)

    def sample(self, indices: Iterable[int], seed: int) -> dict[str, Array]:
        """Nodal values `(B, resolution + 1, resolution + 1)`."""
        here, reference = self._waves(self.resolution), self._waves(_REFERENCE)
        slopes = self._slopes(_REFERENCE)
        squares = np.add.outer(self._numbers**2, self._numbers**2)
        deviations = (squares + (self.tau / np.pi) ** 2) ** (-self.alpha / 2)
        fields = []
        for i in indices:
            c = deviations * generator(seed, int(i)).standard_normal(deviations.shape)
            speed = np.hypot(_evaluate(reference, c, slopes), _evaluate(slopes, c, reference)).max()
            fields.append(_evaluate(here, c / speed, here))
        return {self.name: np.stack(fields) if fields else np.empty((0, *self.shape))}

    def contains(self, mu: Mu) -> Mask:
        """Which rows are finite fields on this grid with a speed of at most 1."""
        psi = as_mu(mu, self.names)[self.name]
        if psi.shape[1:] != self.shape:
            return np.zeros(len(psi), dtype=bool)
        across = [np.abs(np.diff(psi, axis=axis)).reshape(len(psi), -1).max(axis=1) for axis in (1, 2)]
        return np.asarray(np.maximum(*across) * self.resolution <= _ROOM)

    def to_parts(self) -> Parts:
        return Parts(asdict(self), {}, {})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        return cls(**config)

    @property
    def _numbers(self) -> Real:
        return np.arange(self.modes, dtype=np.float64) + float(self.walls)

    def _waves(self, resolution: int) -> Real:
        """φ_k at the nodes i / resolution, `(resolution + 1, modes)`."""
        # reduced in integers: nodes that two grids share get the same values to the last bit
        turns = np.outer(np.arange(resolution + 1), self._numbers) % (2 * resolution)
        angles = np.pi * (turns / resolution)
        return np.where(turns % resolution == 0, 0.0, np.sin(angles)) if self.walls else np.cos(angles)

    def _slopes(self, resolution: int) -> Real:
        """φ_k' at the nodes."""
        angles = np.pi * np.outer(np.arange(resolution + 1) / resolution, self._numbers)
        return np.pi * self._numbers * (np.cos(angles) if self.walls else -np.sin(angles))


def _evaluate(left: Real, coefficients: Real, right: Real) -> Real:
    """`left C rightᵀ`."""
    rows = product(coefficients, np.ascontiguousarray(right.T), np.empty((len(coefficients), len(right))))
    return product(left, rows, np.empty((len(left), len(right))))
