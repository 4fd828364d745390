"""Names and coordinates of the axes of a field, so that general tools (xarray) can label and plot what is stored."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from nwidth.core.arrays import Array, Real
from nwidth.core.errors import InputError
from nwidth.spaces.base import FunctionSpace

#: Name of the axis that counts samples.
SAMPLE = "sample"
_DIRECTIONS = ("x", "y", "z")


@dataclass(frozen=True)
class Axes:
    """Axis names of one field, and coordinate name -> (axis names, values)."""

    names: tuple[str, ...]
    coordinates: Mapping[str, tuple[tuple[str, ...], Array]] = field(default_factory=dict)


def field_axes(space: FunctionSpace, times: Real | None = None) -> Axes:
    """Axes of the fields of a space, the sample axis left out: `time`, `component`, then space.

    Nodes that form a grid give the axes x, y, z with their coordinates; any other nodes one axis `node` with the
    coordinates x(node), y(node), z(node); where shape and nodes do not correspond, axes without coordinates.
    """
    inner = _components(space)
    body = _grid_or_nodes(space.shape[len(inner) :], _nodes(space))
    axes = Axes((*inner, *body.names), body.coordinates)
    if times is None:
        return axes
    return Axes(("time", *axes.names), {"time": (("time",), np.asarray(times, dtype=float)), **axes.coordinates})


def parameter_axes(name: str, shape: tuple[int, ...], space: FunctionSpace, names: tuple[str, ...]) -> tuple[str, ...]:
    """Axes of one value of a parameter: those of the fields where it lives on the same nodes, else its own."""
    same = bool(shape) and shape == tuple(space.shape[-len(shape) :])
    own = tuple(f"{name}_axis{i}" for i in range(len(shape)))
    return names[-len(shape) :] if same and "component" not in names[-len(shape) :] else own


def _components(space: FunctionSpace) -> tuple[str, ...]:
    count = len(space.components)
    return ("component",) if count > 1 and len(space.shape) > 1 and space.shape[0] == count else ()


def _nodes(space: FunctionSpace) -> Array:
    """Node coordinates `(nodes, dim)`, or none where the nodes depend on the parameters."""
    try:
        nodes = np.asarray(space.points())
    except InputError:
        return np.empty((0, 0))
    return nodes if nodes.ndim == 2 and nodes.shape[1] <= len(_DIRECTIONS) else np.empty((0, 0))


def _grid_or_nodes(shape: tuple[int, ...], nodes: Array) -> Axes:
    directions = _DIRECTIONS[: nodes.shape[1]]
    if not len(nodes) or int(np.prod(shape)) != len(nodes):
        return Axes(tuple(f"axis{i}" for i in range(len(shape))))
    if len(shape) == len(directions):
        lines = [_line(nodes[:, i].reshape(shape), i) for i in range(len(shape))]
        known = {d: ((d,), line) for d, line in zip(directions, lines, strict=True) if line is not None}
        if len(known) == len(lines):
            return Axes(directions, known)
    if len(shape) == 1:
        return Axes(("node",), {d: (("node",), nodes[:, i]) for i, d in enumerate(directions)})
    return Axes(tuple(f"axis{i}" for i in range(len(shape))))


def _line(values: Array, axis: int) -> Array | None:
    """The coordinate along one axis of a grid, or None where it also varies along another."""
    line = np.moveaxis(values, axis, -1).reshape(-1, values.shape[axis])
    return line[0].copy() if np.array_equal(line, np.broadcast_to(line[0], line.shape)) else None
