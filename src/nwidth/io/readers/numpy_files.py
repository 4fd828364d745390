"""NumPy files: NPZ and NPY, without pickles."""

import zipfile
import zlib
from pathlib import Path

import numpy as np

from nwidth.core.arrays import Array
from nwidth.core.errors import InputError
from nwidth.io.readers.base import ArrayFile, FieldFile

COORDINATES = ("coordinates", "coords", "points", "nodes", "xyz", "pos")
CELLS = ("cells", "triangles", "triang", "connectivity", "elements", "quads", "tetrahedra")
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, OSError, KeyError, NotImplementedError, RuntimeError)


def read_npz(path: Path) -> ArrayFile:
    """All arrays of an NPZ file. Raises InputError for damage, or for Python objects inside."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            return ArrayFile(path, {name: _plain(path, name, archive[name]) for name in archive.files})
    except ValueError as error:
        raise _objects(path, error) from error
    except _DAMAGE as error:
        raise InputError(f"{path} is a truncated or damaged NPZ file ({error}); copy it again") from error


def read_npy(path: Path) -> ArrayFile:
    """The array of an NPY file, under the file's name."""
    try:
        return ArrayFile(path, {path.stem: _plain(path, path.stem, np.load(path, allow_pickle=False))})
    except ValueError as error:
        raise _objects(path, error) from error
    except _DAMAGE as error:
        raise InputError(f"{path} is a truncated or damaged NPY file ({error}); copy it again") from error


def read_npy_folder(path: Path) -> ArrayFile:
    """All NPY files of a folder, each under its name."""
    files = sorted(path.glob("*.npy"))
    return ArrayFile(path, {file.stem: read_npy(file).arrays[file.stem] for file in files})


def read_field_npz(path: Path) -> FieldFile:
    """One run's arrays; `coordinates` and `cells` (or their usual names) are its mesh, single numbers its scalars."""
    return sort_out(path, dict(read_npz(path).arrays))


def read_field_npy(path: Path) -> FieldFile:
    """One run's only array."""
    return sort_out(path, {"u": read_npy(path).arrays[path.stem]})


def sort_out(path: Path, arrays: dict[str, Array]) -> FieldFile:
    """Mesh, scalars and fields told apart by name and shape; fields get their node axis last."""
    lower = {name.lower(): name for name in arrays}
    places = next((arrays.pop(lower[n]) for n in COORDINATES if n in lower), None)
    cells = next((arrays.pop(lower[n]) for n in CELLS if n in lower), None)
    if places is not None and places.ndim == 2 and places.shape[0] <= 3 < places.shape[1]:
        places = places.T
    if places is not None and (places.ndim != 2 or places.shape[1] > 3):
        raise InputError(f"{path}: the coordinates have shape {places.shape}, expected (nodes, 1 to 3)")
    scalars = {name: float(a.ravel()[0]) for name, a in arrays.items() if a.size == 1 and a.dtype.kind in "fiub"}
    fields = {name: a for name, a in arrays.items() if a.size != 1}
    if places is not None:
        fields = {name: nodes_last(path, name, a, len(places)) for name, a in fields.items()}
        places = places.astype(np.float64)
    return FieldFile(path, fields, scalars, places, cells)


def nodes_last(path: Path, name: str, values: Array, nodes: int) -> Array:
    """A field `(nodes,)`, `(nodes, C)` or `(C, nodes)` with its node axis last."""
    if values.shape == (nodes,) or (values.ndim == 2 and values.shape[1] == nodes):
        return values
    if values.ndim == 2 and values.shape[0] == nodes:
        return np.ascontiguousarray(values.T)
    raise InputError(
        f"{path}: {name!r} has shape {values.shape}, the mesh has {nodes} nodes; expected one value per node"
    )


def _plain(path: Path, name: str, array: Array) -> Array:
    if array.dtype.kind not in "biufc":
        raise InputError(f"{path}: {name!r} holds {array.dtype}, not numbers; store numbers only")
    return array


def _objects(path: Path, error: ValueError) -> InputError:
    if isinstance(error, InputError):
        return error
    return InputError(f"{path} is damaged or holds Python objects, which could run code ({error}); store numbers only")
