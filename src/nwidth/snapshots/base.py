"""Snapshots: parameters with their full-order solutions, held in memory or in a chunked store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from nwidth.core.arrays import Array
from nwidth.core.errors import InputError
from nwidth.core.solution import Status
from nwidth.spaces.base import FunctionSpace, ParameterSpace


@dataclass(frozen=True)
class Snapshots:
    """Parameters name -> `(B, ...)` and fields `(B, *space.shape)`, array-like (NumPy, or a lazily read store).

    `status` `(B,)` says how each solve ended; `stats` holds per-sample numbers (residual, iterations, seconds);
    `outputs` holds scalar quantities where the data brings them; `provenance` says where the data came from.
    """

    parameters: ParameterSpace
    space: FunctionSpace
    mu: Mapping[str, Any]
    fields: Any
    status: Array | None = None
    stats: Mapping[str, Array] = field(default_factory=dict)
    outputs: Mapping[str, Array] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        sizes = {name: len(values) for name, values in self.mu.items()} | {"fields": len(self.fields)}
        if len(set(sizes.values())) != 1:
            raise InputError(f"snapshots have unequal lengths {sizes}; give one row per run everywhere")
        if tuple(self.fields.shape[1:]) != tuple(self.space.shape):
            raise InputError(f"fields have shape {tuple(self.fields.shape[1:])}, the space has {self.space.shape}")

    def __len__(self) -> int:
        return int(self.fields.shape[0])

    @property
    def good(self) -> Array:
        """Indices of the samples that converged."""
        if self.status is None:
            return np.arange(len(self))
        return np.flatnonzero(np.asarray(self.status) == Status.CONVERGED)

    def take(self, rows: Array | slice) -> Snapshots:
        """The chosen samples, read into memory."""
        index = np.arange(len(self))[rows]
        return Snapshots(
            parameters=self.parameters,
            space=self.space,
            mu={name: _rows(values, index) for name, values in self.mu.items()},
            fields=_rows(self.fields, index),
            status=None if self.status is None else np.asarray(self.status)[index],
            stats={name: np.asarray(values)[index] for name, values in self.stats.items()},
            outputs={name: np.asarray(values)[index] for name, values in self.outputs.items()},
            provenance=self.provenance,
        )

    def split(self, *counts: int, seed: int | None = None) -> tuple[Snapshots, ...]:
        """Disjoint parts with `counts` samples each, in order, or shuffled by `seed`. Unconverged samples are left out.

        Raises InputError where there are not enough.
        """
        rows = self.good
        if seed is not None:
            rows = np.random.default_rng(seed).permutation(rows)
        if sum(counts) > len(rows):
            raise InputError(f"asked for parts of {counts} = {sum(counts)} samples, only {len(rows)} are usable")
        edges: Sequence[int] = np.concatenate([[0], np.cumsum(counts)]).tolist()
        return tuple(self.take(np.sort(rows[a:b])) for a, b in pairwise(edges))


def _rows(values: Any, index: Array) -> Array:
    """Rows of an array or of a chunked store (which wants sorted orthogonal indexing)."""
    if isinstance(values, np.ndarray):
        return values[index]
    if len(index) and np.array_equal(index, np.arange(index[0], index[0] + len(index))):
        return np.asarray(values[int(index[0]) : int(index[0]) + len(index)])
    return np.asarray(values.oindex[index])
