"""Where the rows of a streaming POD come from: arrays, snapshots, a store on disk, or blocks as they are made."""

import hashlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from nwidth.core.arrays import Array
from nwidth.core.errors import InputError
from nwidth.core.validation import check_finite
from nwidth.snapshots.base import Snapshots
from nwidth.snapshots.open import open_snapshots
from nwidth.snapshots.store import chunk_of
from nwidth.spaces.base import InnerProduct

#: Dofs `(B, N)`, runs, the folder of a store, or blocks of either, in order.
Data: TypeAlias = Array | Snapshots | str | Path | Iterable[Array | Snapshots]

#: Rows that are taken together, and the most bytes of them.
_ROWS = 64
_BYTES = 2**28


@dataclass(frozen=True)
class Piece:
    """Rows `(b, N)`, and how many units of the source (samples, or blocks) are used up behind them."""

    rows: Array
    end: int


@dataclass(frozen=True)
class Source:
    """Rows in order, a block at a time, from any place on: each call of `pieces` begins anew.

    One of three: `runs`, a `table` `(B, N)` in memory, or `blocks` that are handed over as they are made and counted
    one by one.
    """

    runs: Snapshots | None = None
    table: Array | None = None
    blocks: Iterable[Array | Snapshots] = ()

    @classmethod
    def of(cls, data: Data) -> "Source":
        """The source of what the user hands over. Raises InputError for anything else."""
        if isinstance(data, str | Path):
            return cls(runs=open_snapshots(data))
        if isinstance(data, Snapshots):
            return cls(runs=data)
        if isinstance(data, np.ndarray):
            return cls(table=_rows(data, "the data"))
        if isinstance(data, Iterable):
            return cls(blocks=data)
        raise InputError(
            f"got a {type(data).__name__}; a POD takes dofs (B, N), Snapshots, the folder of a store, or an iterable "
            "of blocks of either"
        )

    def inner(self, inner: InnerProduct | str | None) -> InnerProduct | None:
        """The inner product, by its name where the data has a space. Raises InputError where it has none."""
        if not isinstance(inner, str):
            return inner
        if inner == "nodal":
            return None
        if self.runs is None:
            raise InputError(f"inner={inner!r} names a product of a space, but the data has none; pass the product")
        return self.runs.space.inner(inner)

    def block(self) -> int:
        """Samples to read at a time: whole chunks of the store, about 64 rows, 256 MB unless a chunk has more."""
        if self.runs is None:
            return _ROWS
        fields = self.runs.fields
        size, chunk = int(np.prod(fields.shape[1:], dtype=np.int64)), chunk_of(fields.shape[1:], fields.dtype)
        levels = max(1, size // max(1, self.runs.space.size))
        wanted = min(_ROWS // levels, _BYTES // (8 * max(1, size)))
        return chunk * max(1, wanted // chunk)

    def identity(self) -> str:
        """A hash of what the rows are: the space's size, and the parameters of the first run."""
        digest = hashlib.sha256()
        if self.runs is not None and len(self.runs):
            digest.update(repr((tuple(self.runs.fields.shape[1:]), str(self.runs.fields.dtype))).encode())
            for name, values in self.runs.mu.items():
                digest.update(name.encode() + np.ascontiguousarray(values[:1]).tobytes())
        return digest.hexdigest()

    def pieces(self, start: int, size: int) -> Iterator[Piece]:
        """Blocks from unit `start` on; the next is read while one is in use, so two are held at a time."""
        if self.table is not None:
            yield from _sliced(self.table, start, size)
            return
        found = self._blocks(start) if self.runs is None else self._stored(self.runs, start, size)
        with ThreadPoolExecutor(1) as reader:
            ahead = reader.submit(next, found, None)
            while (piece := ahead.result()) is not None:
                ahead = reader.submit(next, found, None)
                yield piece

    def _blocks(self, start: int) -> Iterator[Piece]:
        for i, block in enumerate(islice(iter(self.blocks), start, None), start):
            yield Piece(_rows(block, f"block {i}"), i + 1)

    def _stored(self, runs: Snapshots, start: int, size: int) -> Iterator[Piece]:
        """Samples that converged; every block of samples has fixed borders, whatever the start."""
        good = np.zeros(len(runs), dtype=bool)
        good[runs.good] = True
        for first in range(start, len(runs), size):
            end = min(first + size, len(runs))
            fields = np.asarray(runs.fields[first:end])[good[first:end]]
            yield Piece(_flat(fields.reshape(-1, runs.space.size), f"samples {first} to {end - 1}"), end)


def _sliced(table: Array, start: int, size: int) -> Iterator[Piece]:
    for first in range(start, len(table), size):
        end = min(first + size, len(table))
        yield Piece(table[first:end], end)


def _rows(block: Any, what: str) -> Array:
    if isinstance(block, Snapshots):
        return _flat(np.asarray(block.fields[block.good]).reshape(-1, block.space.size), what)
    rows = np.asarray(block)
    if rows.ndim != 2:
        raise InputError(f"{what} has shape {rows.shape}, expected dofs (B, N)")
    return _flat(rows, what)


def _flat(rows: Array, what: str) -> Array:
    """In double precision, finite."""
    wide = np.complex128 if np.iscomplexobj(rows) else np.float64
    rows = np.ascontiguousarray(rows, dtype=wide)
    check_finite(what, rows)
    return rows
