"""A surrogate around another one: it has the same parameters and the same space, and answers in its own way."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from nwidth.core.arrays import Array
from nwidth.core.storable import Parts
from nwidth.spaces.base import FunctionSpace, ParameterSpace
from nwidth.surrogates.base import Surrogate


@dataclass(frozen=True)
class Around(Surrogate):
    """To inherit: `predict` and a `kind` are all that is missing."""

    surrogate: Surrogate

    @property
    def parameters(self) -> ParameterSpace:
        """Those of the surrogate inside: the set that it was fitted to."""
        return self.surrogate.parameters

    @property
    def space(self) -> FunctionSpace:
        """That of the surrogate inside."""
        return self.surrogate.space

    def to_parts(self) -> Parts:
        """The surrogate inside as a child."""
        return Parts({}, {}, {"surrogate": self.surrogate})

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        """The same again."""
        return cls(children["surrogate"])
