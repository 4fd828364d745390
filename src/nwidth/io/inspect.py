"""What a file holds, in words."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from nwidth.core.arrays import Array, Real
from nwidth.core.errors import InputError
from nwidth.core.kinds import load_attribute
from nwidth.io.detect import describe_kind, detect
from nwidth.io.model import read_manifest
from nwidth.io.readers.base import ARRAY_READERS, Table, read_arrays
from nwidth.io.readers.table import read_table

#: Values per block when a stored array is looked through.
_BLOCK = 1 << 22


@dataclass(frozen=True)
class ArraySummary:
    """One array: shape, type and the range of its finite values."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    low: float | None = None
    high: float | None = None
    not_finite: int = 0
    constant: bool = False

    def __str__(self) -> str:
        shape = " x ".join(map(str, self.shape)) or "one number"
        text = f"{self.name}: {shape}, {self.dtype}"
        if self.dtype == "bool":
            text += ", a mask"
        elif self.constant and self.low is not None:
            text += f", {self.low:.6g} everywhere"
        elif self.low is not None:
            text += f", from {self.low:.6g} to {self.high:.6g}"
        return text + (f", {self.not_finite} values are not finite" if self.not_finite else "")


@dataclass(frozen=True)
class Violation:
    """A sample that breaks an invariant: its array, its row, its worst value."""

    array: str
    sample: int
    value: float

    def __str__(self) -> str:
        return f"{self.array}, sample {self.sample}: down to {self.value:.6g}"


@dataclass(frozen=True)
class Inspection:
    """What a file holds. `violations` are the samples with a negative value, the worst first (None: not asked)."""

    path: str
    kind: str
    holds: str
    arrays: tuple[ArraySummary, ...] = ()
    notes: tuple[str, ...] = ()
    violations: tuple[Violation, ...] | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def lines(self) -> tuple[str, ...]:
        """The report as text, one line each."""
        return (f"{self.path}: {self.holds}", *map(str, self.arrays), *self.notes, *self._violation_lines())

    def to_dict(self) -> dict[str, Any]:
        """The report for JSON."""
        return asdict(self)

    def _violation_lines(self) -> Iterator[str]:
        if self.violations is None:
            return
        if not self.violations:
            yield "No negative values."
            return
        count = len(self.violations)
        yield f"{count} sample{'s have' if count > 1 else ' has'} negative values, the worst first:"
        yield from (f"  {v}" for v in self.violations)


def inspect(path: str | Path, *, nonnegative: bool = False) -> Inspection:
    """What the file (or snapshot store, or folder of arrays) holds, found by content.

    With `nonnegative`, the samples (rows of the first axis) with a value below zero are listed. Raises InputError
    where there is no file, or it is damaged.
    """
    path = Path(path)
    kind = detect(path)
    if kind == "model":
        return _model(path, nonnegative)
    if kind == "table":
        return _table(path, nonnegative)
    if kind == "store":
        return _store(path, nonnegative)
    if kind in ARRAY_READERS:
        return _arrays(path, kind, nonnegative)
    return Inspection(str(path), kind, f"{describe_kind(kind)}; nwidth does not read it")


def _arrays(path: Path, kind: str, nonnegative: bool) -> Inspection:
    content = read_arrays(path)
    found = _negative(content.arrays) if nonnegative else None
    summaries = tuple(_summary(name, a) for name, a in content.arrays.items())
    count = len(summaries)
    holds = f"{describe_kind(kind)}, {count} array{'s' if count != 1 else ''}"
    return Inspection(str(path), kind, holds, summaries, content.notes, found)


def _store(path: Path, nonnegative: bool) -> Inspection:
    arrays, attributes = load_attribute("nwidth.io.readers.store:read_store")(path)
    summaries = tuple(_summary(name, array) for name, array in arrays.items())
    notes = []
    status = next((np.asarray(a[...]) for name, a in arrays.items() if name.endswith("status")), None)
    if status is not None:
        done = int((status == 1).sum())
        notes.append(f"{done} of {status.size} samples are solved, {int((status == 0).sum())} are still missing")
    found = _negative(arrays) if nonnegative else None
    details = {"attributes": attributes}
    return Inspection(str(path), "store", describe_kind("store"), summaries, tuple(notes), found, details)


