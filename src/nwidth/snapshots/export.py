"""`export_snapshots`: samples as files of the formats that neural operators are trained from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

import numpy as np

from nwidth.core.arrays import Array, Real
from nwidth.core.errors import InputError
from nwidth.core.kinds import load_attribute
from nwidth.core.validation import check_choice
from nwidth.io.writers.base import GridSamples
from nwidth.snapshots.axes import field_axes
from nwidth.snapshots.base import Snapshots, count_samples
from nwidth.spaces.base import FunctionSpace
from nwidth.spaces.grid import Grid
from nwidth.spaces.torus import Torus

Format: TypeAlias = Literal["neuraloperator", "pdebench", "the_well"]

#: format -> its writer.
_WRITERS: Mapping[str, str] = MappingProxyType(
    {
        "neuraloperator": "nwidth.io.writers.neuraloperator:NeuralOperatorFile",
        "pdebench": "nwidth.io.writers.pdebench:PDEBenchFile",
        "the_well": "nwidth.io.writers.the_well:WellDataSet",
    }
)
#: Formats that keep all parts in one folder, with their statistics; the others are one file for each part.
_FOLDERS = ("the_well",)
#: The longest vector parameter that is written as scalars name_0, name_1, ...
_LONGEST_VECTOR = 64


def export_snapshots(
    snapshots: Snapshots,
    path: str | Path,
    format: Format,
    *,
    name: str | None = None,
    parts: Mapping[str, int] | None = None,
    unconverged: Literal["refuse", "drop"] = "refuse",
    attributes: Mapping[str, float | str] | None = None,
    dtype: Literal["float32", "float64"] = "float32",
) -> tuple[Path, ...]:
    """Files of a published format in the folder `path` (made where it is missing); returns what was written.

    `format`: "neuraloperator" (`{name}_{part}_{points}.pt`, needs the extra `neural`), "pdebench"
    (`{name}_{Part}.hdf5`) or "the_well" (`{name}/data/{part}/{name}.hdf5` with `stats.yaml`), both with the extra
    `data`. `parts` name -> number of samples, in order, by default all as "train". `attributes` are numbers and words
    for the file, such as {"beta": 1.0}. Values are stored in single precision unless `dtype` says otherwise.

    Grid points are those of the samples, boundary included where they have it. A parameter on a finer grid that holds
    the field's is thinned out. Every file appears complete or not at all. Raises InputError for samples that did not
    converge (`unconverged="drop"` leaves them out), for files that exist already, and for what a format cannot hold.
    """
    check_choice("format", format, tuple(_WRITERS))
    check_choice("unconverged", unconverged, ("refuse", "drop"))
    _check_converged(snapshots, unconverged)
    counts = dict(parts) if parts is not None else {"train": len(snapshots.good)}
    label = name or _problem_name(snapshots)
    data = {
        part: _grid_samples(chosen, label, attributes or {})
        for part, chosen in zip(counts, snapshots.split(*counts.values()), strict=True)
    }
    for part, samples in data.items():
        if not samples.count:
            raise InputError(f"the part {part!r} has no samples; give it at least one, or leave it out")
    folder, writer = Path(path), load_attribute(_WRITERS[format])(dtype)
    if format in _FOLDERS:
        target = writer.place(folder, data)
        _make_folder(folder, [target])
        writer.write(target, data)
        return (target,)
    targets = {part: writer.place(folder, samples, part) for part, samples in data.items()}
    _make_folder(folder, list(targets.values()))
    for part, target in targets.items():
        writer.write(target, data[part])
    return tuple(targets.values())


def _check_converged(snapshots: Snapshots, unconverged: str) -> None:
    bad = len(snapshots) - len(snapshots.good)
    if bad and unconverged == "refuse":
        raise InputError(
            f"{bad} of {len(snapshots)} samples did not converge ({count_samples(np.asarray(snapshots.status))}), and "
            'none of these formats can mark them; pass unconverged="drop" to leave them out'
        )
    if not len(snapshots.good):
        raise InputError("there are no converged samples to export")


def _make_folder(folder: Path, targets: list[Path]) -> None:
    for target in targets:
        if target.exists():
            raise InputError(f"{target} exists already; choose another folder or name, or remove it first")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder} cannot be a folder for files ({error}); choose another path") from error


def _problem_name(snapshots: Snapshots) -> str:
    problem = snapshots.provenance.get("problem", {})
    words = problem if isinstance(problem, Mapping) else {}
    return str(words.get("kind") or words.get("class") or "snapshots")


def _grid_samples(snapshots: Snapshots, name: str, attributes: Mapping[str, float | str]) -> GridSamples:
    """The samples as the writers get them. Raises InputError for samples that do not live on a uniform grid."""
    space = snapshots.space
    axes = _uniform_axes(space)
    grid, ends = tuple(len(line) for line in axes.values()), _ends(space, tuple(axes))
    periodic = [low == "periodic" for low, _ in ends.values()]
    inputs, scalars = {}, {}
    for key, values in snapshots.mu.items():
        shape = tuple(values.shape[1:])
        strides = _strides(shape, grid, periodic) if _has_points_of_coarser_grids(space) else ()
        if not shape:
            scalars[key] = np.asarray(values)
        elif shape == grid:
            inputs[key] = values
        elif strides:
            inputs[key] = _Thinned(values, strides)
        elif len(shape) == 1 and shape[0] <= _LONGEST_VECTOR:
            scalars |= {f"{key}_{i}": np.asarray(values[:, i]) for i in range(shape[0])}
        else:
            raise InputError(
                f"the parameter {key} has shape {shape} per sample, the field {grid}; these formats hold parameters on "
                "the field's grid (or on a finer one that holds it) and scalars"
            )
    wrong = [key for key, values in scalars.items() if values.dtype.kind == "c"]
    if wrong:
        raise InputError(f"the parameter {wrong[0]} is complex, and these formats hold real scalars only")
    components = tuple(space.components) if len(space.shape) > len(grid) else ("u",)
    return GridSamples(
        name,
        snapshots.fields,
        axes,
        _ends(space, tuple(axes)),
        components,
        inputs,
        scalars,
        snapshots.times,
        attributes,
    )


def _uniform_axes(space: FunctionSpace) -> dict[str, Real]:
    axes = field_axes(space)
    lines = {name: np.asarray(values) for name, (dims, values) in axes.coordinates.items() if dims == (name,)}
    if not lines or tuple(lines) != tuple(n for n in axes.names if n != "component"):
        raise InputError(
            f"{type(space).__name__} is not a grid with coordinates along its axes, and these formats hold fields on "
            "grids only; interpolate to a grid, or save a snapshot store (snapshots.save)"
        )
    for name, line in lines.items():
        steps = np.diff(line)
        if not np.allclose(steps, steps[:1], rtol=1e-6):
            raise InputError(f"the grid is not uniform along {name}, and these formats hold uniform grids only")
    return lines


def _ends(space: FunctionSpace, axes: tuple[str, ...]) -> dict[str, tuple[str, str]]:
    """The boundary conditions at the ends of every axis, as far as the space knows them."""
    if isinstance(space, Torus):
        return dict.fromkeys(axes, ("periodic", "periodic"))
    if isinstance(space, Grid):
        return {axis: (d.low, d.high) for axis, d in zip(axes, space.directions, strict=True)}
    return dict.fromkeys(axes, ("unknown", "unknown"))


def _has_points_of_coarser_grids(space: FunctionSpace) -> bool:
    """Whether a finer grid of this kind contains the points of this one: nodes do, middles of cells do not."""
    return isinstance(space, Torus) or (isinstance(space, Grid) and space.centring == "node")


def _strides(fine: tuple[int, ...], coarse: tuple[int, ...], periodic: Sequence[bool]) -> tuple[int, ...]:
    """Every how many points of the fine grid one of the coarse lies, along each axis; () where they do not match."""
    if len(fine) != len(coarse):
        return ()
    # the end of a periodic line is not repeated; that of any other is a point of both grids
    spare = [0 if wraps else 1 for wraps in periodic]
    steps = [divmod(f - s, max(c - s, 1)) for f, c, s in zip(fine, coarse, spare, strict=True)]
    return tuple(stride for stride, _ in steps) if all(s and not rest for s, rest in steps) else ()


@dataclass(frozen=True)
class _Thinned:
    """Rows of which every s-th point along each axis is kept."""

    values: Any
    strides: tuple[int, ...]

    @property
    def dtype(self) -> np.dtype:
        """Type of the values."""
        return np.dtype(self.values.dtype)

    def __getitem__(self, rows: slice) -> Array:
        return np.asarray(self.values[rows])[(slice(None), *(slice(None, None, s) for s in self.strides))]
