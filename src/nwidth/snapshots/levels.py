"""Learning problems from trajectories: the state at one time, some of the times, parameter fields on the same nodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from nwidth.core.arrays import Array, Real
from nwidth.core.errors import InputError
from nwidth.snapshots.base import Snapshots
from nwidth.spaces.base import FunctionSpace, ParameterSpace
from nwidth.spaces.frames import Frames
from nwidth.spaces.grid import Grid
from nwidth.spaces.joint import Joint
from nwidth.spaces.periodic_field import PeriodicField
from nwidth.spaces.random_field import RandomField
from nwidth.spaces.torus import Torus

#: Stored times are found again up to this part of the longest one.
_CLOSE = 1e-9
_PIECE = 256


def at_time(snapshots: Snapshots, time: float) -> Snapshots:
    """The runs with their state at one stored time as the field: `(B, T, *shape)` becomes `(B, *shape)`.

    With the initial state as the parameter this is the learning problem u(0) ↦ u(time). What is given over time in
    `outputs` is taken at that time too. Raises InputError for runs without times, or a time that is not stored.
    """
    level = level_of(snapshots, time)
    count = len(_times(snapshots))
    outputs = {name: _at_level(values, level, count) for name, values in snapshots.outputs.items()}
    return replace(snapshots, fields=_levels(snapshots.fields, level), outputs=outputs, times=None)


def final(snapshots: Snapshots) -> Snapshots:
    """The runs with their last state as the field. Raises InputError for runs without times."""
    return at_time(snapshots, float(_times(snapshots)[-1]))


def at_times(snapshots: Snapshots, times: Sequence[float] | Real) -> Snapshots:
    """The runs at some of the stored times. Raises InputError for a time that is not stored, or not after the last."""
    levels = np.array([level_of(snapshots, t) for t in np.atleast_1d(times)])
    if not len(levels) or any(a >= b for a, b in pairwise(levels)):
        raise InputError(f"times = {times}; give at least one, increasing")
    count = len(_times(snapshots))
    outputs = {name: _at_level(values, levels, count) for name, values in snapshots.outputs.items()}
    fields = _levels(snapshots.fields, levels)
    return replace(snapshots, fields=fields, outputs=outputs, times=_times(snapshots)[levels])


def windowed(snapshots: Snapshots, count: int, name: str = "frames") -> Snapshots:
    """The runs with their first `count` frames as a parameter `(B, count, *shape)` and the later ones as the answer.

    The usual protocol for flows, "10 frames in, 10 frames out": `windowed(runs, 10)`. A parameter that was the initial
    state of a random law is left out (the frames say more), other parameters stay. The fitted set holds frames whose
    values exceed the recorded range by at most a tenth of it. Raises InputError where no frame would be left.
    """
    times = _times(snapshots)
    if not 1 <= count < len(times):
        raise InputError(f"{count} frames of {len(times)}; take at least one and leave at least one")
    kept = [p for p in _parts(snapshots.parameters) if not isinstance(p, PeriodicField)]
    first = _levels(snapshots.fields, np.arange(count))
    size = np.abs(first) if first.dtype.kind == "c" else first
    low, high = (float(size.min()), float(size.max())) if size.size else (-np.inf, np.inf)
    margin = 0.1 * (high - low)
    frames = Frames(name, snapshots.space.shape, tuple(times[:count]), low - margin, high + margin)
    mu = {part: snapshots.mu[part] for p in kept for part in p.names}
    if name in mu:
        raise InputError(f"there is a parameter {name!r} already; give the frames another name")
    parameters = Joint((frames, *kept)) if kept else frames
    return replace(at_times(snapshots, times[count:]), parameters=parameters, mu={name: first, **mu})


def level_of(snapshots: Snapshots, time: float) -> int:
    """The number of a stored time. Raises InputError where it is not among them."""
    times = _times(snapshots)
    level = int(np.argmin(np.abs(times - time)))
    if not abs(times[level] - time) <= _CLOSE * max(1.0, abs(float(times[-1]))):
        raise InputError(f"time {time:g} is not stored; the stored times are {_listed(times)}")
    return level


def on_nodes(snapshots: Snapshots) -> Snapshots:
    """The runs with parameter fields at the nodes of the answers, where they were given on a finer grid that has them.

    A problem may be solved on a finer grid than it is stored on, with its initial state or coefficient on the fine
    one. The random fields of nwidth are thinned out: the values are exact. Raises InputError where the nodes of the
    answers are not among those of the field.
    """
    parts = _parts(snapshots.parameters)
    moved = tuple(_moved(part, snapshots.space) for part in parts)
    if moved == parts:
        return snapshots
    mu: dict[str, Any] = dict(snapshots.mu)
    for old, new in zip(parts, moved, strict=True):
        if isinstance(old, PeriodicField | RandomField) and new is not old:
            mu[old.name] = _thinned(mu[old.name], old.shape, snapshots.space)
    return replace(snapshots, parameters=Joint(moved) if len(parts) > 1 else moved[0], mu=mu)


def _parts(parameters: ParameterSpace) -> tuple[ParameterSpace, ...]:
    return parameters.parts if isinstance(parameters, Joint) else (parameters,)


def _moved(part: ParameterSpace, space: FunctionSpace) -> ParameterSpace:
    """A random field on the grid of the space; anything else as it is."""
    if not isinstance(part, PeriodicField | RandomField) or not isinstance(space, Torus | Grid):
        return part
    if isinstance(part, PeriodicField) != isinstance(space, Torus) or part.dim != space.dim:
        return part
    return part if part.shape == space.shape[-space.dim :] else part.at(space.cells[0])


def _thinned(values: Any, shape: tuple[int, ...], space: FunctionSpace) -> Array:
    """Every s-th node along each axis, a few samples at a time."""
    nodes = space.shape[-len(shape) :]
    ends = 0 if isinstance(space, Torus) else 1  # a grid has its last node, a torus has not
    steps = [(n - ends) // max(m - ends, 1) for n, m in zip(shape, nodes, strict=True)]
    if any((n - ends) != s * (m - ends) or s < 1 for n, m, s in zip(shape, nodes, steps, strict=True)):
        raise InputError(f"a field on {shape} nodes cannot be thinned out to {nodes}; the numbers must divide")
    every = (slice(None), *(slice(None, None, s) for s in steps))
    pieces = [np.asarray(values[i : i + _PIECE])[every] for i in range(0, len(values), _PIECE)]
    return np.ascontiguousarray(np.concatenate(pieces)) if pieces else np.empty((0, *nodes))


def _levels(fields: Any, levels: int | Array) -> Array:
    """One or some levels of trajectories, read a few samples at a time."""
    pieces = [np.asarray(fields[i : i + _PIECE])[:, levels] for i in range(0, len(fields), _PIECE)]
    return np.ascontiguousarray(np.concatenate(pieces)) if pieces else np.asarray(fields[:])[:, levels]


def _at_level(values: Any, levels: int | Array, count: int) -> Array:
    """An output `(B, T)` at these levels; `(B,)` is left alone."""
    array = np.asarray(values)
    return array[:, levels] if array.ndim == 2 and array.shape[1] == count else array


def _times(snapshots: Snapshots) -> Real:
    if snapshots.times is None:
        raise InputError("these runs have no times; expected trajectories, fields (B, T, *shape)")
    return np.asarray(snapshots.times, dtype=np.float64)


def _listed(times: Real) -> str:
    shown = [f"{t:g}" for t in times]
    return ", ".join(shown if len(shown) <= 8 else [*shown[:4], "...", *shown[-2:]])
