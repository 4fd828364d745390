"""A snapshot store (Zarr), opened for a look: names, shapes, attributes and how far it is filled."""

from pathlib import Path
from typing import Any

import zarr

from nwidth.core.arrays import Array
from nwidth.core.errors import InputError


def read_store(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Lazily read arrays by their path in the group, and the attributes. Raises InputError for damage."""
    try:
        group = zarr.open_group(path, mode="r")
        arrays = {name: item for name, item in group.members(max_depth=None) if isinstance(item, zarr.Array)}
        return arrays, dict(group.attrs)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is not a Zarr group that can be read ({error})") from error


def read_rows(array: Any, start: int, stop: int) -> Array:
    """Rows of a stored array."""
    return array[start:stop]
