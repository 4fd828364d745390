"""Several parameter spaces as one: scalars and fields that vary together."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from nwidth.core.arrays import Array, Mask, Mu
from nwidth.core.errors import InputError
from nwidth.core.storable import Parts
from nwidth.core.validation import as_mu
from nwidth.spaces.base import ParameterSpace


@dataclass(frozen=True)
class Joint(ParameterSpace):
    """The product of independent parameter spaces with different names, `Joint((Box(("k",), 20, 40), field))`.

    Raises InputError where a name appears twice.
    """

    kind: ClassVar[str] = "joint"

    parts: tuple[ParameterSpace, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "parts", tuple(self.parts))
        if not self.parts or len(set(self.names)) != len(self.names):
            raise InputError(f"the parts have the names {list(self.names)}; give at least one, each name once")

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for part in self.parts for name in part.names)

    def sample(self, indices: Iterable[int], seed: int) -> dict[str, Array]:
        """Draws of every part; the parts have random streams of their own."""
        index = list(indices)
        drawn: dict[str, Array] = {}
        for number, part in enumerate(self.parts):
            drawn |= part.sample(index, _stream(seed, number))
        return drawn

    def contains(self, mu: Mu) -> Mask:
        """Which rows lie in every part."""
        values = as_mu(mu, self.names)
        inside = [part.contains({name: values[name] for name in part.names}) for part in self.parts]
        return np.logical_and.reduce(inside)

    def to_parts(self) -> Parts:
        return Parts({}, {}, {str(number): part for number, part in enumerate(self.parts)})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        return cls(tuple(children[str(number)] for number in range(len(children))))


def _stream(seed: int, number: int) -> int:
    """Another seed for each part: with one seed, all parts would draw the same random bits."""
    return int(np.random.SeedSequence(entropy=seed, spawn_key=(number,)).generate_state(1, np.uint64)[0] >> 1)
