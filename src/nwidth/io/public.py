"""Where published data sets are on this machine, and where they come from."""

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from nwidth.core.errors import InputError

#: folder -> its public source.
SOURCES: Mapping[str, str] = MappingProxyType(
    {
        "elastic_block": "the Python package smithers of mathLab (github.com/mathLab/Smithers, MIT licence), folder "
        "smithers/dataset/datasets/elastic_block: params.npy, snapshots.npy, coords.npy, triangles.npy",
        "darcy_burgers_pt": "the repository of neuraloperator (github.com/neuraloperator/neuraloperator, MIT licence), "
        "folder neuralop/data/datasets/data: darcy_train_16.pt, darcy_test_16.pt, darcy_test_32.pt, "
        "burgers_train_16.pt",
        "holed_poisson": "tutorial 22 of PINA (github.com/mathLab/PINA, MIT licence): holed_poisson.pt",
    }
)


def public_data(name: str) -> Path:
    """The folder `name` in `$NWIDTH_DATA` (by default ../shared/data).

    Raises InputError where it is not there, with the place to get it from.
    """
    if name not in SOURCES:
        raise InputError(f"no public data set {name!r} is known; choose one of {', '.join(SOURCES)}")
    root = Path(os.environ.get("NWIDTH_DATA", "../shared/data"))
    folder = root / name
    if not folder.is_dir():
        raise InputError(
            f"the data set {name} is not at {folder}; get it from {SOURCES[name]}. Put it into {folder}, or set "
            "NWIDTH_DATA to the folder that holds it"
        )
    return folder
