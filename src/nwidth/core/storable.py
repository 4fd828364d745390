"""Objects that live in a `.nwidth` file as configuration, arrays and children: nothing is pickled or executed."""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np

from nwidth.core.arrays import Array
from nwidth.core.errors import InputError


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


def canonical_json(value: Any, owner: str = "the object") -> str:
    """The one JSON text of a configuration: sorted keys, tuples as lists, NumPy scalars as numbers.

    Raises InputError for a value that JSON cannot hold.
    """
    try:
        # There and back first: keys that are numbers become text, and are then sorted as such.
        plain = json.loads(json.dumps(value, default=_plain))
        return json.dumps(plain, sort_keys=True, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(
            f"the configuration of {owner} cannot be stored: {error}; use numbers, text, lists and mappings with text "
            "keys, and put arrays into the arrays of to_parts()"
        ) from error


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"a value of type {type(value).__name__} is not JSON")


def fingerprint(obj: Storable) -> str:
    """SHA-256 (hexadecimal) over kind, configuration, arrays and children: equal for objects that answer alike.

    It survives saving and loading, and changes with any bit of any array. Raises InputError as `to_parts` does.
    """
    parts = obj.to_parts()
    digest = hashlib.sha256()
    _feed(digest, obj.kind.encode())
    _feed(digest, canonical_json(parts.config, repr(obj.kind)).encode())
    for name in sorted(parts.arrays):
        array = np.asarray(parts.arrays[name])
        array = array.astype(array.dtype.newbyteorder("<"), order="C", copy=False)
        _feed(digest, f"array {name} {array.dtype.str} {array.shape}".encode())
        _feed(digest, array.tobytes())
    for name in sorted(parts.children):
        _feed(digest, f"child {name} {fingerprint(parts.children[name])}".encode())
    return digest.hexdigest()


def _feed(digest: Any, data: bytes) -> None:
    """Each part with its length first, so that no two different sequences of parts read the same."""
    digest.update(len(data).to_bytes(8, "little"))
    digest.update(data)
