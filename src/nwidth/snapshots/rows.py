"""Rows of a stored array, read when they are asked for."""

from pathlib import Path
from typing import Any

import numpy as np
import zarr

from nwidth.core.arrays import Array
from nwidth.core.errors import InputError


class StoredRows:
    """A selection of the rows of a chunked array on disk; behaves like an array where only its rows are asked for.

    `rows[i]`, `rows[a:b]` and `rows[indices]` read the chunks they touch and return NumPy arrays;
    `np.asarray(rows)` reads all. `view(selection)` reads nothing. A damaged chunk is an InputError that names it.
    """

    def __init__(self, array: zarr.Array, path: Path, index: Array):
        self._array, self._path, self._index = array, path, index

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of rows, then the shape of one."""
        return (len(self._index), *self._array.shape[1:])

    @property
    def dtype(self) -> np.dtype:
        """Type of the values."""
        return np.dtype(self._array.dtype)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        """Size of all rows in memory."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize

    def __len__(self) -> int:
        return len(self._index)

    def __getitem__(self, key: Any) -> Array:
        first, *rest = key if isinstance(key, tuple) else (key,)
        if first is Ellipsis or first is None:
            return self._read(self._index)[key]
        chosen = self._index[first]
        if np.ndim(chosen) == 0:
            row = self._read(np.atleast_1d(chosen))[0]
            return row[tuple(rest)] if rest else row
        values = self._read(chosen)
        return values[(slice(None), *rest)] if rest else values

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        values = self._read(self._index)
        return values if dtype is None else values.astype(dtype, copy=False)

    def __repr__(self) -> str:
        return f"StoredRows(shape={self.shape}, dtype={self.dtype}, path={str(self._path)!r})"

    def view(self, rows: Array | slice) -> "StoredRows":
        """The chosen rows; nothing is read."""
        return StoredRows(self._array, self._path, self._index[rows])

    def _read(self, index: Array) -> Array:
        if not len(index):
            return np.empty((0, *self.shape[1:]), dtype=self.dtype)
        try:
            return self._select(index)
        except (ValueError, RuntimeError, OSError) as error:
            raise InputError(
                f"{self._path} is damaged in samples {index.min()} to {index.max()} ({error}); restore it from a copy, "
                "or delete the status chunks of these samples and generate again: they are then solved anew"
            ) from error

    def _select(self, index: Array) -> Array:
        """Every chunk is read once: a run of rows as a slice, any other selection in sorted order."""
        first, last = int(index[0]), int(index[-1])
        if last - first == len(index) - 1 and (np.diff(index) == 1).all():
            return np.asarray(self._array[first : last + 1])
        unique, inverse = np.unique(index, return_inverse=True)
        return np.asarray(self._array.oindex[unique])[inverse]
