"""Random microstructures: equal discs that do not overlap, in a periodic square."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np

from nwidth.core.arrays import Array, Mask, Mu, Real
from nwidth.core.errors import InputError
from nwidth.core.seeding import generator
from nwidth.core.storable import Parts
from nwidth.core.validation import as_mu
from nwidth.spaces.base import ParameterSpace

#: Random placement stalls near a share of 0.547 of the area; well below it, a few attempts find a packing.
_DENSEST = 0.45
_TRIES = 2000


@dataclass(frozen=True)
class Discs(ParameterSpace):
    """`count` discs of one `radius` in the periodic unit square, as 0 and 1 at the centres of `resolution`² pixels.

    Centres are drawn one after the other, uniformly among the places that keep a distance of 2 radius + `gap` to those
    before (random sequential addition); the same draw is the same set of discs at every resolution. The set holds every
    field of zeros and ones with as many ones as such discs can cover. Raises InputError for discs that cannot be placed
    at random: more than 0.45 of the area, gaps counted.
    """

    kind: ClassVar[str] = "discs"

    name: str = "phase"
    resolution: int = 49
    count: int = 12
    radius: float = 0.09
    gap: float = 0.0

    def __post_init__(self) -> None:
        if self.resolution < 3 or self.count < 1 or not 0 < self.radius < 0.5 or not self.gap >= 0:
            raise InputError(f"{self}: expected resolution 3 or more, count 1 or more, radius in (0, 0.5), gap >= 0")
        taken = self.count * np.pi * (self.radius + self.gap / 2) ** 2
        if taken > _DENSEST:
            raise InputError(
                f"{self.count} discs of radius {self.radius:g} (gap {self.gap:g}) take {taken:.0%} of the square; "
                f"random placement needs {_DENSEST:.0%} or less: take fewer or smaller discs"
            )

    @property
    def names(self) -> tuple[str, ...]:
        return (self.name,)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one field."""
        return (self.resolution, self.resolution)

    def at(self, resolution: int) -> Self:
        """The same set on another grid; draw i is the same discs."""
        return replace(self, resolution=resolution)

    def centres(self, indices: Iterable[int], seed: int) -> Real:
        """Centres `(B, count, 2)` in the unit square; draw i depends on (seed, i) alone."""
        found = [self._placed(generator(seed, int(i))) for i in indices]
        return np.stack(found) if found else np.empty((0, self.count, 2))

    def sample(self, indices: Iterable[int], seed: int) -> dict[str, Array]:
        """Fields `(B, n, n)`: 1 where the centre of a pixel lies in a disc, 0 elsewhere."""
        return {self.name: self.fields(self.centres(indices, seed))}

    def fields(self, centres: Real) -> Real:
        """The fields `(B, n, n)` of discs with the given centres `(B, M, 2)`."""
        middle = (np.arange(self.resolution) + 0.5) / self.resolution
        apart = [_wrapped(middle[None, None] - centres[..., axis, None]) ** 2 for axis in (0, 1)]
        squared = apart[0][..., :, None] + apart[1][..., None, :]
        return np.asarray((squared <= self.radius**2).any(axis=1), dtype=np.float64)

    def contains(self, mu: Mu) -> Mask:
        """Which rows are zeros and ones on this grid, with as many ones as `count` discs can cover."""
        values = as_mu(mu, self.names)[self.name]
        if values.shape[1:] != self.shape:
            return np.zeros(len(values), dtype=bool)
        flat = values.reshape(len(values), -1)
        low, high = self.covered
        ones = (flat == 1).sum(axis=1)
        return ((flat == 0) | (flat == 1)).all(axis=1) & (low <= ones) & (ones <= high)

    @property
    def covered(self) -> tuple[float, float]:
        """At least and at most so many pixels: a disc covers all whose centre is within, half a diagonal either way."""
        reach = np.sqrt(0.5) / self.resolution
        area = self.count * np.pi * self.resolution**2
        return area * max(self.radius - reach, 0.0) ** 2, area * (self.radius + reach) ** 2

    def to_parts(self) -> Parts:
        return Parts(asdict(self), {}, {})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        return cls(**config)

    def _placed(self, rng: np.random.Generator) -> Real:
        """One packing; started again where the last discs find no place."""
        while True:
            centres = np.empty((0, 2))
            for point in rng.random((_TRIES, 2)):
                apart = np.hypot(*_wrapped(point - centres).T)
                if not (apart < 2 * self.radius + self.gap).any():
                    centres = np.concatenate([centres, point[None]])
                if len(centres) == self.count:
                    return centres


def _wrapped(distance: Real) -> Real:
    """The shortest way around the square."""
    return np.asarray(distance - np.round(distance))