def _table(path: Path, nonnegative: bool) -> Inspection:
    table = read_table(path)
    summaries = tuple(_summary(_with_unit(table, name), values) for name, values in table.numbers.items())
    texts = tuple(f"{name}: text ({len(set(v))} different, for example {v[0]!r})" for name, v in table.texts.items())
    holds = f"{describe_kind('table')}, {table.rows} rows, {len(table.columns)} columns"
    found = _negative(table.numbers) if nonnegative else None
    return Inspection(str(path), "table", holds, summaries, (*texts, *table.notes), found)


def _with_unit(table: Table, name: str) -> str:
    return f"{name} [{table.units[name]}]" if name in table.units else name


def _model(path: Path, nonnegative: bool) -> Inspection:
    if nonnegative:
        raise InputError(f"{path} is an nwidth model; --nonnegative is for data files with samples")
    manifest = read_manifest(path)
    size = sum(member["bytes"] for member in manifest["members"].values())
    tree = manifest["object"]
    holds = f"{describe_kind('model')}: {_kinds(tree)}; {_bytes(size)} of arrays, format {manifest['version']}"
    provenance = manifest["provenance"]
    notes = (
        *_ranges(tree),
        *provenance.get("summary", ()),
        f"written by nwidth {provenance.get('nwidth', 'of unknown version')}; every SHA-256 is checked on loading",
    )
    return Inspection(str(path), "model", holds, (), notes, None, {"object": tree, "provenance": provenance})


def _kinds(node: Mapping[str, Any]) -> str:
    """The kind of an object, and the kinds directly inside it, each once."""
    inner = list(dict.fromkeys(child["kind"] for child in node["children"].values()))
    return node["kind"] + (f" (of {', '.join(inner)})" if inner else "")


def _ranges(node: Mapping[str, Any]) -> Iterator[str]:
    """The parameters' ranges, wherever a box stands in the tree; what is there a second time says nothing new."""
    if "same" in node:
        return
    if node["kind"] == "box":
        config = node["config"]
        for name, low, high, unit in zip(*(config[k] for k in ("names", "low", "high", "units")), strict=True):
            yield f"parameter {name}: {low:g} to {high:g} {unit}".rstrip()
        return
    seen = set()
    for child in node["children"].values():
        for line in _ranges(child):
            if line not in seen:
                seen.add(line)
                yield line


def _bytes(size: float) -> str:
    for unit in ("bytes", "KB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"


def _blocks(array: Any) -> Iterator[tuple[int, Array]]:
    """(first row, rows) of an array that may be larger than memory."""
    if not array.shape:
        yield 0, np.asarray(array[...])[None]
        return
    rows = max(1, _BLOCK // max(1, int(np.prod(array.shape[1:]))))
    for start in range(0, array.shape[0], rows):
        yield start, np.asarray(array[start : start + rows])


def _summary(name: str, array: Any) -> ArraySummary:
    shape, dtype = tuple(int(n) for n in array.shape), np.dtype(array.dtype)
    if dtype.kind not in "iuf" or 0 in shape:
        return ArraySummary(name, shape, str(dtype))
    lows, highs, bad = [], [], 0
    for _, rows in _blocks(array):
        finite = rows[np.isfinite(rows)]
        bad += rows.size - finite.size
        if finite.size:
            lows.append(float(finite.min()))
            highs.append(float(finite.max()))
    if not lows:
        return ArraySummary(name, shape, str(dtype), not_finite=bad)
    low, high = min(lows), max(highs)
    return ArraySummary(name, shape, str(dtype), low, high, bad, constant=low == high and int(np.prod(shape)) > 1)


def _negative(arrays: Mapping[str, Any]) -> tuple[Violation, ...]:
    """The samples with a value below zero, the worst first."""
    found = []
    for name, array in arrays.items():
        if np.dtype(array.dtype).kind not in "if" or 0 in array.shape:
            continue
        for start, rows in _blocks(array):
            worst: Real = np.nanmin(rows.reshape(len(rows), -1).astype(float), axis=1, initial=np.inf)
            found += [Violation(name, start + int(i), float(worst[i])) for i in np.flatnonzero(worst < 0)]
    return tuple(sorted(found, key=lambda v: v.value))
