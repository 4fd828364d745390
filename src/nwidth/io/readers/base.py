"""What the readers return."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from nwidth.core.arrays import Array, Mask, Real
from nwidth.core.errors import InputError
from nwidth.core.kinds import load_attribute
from nwidth.io.detect import describe_kind, detect

#: Words that stand where a number is missing because the run failed.
FAILED_WORDS = frozenset(
    {
        "",
        "nan",
        "-nan",
        "n/a",
        "na",
        "none",
        "null",
        "-",
        "--",
        "fail",
        "failed",
        "error",
        "diverged",
        "aborted",
        "#n/a",
    }
)
#: Words of a status column that mean a good run.
GOOD_WORDS = frozenset(
    {"ok", "okay", "done", "converged", "success", "successful", "completed", "finished", "true", "yes"}
)


@dataclass(frozen=True)
class Table:
    """A text table, one row per run (or per node): numbers `(rows,)` with NaN where one is missing, and text columns.

    `units` holds what stood in brackets behind a name: "T_max [K]" is the column T_max in K.
    """

    path: Path
    numbers: Mapping[str, Real]
    texts: Mapping[str, tuple[str, ...]]
    units: Mapping[str, str]
    lines: Array
    notes: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.lines)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of all columns, numbers first."""
        return (*self.numbers, *self.texts)


@dataclass(frozen=True)
class FieldFile:
    """One run's results: arrays with the node axis last, `(nodes,)` or `(C, nodes)`, or grid-shaped; and scalars.

    `coordinates` `(nodes, dim)` and `cells` `(cells, corners)` are None where the file has none.
    """

    path: Path
    arrays: Mapping[str, Array]
    scalars: Mapping[str, float] = field(default_factory=dict)
    coordinates: Real | None = None
    cells: Array | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class ArrayFile:
    """Named arrays of a whole data set (samples first, or not: the file does not say)."""

    path: Path
    arrays: Mapping[str, Array]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Runs:
    """Runs as arrays, one row per line of the table; `good` marks the rows that can be used.

    `parameters` name -> `(B,)`; `fixed` holds the columns that never vary; `fields` `(B, nodes)` or `(B, C, nodes)`
    or grid-shaped, zero in failed rows; `outputs` name -> `(B,)`. `failed` says row by row why one is not used.
    """

    names: tuple[str, ...]
    good: Mask
    parameters: Mapping[str, Real]
    fixed: Mapping[str, float] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    fields: Array | None = None
    outputs: Mapping[str, Real] = field(default_factory=dict)
    components: tuple[str, ...] = ("u",)
    coordinates: Real | None = None
    cells: Array | None = None
    failed: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


#: kind -> reader of all its arrays.
ARRAY_READERS: Mapping[str, str] = MappingProxyType(
    {
        "npz": "nwidth.io.readers.numpy_files:read_npz",
        "npy": "nwidth.io.readers.numpy_files:read_npy",
        "npy-folder": "nwidth.io.readers.numpy_files:read_npy_folder",
        "torch": "nwidth.io.readers.torch_file:read_torch",
        "vtu": "nwidth.io.readers.vtu:read_vtu_arrays",
        "hdf5": "nwidth.io.readers.hdf5:read_hdf5",
    }
)

#: kind -> reader of one run's results.
FIELD_READERS: Mapping[str, str] = MappingProxyType(
    {
        "npz": "nwidth.io.readers.numpy_files:read_field_npz",
        "npy": "nwidth.io.readers.numpy_files:read_field_npy",
        "vtu": "nwidth.io.readers.vtu:read_field_vtu",
        "table": "nwidth.io.readers.table:read_field_table",
    }
)


def read_arrays(path: str | Path) -> ArrayFile:
    """All arrays of a data file, detected by content. Raises InputError that says what the file is instead."""
    return _reader(path, ARRAY_READERS, "arrays")(Path(path))


def read_field(path: str | Path) -> FieldFile:
    """One run's results, detected by content. Raises InputError that says what the file is instead."""
    return _reader(path, FIELD_READERS, "one run's results")(Path(path))


def _reader(path: str | Path, readers: Mapping[str, str], wanted: str) -> Callable[[Path], Any]:
    kind = detect(path)
    if kind not in readers:
        known = ", ".join(describe_kind(k) for k in readers)
        raise InputError(f"{path} is {describe_kind(kind)}; expected {wanted}: {known}")
    return load_attribute(readers[kind])


def finite_rows(values: Array) -> Mask:
    """Which rows hold finite numbers only, `(B,)`."""
    return np.asarray(np.isfinite(values).reshape(len(values), -1).all(axis=1))
