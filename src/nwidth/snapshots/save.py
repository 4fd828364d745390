"""Snapshots written to a new store, and put together: chunk by chunk, so that they may be larger than memory."""

from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from nwidth.core.arrays import Array
from nwidth.core.errors import InputError
from nwidth.core.solution import Status
from nwidth.snapshots.base import Snapshots, count_samples
from nwidth.snapshots.identity import IDENTITY, describe
from nwidth.snapshots.layout import Layout
from nwidth.snapshots.lock import sole_writer
from nwidth.snapshots.open import stored_snapshots
from nwidth.snapshots.store import Block, Store, building, chunk_of, start_store


def save_snapshots(snapshots: Snapshots, path: str | Path) -> Snapshots:
    """A new store with these snapshots, which appears under its name only when it is complete.

    Raises InputError where something is at `path` already, WorkError where the disk is full.
    """
    return _write([snapshots], Path(path), dict(snapshots.provenance))


def append_snapshots(first: Snapshots, second: Snapshots, path: str | Path | None = None) -> Snapshots:
    """The samples of both as new snapshots, in memory or in a new store. Raises InputError where they do not match."""
    _check_match(first, second)
    parts = [first, second]
    provenance = {"parts": [dict(part.provenance) for part in parts], "units": first.provenance.get("units", {})}
    if path is not None:
        return _write(parts, Path(path), provenance)
    block = _block(parts, np.arange(len(first) + len(second)))
    return Snapshots(
        first.parameters,
        first.space,
        block.mu,
        block.fields,
        block.status,
        block.stats,
        block.outputs,
        {**provenance, "samples": count_samples(block.status)},
        first.times,
        block.index,
    )


def _check_match(first: Snapshots, second: Snapshots) -> None:
    """Raises InputError where the two cannot be one set of samples."""
    for name in ("parameters", "space"):
        a, b = describe(getattr(first, name)), describe(getattr(second, name))
        if a != b:
            raise InputError(f"the snapshots differ in {name}: {a} and {b}; join samples of one problem only")
    if not np.array_equal(_or_empty(first.times), _or_empty(second.times)):
        raise InputError(f"the snapshots differ in their time levels: {first.times} and {second.times}")
    if set(first.outputs) != set(second.outputs):
        raise InputError(f"the snapshots have different outputs: {sorted(first.outputs)}, {sorted(second.outputs)}")
    common = _common_samples(first, second)
    if len(common):
        after = 1 + max(int(part.index.max()) for part in (first, second) if part.index is not None)
        raise InputError(
            f"{len(common)} samples are in both, number {common[0]} the first; generate others with start={after}"
        )


def _common_samples(first: Snapshots, second: Snapshots) -> Array:
    """Numbers of the samples that both hold, as far as their provenance tells."""
    mine, other = first.provenance, second.provenance
    same = "seed" in mine and all(mine.get(name) == other.get(name) for name in IDENTITY if name != "start")
    return np.intersect1d(_or_empty(first.index), _or_empty(second.index)) if same else np.empty(0)


def _or_empty(values: Array | None) -> Array:
    return np.empty(0) if values is None else values


def _write(parts: Sequence[Snapshots], path: Path, provenance: dict[str, Any]) -> Snapshots:
    head, count = parts[0], sum(map(len, parts))
    if not count:
        raise InputError("there are no samples to save; expected at least one")
    chunk = chunk_of(head.fields.shape[1:], head.fields.dtype)
    mu = {name: np.asarray(values[:1]) for name, values in head.mu.items()}
    units = provenance.get("units", {})
    layout = Layout.of(head.parameters, head.space, head.times, mu, head.fields, head.outputs, units)
    kept = {name: value for name, value in provenance.items() if name not in ("path", "samples")}
    with sole_writer(path), building(path) as temporary:
        start_store(temporary, layout, count, chunk, {"generated": False, "provenance": describe(kept)})
        store = Store(temporary, writable=True)
        for first in range(0, count, chunk):
            store.write(_block(parts, np.arange(first, min(first + chunk, count))), first)
    return stored_snapshots(Store(path), head.parameters, head.space)


def _block(parts: Sequence[Snapshots], rows: Array) -> Block:
    """The rows of the parts laid end to end."""
    ends = list(accumulate(len(part) for part in parts))
    taken = []
    for part, end in zip(parts, ends, strict=True):
        begin = end - len(part)
        mine = rows[(rows >= begin) & (rows < end)]
        if len(mine):
            taken.append((part.take(mine - begin), mine))
    names = list(dict.fromkeys(name for part in parts for name in part.stats))
    return Block(
        index=np.concatenate([r if s.index is None else s.index for s, r in taken]),
        mu={name: np.concatenate([s.mu[name] for s, _ in taken]) for name in parts[0].mu},
        fields=np.concatenate([s.fields for s, _ in taken]),
        status=np.concatenate([_status(s) for s, _ in taken]),
        stats={name: np.concatenate([_statistic(s, name) for s, _ in taken]) for name in names},
        outputs={name: np.concatenate([s.outputs[name] for s, _ in taken]) for name in parts[0].outputs},
    )


def _status(part: Snapshots) -> Array:
    return np.full(len(part), Status.CONVERGED, dtype=np.uint8) if part.status is None else np.asarray(part.status)


def _statistic(part: Snapshots, name: str) -> Array:
    return np.asarray(part.stats[name]) if name in part.stats else np.full(len(part), np.nan)
