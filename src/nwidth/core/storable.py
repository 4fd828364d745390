"""Objects that live in a `.nwidth` file as configuration, arrays and children: nothing is pickled or executed."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple, Self

from nwidth.core.arrays import Array


class Parts(NamedTuple):
    """A stored object: JSON-able configuration, named arrays, and named children that are storable themselves."""

    config: dict[str, Any]
    arrays: dict[str, Array]
    children: dict[str, "Storable"]


class Storable(ABC):
    """An object that can be taken apart and rebuilt.

    `kind` is a short, stable name (see `nwidth.core.kinds`), never an import path. `from_parts(obj.to_parts())`
    answers exactly as `obj` does. Raises InputError from `from_parts` where the parts do not fit together.
    """

    kind: ClassVar[str]

    @abstractmethod
    def to_parts(self) -> Parts:
        """Configuration, arrays and children."""

    @classmethod
    @abstractmethod
    def from_parts(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], children: Mapping[str, Any]) -> Self:
        """The object again."""
