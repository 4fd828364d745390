"""The result files of a table's runs: one NPZ for all, or a folder with one file per run."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from nwidth.core.arrays import Array, Real
from nwidth.core.errors import InputError
from nwidth.io.detect import detect
from nwidth.io.readers.base import FIELD_READERS, FieldFile, Runs, read_field
from nwidth.io.readers.numpy_files import CELLS, COORDINATES, read_npz


def join_npz(runs: Runs, path: Path, wanted: Sequence[str]) -> Runs:
    """One NPZ for all runs: arrays whose first axis is the runs', beside coordinates and cells."""
    arrays = dict(read_npz(path).arrays)
    shared = {n: arrays.pop(n) for n in list(arrays) if n.lower() in COORDINATES + CELLS}
    count = len(runs.names)
    per_run = {n: a for n, a in arrays.items() if a.ndim and len(a) == count}
    if not per_run:
        shapes = {n: a.shape for n, a in arrays.items()}
        raise InputError(f"{path}: no array has one row for each of the {count} runs; got {shapes}")
    scalars = {n: a.reshape(count) for n, a in per_run.items() if a.size == count}
    rest = {n: a for n, a in per_run.items() if a.size != count}
    if not rest:
        return replace(runs, outputs={**runs.outputs, **scalars})
    first = FieldFile(path, {n: a[0] for n, a in rest.items()})
    picked = _choose(first, wanted)
    places = next((a for n, a in shared.items() if n.lower() in COORDINATES), None)
    cells = next((a for n, a in shared.items() if n.lower() in CELLS), None)
    if places is not None and places.ndim == 2 and places.shape[0] <= 3 < places.shape[1]:
        places = places.T
    nodes_axis = None if places is None else len(places)
    stacks = [_node_axis_last(rest[n], nodes_axis) for n in picked]
    return _with_fields(replace(runs, outputs={**runs.outputs, **scalars}), picked, stacks, places, cells)


def _node_axis_last(values: Array, nodes: int | None) -> Array:
    swap = nodes is not None and values.ndim == 3 and values.shape[1] == nodes != values.shape[2]
    return np.swapaxes(values, 1, 2) if swap else values


def _choose(file: FieldFile, wanted: Sequence[str]) -> list[str]:
    """The arrays to use: those asked for, or all."""
    missing = [n for n in wanted if n not in file.arrays]
    if missing:
        raise InputError(f"{file.path} has no array {missing[0]!r}; it has {', '.join(file.arrays) or 'none'}")
    names = list(wanted or file.arrays)
    shapes = {n: file.arrays[n].shape[-1:] for n in names}
    if len(set(shapes.values())) > 1:
        raise InputError(f"{file.path} holds arrays of different sizes {shapes}; choose with fields=[...] (--fields)")
    return names


def _with_fields(
    runs: Runs, names: Sequence[str], stacks: Sequence[Array], places: Array | None, cells: Array | None
) -> Runs:
    """The runs with their fields stacked as components `(B, C, nodes)`, or `(B, ...)` for a single one."""
    if len(stacks) == 1 and (stacks[0].ndim != 3 or places is None):
        return replace(runs, fields=stacks[0], components=(names[0],), coordinates=places, cells=cells)
    parts, labels = [], []
    for name, stack in zip(names, stacks, strict=True):
        stack = stack[:, None] if stack.ndim == 2 else stack
        parts.append(stack.reshape(len(stack), -1, stack.shape[-1]))
        size = parts[-1].shape[1]
        labels += [name] if size == 1 else [f"{name}_{axis}" for axis in ("xyz"[:size] if size <= 3 else range(size))]
    return replace(
        runs, fields=np.concatenate(parts, axis=1), components=tuple(labels), coordinates=places, cells=cells
    )


def join_folder(runs: Runs, folder: Path, wanted: Sequence[str], named: bool) -> Runs:
    """One file per run."""
    files = _files_of(runs, folder, named)
    contents = {i: read_field(path) for i, path in files.items() if runs.names[i] not in runs.failed}
    if not contents:
        raise InputError(f"{folder}: no result file belongs to a run that did not fail")
    missing = {n: f"no file in {folder.name}/" for i, n in enumerate(runs.names) if i not in files}
    runs = replace(runs, failed={**missing, **runs.failed})
    first = contents[min(contents)]
    notes = first.notes
    outputs = {name: _column(runs, contents, name) for name in first.scalars}
    runs = replace(runs, outputs={**runs.outputs, **outputs}, notes=(*runs.notes, *notes))
    if not first.arrays:
        return runs
    names = _choose(first, wanted)
    places, moving = _common_mesh(contents)
    stacks = [_stack(runs, contents, name) for name in names]
    runs = replace(runs, notes=(*runs.notes, *moving))
    return _with_fields(runs, names, stacks, places, first.cells)


