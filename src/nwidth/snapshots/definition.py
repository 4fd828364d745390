"""Parameter and function spaces inside a Zarr group: kind and configuration as attributes, arrays as arrays."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import zarr
from zarr.codecs import Crc32cCodec, ZstdCodec

from nwidth.core.errors import InputError
from nwidth.core.kinds import resolve
from nwidth.core.storable import Storable, canonical_json

KEY = "storable"


def write_definition(group: zarr.Group, obj: Storable) -> None:
    """Stores an object's parts in an empty group. Raises InputError for a class without a kind."""
    kind = getattr(type(obj), "kind", None)
    if not isinstance(kind, str):
        name = type(obj).__name__
        raise InputError(
            f"the class {name} cannot be stored: it has no kind, the name under which it is found again; "
            f'add to the class a line such as: kind = "{name.lower()}"'
        )
    parts = obj.to_parts()
    group.attrs[KEY] = {"kind": kind, "config": canonical_json(parts.config, repr(kind))}
    for name, values in parts.arrays.items():
        write_static(group, f"arrays/{name}", np.asarray(values), [f"{name}_axis{i}" for i in range(np.ndim(values))])
    for name, child in parts.children.items():
        write_definition(group.create_group(f"children/{name}"), child)


def read_definition(group: zarr.Group, kinds: Sequence[type] = ()) -> Storable:
    """The object again; its class is a built-in kind or one of `kinds`. Raises InputError where parts are missing."""
    stored: Any = group.attrs.get(KEY)
    if not isinstance(stored, Mapping) or not {"kind", "config"} <= set(stored):
        raise InputError(f"{group.store_path} does not say what it defines; the store was altered: restore it")
    cls = resolve(stored["kind"], kinds)
    arrays = {name: np.asarray(array[...]) for name, array in _members(group, "arrays").items()}
    children = {name: read_definition(child, kinds) for name, child in _members(group, "children").items()}
    return cls.from_parts(json.loads(stored["config"]), arrays, children)


def write_static(group: zarr.Group, name: str, values: np.ndarray, dims: Sequence[str]) -> None:
    """An array that is written once, as one chunk."""
    array = group.create_array(
        name,
        shape=values.shape,
        dtype=values.dtype,
        chunks=tuple(max(n, 1) for n in values.shape),
        compressors=[ZstdCodec(level=3), Crc32cCodec()],
        dimension_names=tuple(dims),
        config={"write_empty_chunks": True},
    )
    array[...] = values


def _members(group: Any, name: str) -> dict[str, Any]:
    return dict(group[name].members()) if name in group else {}
