"""HDF5 files of PDEBench: the two "tensor" layouts, steady in two dimensions and in time in one.

Steady (its Darcy files): `tensor` (N, 1, X, Y) the solution, `nu` (N, X, Y) the coefficient, `x-coordinate`,
`y-coordinate`. In time: `tensor` (N, T, X) with the initial state as its first level, `x-coordinate` (X,),
`t-coordinate` (T + 1,), one longer than T as in the published files (readers cut it). Scalars are attributes of the
file. All in single precision. The published grids leave the boundary out; here every point is written that the samples
have, and the coordinates say where it lies.
"""

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from nwidth.core.arrays import Array, Real
from nwidth.core.errors import InputError
from nwidth.io.atomic import built_beside
from nwidth.io.writers.base import GridSamples, single

LAYOUT = "PDEBench's layout"


@dataclass(frozen=True)
class PDEBenchFile:
    """Writes one part."""

    dtype: str = "float32"

    def place(self, folder: Path, data: GridSamples, part: str) -> Path:
        """The name of the file. Raises InputError for what the layout cannot hold."""
        data.require_real(LAYOUT)
        data.require_one_component(LAYOUT)
        data.fixed_scalars(LAYOUT)
        expected = 1 if data.times is not None else 2
        if len(data.grid) != expected:
            raise InputError(
                f"{LAYOUT} with a tensor is for steady fields in two dimensions and for trajectories in one; these "
                f"{'trajectories' if expected == 1 else 'fields'} have {len(data.grid)}: choose the format 'the_well'"
            )
        if len(data.inputs) != 1:
            raise InputError(f"{LAYOUT} holds one input field, and the parameters on the grid are {list(data.inputs)}")
        return folder / f"{data.name}_{part.capitalize()}.hdf5"

    def write(self, path: Path, data: GridSamples) -> None:
        """The file, complete or not at all."""
        dtype = np.dtype(self.dtype)
        with built_beside(path) as temporary, h5py.File(temporary, "w") as file:
            for name, line in data.axes.items():
                file[f"{name}-coordinate"] = line.astype(dtype)
            if data.times is None:
                _steady(file, data, dtype)
            else:
                _in_time(file, data, data.times, dtype)
            file.attrs.update({**data.fixed_scalars(LAYOUT), **data.attributes})


def _steady(file: h5py.File, data: GridSamples, dtype: np.dtype) -> None:
    (coefficient,) = data.inputs.values()
    tensor = file.create_dataset("tensor", (data.count, 1, *data.grid), dtype)
    nu = file.create_dataset("nu", (data.count, *data.grid), dtype)
    for rows in data.blocks():
        tensor[rows, 0] = single(data.fields[rows], dtype)
        nu[rows] = single(coefficient[rows], dtype)


def _in_time(file: h5py.File, data: GridSamples, times: Real, dtype: np.dtype) -> None:
    (initial,) = data.inputs.values()
    levels = times if times[0] == 0 else np.concatenate([[0.0], times])
    tensor = file.create_dataset("tensor", (data.count, len(levels), *data.grid), dtype)
    end = 2 * levels[-1] - levels[-2] if len(levels) > 1 else levels[-1] + 1.0
    file["t-coordinate"] = np.append(levels, end).astype(dtype)
    for rows in data.blocks():
        tensor[rows] = single(_with_start(data.fields[rows], initial[rows], times[0] == 0), dtype)


def _with_start(fields: Array, initial: Array, has_start: bool) -> Array:
    """Trajectories `(b, T, X)` that begin with the initial state. Raises InputError where theirs is another."""
    if not has_start:
        return np.concatenate([initial[:, None], fields], axis=1)
    if not np.allclose(fields[:, 0], initial, rtol=1e-6, atol=1e-9):
        raise InputError(
            f"{LAYOUT} in time holds the initial state as its first level, and the parameter on the grid is something "
            "else; choose the format 'the_well'"
        )
    return fields
