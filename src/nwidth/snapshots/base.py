"""Snapshots: parameters with their full-order solutions, held in memory or in a chunked store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from nwidth.core.arrays import Array, Real
from nwidth.core.errors import InputError
from nwidth.core.kinds import load_attribute
from nwidth.core.solution import Status
from nwidth.spaces.base import FunctionSpace, ParameterSpace


@dataclass(frozen=True, repr=False)
class Snapshots:
    """Parameters name -> `(B, ...)` and fields `(B, *space.shape)`, or trajectories `(B, T, *space.shape)` at `times`.

    Fields (and parameters that are fields) are NumPy arrays, or rows of a store that are read when asked for:
    `snapshots.fields[a:b]` and `np.asarray(snapshots.fields)` give NumPy arrays in both cases. `status` `(B,)` says
    how each solve ended; `stats` holds per-sample numbers (residual, iterations, seconds); `outputs` named quantities,
    `(B,)` or `(B, T)`; `provenance` says where the data came from; `index` `(B,)` numbers the samples in their random
    stream.
    """

    parameters: ParameterSpace
    space: FunctionSpace
    mu: Mapping[str, Any]
    fields: Any
    status: Array | None = None
    stats: Mapping[str, Array] = field(default_factory=dict)
    outputs: Mapping[str, Array] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    times: Real | None = None
    index: Array | None = None

    def __post_init__(self) -> None:
        per_sample = {**self.stats, **self.outputs, "fields": self.fields, "status": self.status, "index": self.index}
        sizes = {name: len(v) for name, v in {**self.mu, **per_sample}.items() if v is not None}
        if len(set(sizes.values())) != 1:
            raise InputError(f"snapshots have unequal lengths {sizes}; give one row per run everywhere")
        shape, levels = tuple(self.fields.shape[1:]), () if self.times is None else (len(self.times),)
        if shape != (*levels, *self.space.shape):
            raise InputError(
                f"fields have shape {shape} per sample, expected {(*levels, *self.space.shape)}: the time levels where "
                "`times` is given, then the shape of the space"
            )

    def __repr__(self) -> str:
        counts = {} if self.status is None else count_samples(self.status)
        how = ", ".join(f"{n} {name.replace('_', ' ')}" for name, n in counts.items()) or "no status"
        return f"Snapshots({len(self)} samples ({how}) of {', '.join(self.mu)}; fields {tuple(self.fields.shape)})"

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
        return self._pick(rows, lambda values, index: np.asarray(values[index]))

    def split(self, *counts: int, seed: int | None = None) -> tuple[Snapshots, ...]:
        """Disjoint parts with `counts` samples each, in order, or shuffled by `seed`. Unconverged samples are left out.

        What lies in a store stays there: the parts read it when asked. Raises InputError where there are not enough.
        """
        rows = self.good
        if seed is not None:
            rows = np.random.default_rng(seed).permutation(rows)
        if any(n < 0 for n in counts) or sum(counts) > len(rows):
            raise InputError(f"asked for parts of {counts} = {sum(counts)} samples, only {len(rows)} are usable")
        edges: Sequence[int] = np.concatenate([[0], np.cumsum(counts)]).astype(int).tolist()
        return tuple(self._pick(np.sort(rows[a:b]), _view) for a, b in pairwise(edges))

    def append(self, other: Snapshots, path: str | Path | None = None) -> Snapshots:
        """These samples and then the other's, as new snapshots: in memory, or in a new store at `path`.

        Raises InputError where the two differ in parameters, space, times or outputs, or share a sample.
        """
        return load_attribute("nwidth.snapshots.save:append_snapshots")(self, other, path)

    def save(self, path: str | Path) -> Snapshots:
        """The same snapshots in a new store at `path`, written chunk by chunk; `open_snapshots(path)` reads it.

        Raises InputError where something is at `path` already, WorkError where the disk is full.
        """
        return load_attribute("nwidth.snapshots.save:save_snapshots")(self, path)

    def loader(self, device: str = "cpu", batch_size: int = 16, **options: Any) -> Any:
        """Batches of torch tensors for a training loop of one's own; needs the extra `neural`."""
        return load_attribute("nwidth.surrogates.training.loader:loader")(self, device, batch_size, **options)

    def _pick(self, rows: Array | slice, read: Callable[[Any, Array], Any]) -> Snapshots:
        index = np.arange(len(self))[rows]
        status = None if self.status is None else np.asarray(self.status)[index]
        counted = {} if status is None else {"samples": count_samples(status)}
        return replace(
            self,
            mu={name: read(values, index) for name, values in self.mu.items()},
            fields=read(self.fields, index),
            status=status,
            stats={name: np.asarray(values)[index] for name, values in self.stats.items()},
            outputs={name: np.asarray(values)[index] for name, values in self.outputs.items()},
            provenance={**self.provenance, **counted},
            index=None if self.index is None else np.asarray(self.index)[index],
        )


def count_samples(status: Array) -> dict[str, int]:
    """How many solves ended in which way: name of the status -> count."""
    counts = Counter(np.asarray(status).tolist())
    return {Status(code).name.lower(): counts[code] for code in sorted(counts)}


def _view(values: Any, index: Array) -> Any:
    return values[index] if isinstance(values, np.ndarray) else values.view(index)