def _column(runs: Runs, contents: Mapping[int, FieldFile], name: str) -> Real:
    """One scalar of every run, NaN where there is none."""
    values = np.full(len(runs.names), np.nan)
    for i, file in contents.items():
        values[i] = file.scalars.get(name, np.nan)
    return values


def _stack(runs: Runs, contents: Mapping[int, FieldFile], name: str) -> Array:
    """One array of every run, `(B, ...)`; zeros for runs without one. Raises InputError for different shapes."""
    first = contents[min(contents)]
    shape = first.arrays[name].shape
    stack = np.zeros((len(runs.names), *shape), dtype=np.result_type(first.arrays[name], np.float64))
    for i, file in contents.items():
        if name not in file.arrays or file.arrays[name].shape != shape:
            got = file.arrays[name].shape if name in file.arrays else "none"
            raise InputError(
                f"{file.path}: array {name!r} has shape {got}, {first.path.name} has {shape}; all runs must have their "
                "results on one mesh: interpolate them to it, or leave this run out"
            )
        stack[i] = file.arrays[name]
    return stack


def _common_mesh(contents: Mapping[int, FieldFile]) -> tuple[Real | None, tuple[str, ...]]:
    """The mesh of all runs; None with a note where its nodes move and keep their neighbours."""
    first = contents[min(contents)]
    places = first.coordinates
    if places is None:
        return None, ()
    size = float(np.ptp(places, axis=0).max()) or 1.0
    for file in contents.values():
        other = file.coordinates
        if other is None or other.shape != places.shape:
            got = "no mesh" if other is None else f"{len(other)} nodes"
            raise InputError(f"{file.path} has {got}, {first.path.name} has {len(places)} nodes; use one mesh for all")
        if np.allclose(other, places, rtol=0, atol=1e-6 * size):
            continue
        if first.cells is None or file.cells is None or not np.array_equal(first.cells, file.cells):
            raise InputError(
                f"{file.path}: its nodes are elsewhere than those of {first.path.name}; interpolate all runs to one "
                "mesh (moving nodes need the same cells in every file)"
            )
        return None, ("the nodes move from run to run and keep their cells: results are compared node by node",)
    return places, ()


def _files_of(runs: Runs, folder: Path, named: bool) -> dict[int, Path]:
    """row -> file. By the run's name; otherwise by the number in the file name; otherwise in order, if complete."""
    files = sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith(".") and _readable(p))
    if not files:
        raise InputError(f"{folder} holds no result files (NPZ, NPY, VTU or CSV)")
    if named:
        found = _by_name(runs.names, files)
        if found:
            return found
    numbers = [_trailing_number(p.stem) for p in files]
    if None not in numbers and len(set(numbers)) == len(numbers):
        return _by_number(runs, folder, dict(zip(numbers, files, strict=True)))
    if len(files) == len(runs.names):
        return dict(enumerate(files))
    raise InputError(
        f"{folder} has {len(files)} files for {len(runs.names)} runs and their names do not tell which is which; add "
        "a column 'run' with the file names to the table"
    )


def _readable(path: Path) -> bool:
    return detect(path) in FIELD_READERS


def _by_name(names: Sequence[str], files: Sequence[Path]) -> dict[int, Path]:
    by_stem = {p.stem: p for p in files} | {p.name: p for p in files}
    found = {i: by_stem[n] for i, n in enumerate(names) if n in by_stem}
    numbers = {_trailing_number(p.stem): p for p in files}
    if found or len(numbers) < len(files) or not all(n.isdigit() for n in names):
        return found
    return {i: numbers[int(n)] for i, n in enumerate(names) if int(n) in numbers}


def _by_number(runs: Runs, folder: Path, numbered: Mapping[int | None, Path]) -> dict[int, Path]:
    """Files numbered from 0 or from 1: which of the two must be clear."""
    count, present = len(runs.names), {n for n in numbered if n is not None}
    bases = [b for b in (0, 1) if min(present) >= b and max(present) < count + b]
    if len(bases) == 2:
        expected = [i for i, name in enumerate(runs.names) if name not in runs.failed]
        bases = [b for b in bases if all(i + b in present for i in expected)]
    if len(bases) != 1:
        raise InputError(
            f"{folder} has files numbered {min(present)} to {max(present)} for {count} runs; it is not clear which "
            "belongs to which: add a column 'run' with the file names to the table"
        )
    return {n - bases[0]: numbered[n] for n in present}


def _trailing_number(stem: str) -> int | None:
    match = re.search(r"(\d+)$", stem)
    return int(match.group(1)) if match else None
