"""Data sets of The Well: a folder with HDF5 files for each part, their statistics and a description.

    <name>/data/{train,valid,test}/<name>.hdf5    <name>/stats.yaml    <name>/<name>.yaml

Specification: docs/data_format.md of PolymathicAI/the_well. Fields of rank 0 are in `t0_fields`, vector fields with one
component per direction in `t1_fields`, both `(n_trajectories, n_steps, *grid[, dim])` in single precision; the axis of
steps is dropped for parameters that are fields. A steady field has one step, at time 0. Boundary conditions are
PERIODIC, else WALL (the layout knows no more); the attribute `condition` says which.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import yaml

from nwidth.core.arrays import Array, Real
from nwidth.core.errors import InputError
from nwidth.io.atomic import built_beside
from nwidth.io.writers.base import GridSamples, single

LAYOUT = "The Well's layout"
PARTS = ("train", "valid", "test")
_STATISTICS = ("mean", "std", "rms", "mean_delta", "std_delta", "rms_delta")


@dataclass(frozen=True)
class WellDataSet:
    """Writes the whole data set: the statistics are those of the training part."""

    dtype: str = "float32"

    def place(self, folder: Path, parts: Mapping[str, GridSamples]) -> Path:
        """The folder of the data set. Raises InputError for what the layout cannot hold."""
        unknown = [part for part in parts if part not in PARTS]
        if unknown or "train" not in parts:
            raise InputError(f"{LAYOUT} has the parts {', '.join(PARTS)}, of which train is needed, not {list(parts)}")
        data = parts["train"]
        data.require_real(LAYOUT)
        steps = np.diff(np.zeros(1) if data.times is None else data.times)
        if not np.allclose(steps, steps[:1]):
            raise InputError(f"{LAYOUT} holds steps of one length, and the times are {data.times}; store uniform ones")
        return folder / data.name

    def write(self, path: Path, parts: Mapping[str, GridSamples]) -> None:
        """The folder, complete or not at all."""
        varying = {
            name
            for name in parts["train"].scalars
            if len(np.unique(np.concatenate([data.scalars[name] for data in parts.values()]))) > 1
        }
        sums: dict[str, _Sums] = {}
        with built_beside(path) as temporary:
            for part, data in parts.items():
                folder = temporary / "data" / part
                folder.mkdir(parents=True)
                with h5py.File(folder / f"{data.name}.hdf5", "w") as file:
                    _write_head(file, data, varying)
                    found = _write_fields(file, data, np.dtype(self.dtype))
                sums = found if part == "train" else sums
            statistics = {key: {name: s.of(key) for name, s in sums.items()} for key in _STATISTICS}
            _dump(temporary / "stats.yaml", statistics)
            _dump(temporary / f"{path.name}.yaml", _description(parts, varying))


def _dump(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(yaml.safe_dump(dict(content), sort_keys=False), encoding="utf-8")


def _times(data: GridSamples) -> Real:
    return np.zeros(1) if data.times is None else np.asarray(data.times)


def _write_head(file: h5py.File, data: GridSamples, varying: set[str]) -> None:
    """Everything but the fields: attributes, dimensions, boundary conditions, scalars."""
    fixed = {name: float(values[0]) for name, values in data.scalars.items() if name not in varying}
    numbers = fixed | {n: float(v) for n, v in data.attributes.items() if not isinstance(v, str)}
    file.attrs.update({n: v for n, v in data.attributes.items() if isinstance(v, str)})
    file.attrs.update(numbers)
    file.attrs["simulation_parameters"] = _words(numbers)
    file.attrs["dataset_name"], file.attrs["grid_type"] = data.name, "cartesian"
    file.attrs["n_spatial_dims"], file.attrs["n_trajectories"] = len(data.axes), data.count
    dimensions = file.create_group("dimensions")
    dimensions.attrs["spatial_dims"] = _words(data.axes)
    for name, line in {"time": _times(data), **data.axes}.items():
        _flags(dimensions.create_dataset(name, data=line.astype(np.float32)), sample=False, time=name == "time")
    dimensions["time"].attrs["time_varying"] = True
    scalars = file.create_group("scalars")
    scalars.attrs["field_names"] = _words((*numbers, *sorted(varying)))
    for name, value in [*numbers.items(), *((n, data.scalars[n]) for n in sorted(varying))]:
        values = np.asarray(value, dtype=np.float32)
        _flags(scalars.create_dataset(name, data=values), sample=name in varying, time=False)
    _write_conditions(file.create_group("boundary_conditions"), data)


def _write_conditions(group: h5py.Group, data: GridSamples) -> None:
    """One entry for each axis that is periodic, one for each end of the others; the mask marks the points there."""
    for axis, ends in data.ends.items():
        names = (
            [(f"{axis}_periodic", "PERIODIC", ends[0], (0, -1))]
            if ends[0] == "periodic"
            else [
                (f"{axis}_wall_{side}", "WALL", end, (place,))
                for side, end, place in zip(("low", "high"), ends, (0, -1), strict=True)
            ]
        )
        for name, kind, condition, places in names:
            entry = group.create_group(name)
            entry.attrs["associated_dims"], entry.attrs["associated_fields"] = [axis], _words(())
            entry.attrs["bc_type"], entry.attrs["condition"] = kind, condition
            mask = np.zeros(len(data.axes[axis]), dtype=bool)
            mask[list(places)] = True
            entry["mask"] = mask
            _flags(entry, sample=False, time=False)


def _flags(item: Any, *, sample: bool, time: bool) -> None:
    item.attrs["sample_varying"], item.attrs["time_varying"] = sample, time


def _words(names: Iterable[str]) -> Array:
    """A list of names as HDF5 keeps it, also where it is empty."""
    return np.array(list(names), dtype=h5py.string_dtype())


def _write_fields(file: h5py.File, data: GridSamples, dtype: np.dtype) -> dict[str, "_Sums"]:
    """The fields block by block; their sums by name."""
    kinds = [file.create_group(f"t{rank}_fields") for rank in range(3)]
    vector = len(data.components) == len(data.axes) > 1
    name = _common_name(data.components)
    shape = (data.count, len(_times(data)), *data.grid)
    targets = {n: kinds[0].create_dataset(n, (data.count, *data.grid), dtype) for n in data.inputs}
    if vector:
        targets[name] = kinds[1].create_dataset(name, (*shape, len(data.axes)), dtype)
    else:
        targets |= {n: kinds[0].create_dataset(n, shape, dtype) for n in data.components}
    for n, target in targets.items():
        _flags(target, sample=True, time=n not in data.inputs)
        target.attrs["dim_varying"] = np.ones(len(data.axes), dtype=bool)
    for group in kinds:
        group.attrs["field_names"] = _words(group)
    sums = {n: _Sums(vector and n == name) for n in targets}
    for rows in data.blocks():
        parts = {n: single(values[rows], dtype) for n, values in data.inputs.items()}
        fields = _by_time(single(data.fields[rows], dtype), data)
        if vector:
            parts[name] = np.moveaxis(fields, 2, -1)
        else:
            parts |= {n: fields[:, :, c] for c, n in enumerate(data.components)}
        for n, values in parts.items():
            targets[n][rows] = values
            sums[n].add(values, in_time=n not in data.inputs)
    return sums


def _by_time(fields: Array, data: GridSamples) -> Array:
    """Fields `(b, T, C, *grid)`."""
    fields = fields[:, None] if data.times is None else fields
    return fields[:, :, None] if len(data.components) == 1 else fields


def _common_name(components: tuple[str, ...]) -> str:
    """What the names of the components of a vector begin with: u_x, u_y are the vector u."""
    letters = takewhile(lambda letter: len(set(letter)) == 1, zip(*components, strict=False))
    return "".join(letter[0] for letter in letters).rstrip("_") or "u"


class _Sums:
    """Mean, standard deviation and root mean square of a field and of its steps in time, gathered block by block."""

    def __init__(self, vector: bool):
        self._vector = vector
        self._values, self._steps = np.zeros(3, dtype=object), np.zeros(3, dtype=object)

    def add(self, values: Array, in_time: bool) -> None:
        """Another block `(b, [T,] *grid [, D])`."""
        self._values = self._values + self._moments(values)
        if in_time and values.shape[1] > 1:
            self._steps = self._steps + self._moments(np.diff(values.astype(np.float64), axis=1))

    def of(self, key: str) -> Any:
        """A number, or a list of one for each component; zero for steps where there are none."""
        count, total, squares = self._steps if key.endswith("_delta") else self._values
        if count == 0:
            return 0.0
        mean, square = total / count, squares / count
        found = {"mean": mean, "std": np.sqrt(np.maximum(square - mean**2, 0.0)), "rms": np.sqrt(square)}
        return found[key.removesuffix("_delta")].tolist()

    def _moments(self, values: Array) -> Array:
        """Number of values, their sum and the sum of their squares, for each component of a vector."""
        axes = tuple(range(values.ndim - 1)) if self._vector else tuple(range(values.ndim))
        values = values.astype(np.float64)
        out = np.empty(3, dtype=object)
        out[:] = [np.prod([values.shape[a] for a in axes]), values.sum(axis=axes), np.square(values).sum(axis=axes)]
        return out


def _description(parts: Mapping[str, GridSamples], varying: set[str]) -> dict[str, Any]:
    data = parts["train"]
    vector = len(data.components) == len(data.axes) > 1
    fixed = [n for n, v in data.attributes.items() if not isinstance(v, str)]
    return {
        "dataset_name": data.name,
        "n_spatial_dims": len(data.axes),
        "spatial_resolution": list(data.grid),
        "scalar_names": [],
        "constant_scalar_names": [*(n for n in data.scalars if n not in varying), *fixed, *sorted(varying)],
        "field_names": {
            0: [] if vector else list(data.components),
            1: [f"{_common_name(data.components)}_{axis}" for axis in data.axes] if vector else [],
            2: [],
        },
        "constant_field_names": {0: list(data.inputs), 1: [], 2: []},
        "boundary_condition_types": sorted({"PERIODIC" if e[0] == "periodic" else "WALL" for e in data.ends.values()}),
        "n_files": len(parts),
        "n_trajectories_per_file": [part.count for part in parts.values()],
        "n_steps_per_trajectory": [len(_times(part)) for part in parts.values()],
        "grid_type": "cartesian",
    }
