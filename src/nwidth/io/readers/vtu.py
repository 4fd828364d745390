"""VTK unstructured grids through meshio (extra `mesh`)."""

from pathlib import Path
from xml.etree.ElementTree import ParseError

import meshio
import numpy as np

from nwidth.core.arrays import Array
from nwidth.core.errors import InputError
from nwidth.io.readers.base import ArrayFile, FieldFile

_DAMAGE = (meshio.ReadError, ParseError, ValueError, KeyError, IndexError, AttributeError, TypeError, OSError)


def read_field_vtu(path: Path) -> FieldFile:
    """Point data of one run; cell data only where there is no point data (at the cells' centres)."""
    mesh = _read(path)
    points, notes = _flat(np.asarray(mesh.points, dtype=np.float64)), []
    cells = mesh.cells[0].data if len(mesh.cells) == 1 else None
    if mesh.point_data:
        if mesh.cell_data:
            notes.append(f"cell data {sorted(mesh.cell_data)} were left out; point data are used")
        arrays = {name: _components_first(values) for name, values in mesh.point_data.items()}
        return FieldFile(path, arrays, {}, points, cells, tuple(notes))
    if not mesh.cell_data:
        raise InputError(f"{path} is a mesh without results; expected point data or cell data")
    centres = np.concatenate([points[block.data].mean(axis=1) for block in mesh.cells])
    arrays = {name: _components_first(np.concatenate(blocks)) for name, blocks in mesh.cell_data.items()}
    return FieldFile(path, arrays, {}, centres, None, ("values are per cell, placed at the cells' centres",))


def read_vtu_arrays(path: Path) -> ArrayFile:
    """Points, cells and all data of the file."""
    mesh = _read(path)
    arrays: dict[str, Array] = {"points": np.asarray(mesh.points)}
    arrays |= {f"cells {block.type}": block.data for block in mesh.cells}
    arrays |= {f"point data {name}": np.asarray(values) for name, values in mesh.point_data.items()}
    arrays |= {f"cell data {name}": np.concatenate(blocks) for name, blocks in mesh.cell_data.items()}
    return ArrayFile(path, arrays)


def _read(path: Path) -> meshio.Mesh:
    try:
        return meshio.vtu.read(str(path))
    except _DAMAGE as error:
        raise InputError(f"{path} is a truncated or damaged VTU file ({error}); write it again") from error


def _flat(points: Array) -> Array:
    """Points without the third coordinate that the format demands of plane meshes."""
    return points[:, :2] if points.shape[1] == 3 and not points[:, 2].any() else points


def _components_first(values: Array) -> Array:
    """`(nodes,)` as it is, `(nodes, C)` as `(C, nodes)`."""
    values = np.asarray(values)
    return values if values.ndim == 1 else np.ascontiguousarray(values.reshape(len(values), -1).T)
