"""HDF5 files: every dataset of numbers, by its place (extra `data`)."""

from pathlib import Path

import h5py
import numpy as np

from nwidth.core.arrays import Array
from nwidth.core.errors import InputError
from nwidth.io.readers.base import ArrayFile

_NUMBERS = "biufc"


def read_hdf5(path: Path) -> ArrayFile:
    """All datasets of numbers, named by their place ("t0_fields/u"); attributes and text are listed in the notes.

    Raises InputError for a damaged file.
    """
    arrays: dict[str, Array] = {}
    skipped: list[str] = []

    def visit(name: str, item: h5py.Group | h5py.Dataset) -> None:
        if isinstance(item, h5py.Dataset):
            if item.dtype.kind in _NUMBERS:
                arrays[name] = np.asarray(item[()])
            else:
                skipped.append(name)

    try:
        with h5py.File(path, "r") as file:
            file.visititems(visit)
            attributes = {name: np.asarray(value).tolist() for name, value in file.attrs.items()}
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        raise InputError(f"{path} is a truncated or damaged HDF5 file ({error}); copy it again") from error
    notes = [f"attribute {name} = {value}" for name, value in attributes.items()]
    notes += [f"{name} holds no numbers and was left out" for name in skipped]
    return ArrayFile(path, arrays, tuple(notes))
