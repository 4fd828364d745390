"""`open_snapshots`: a store on disk as Snapshots whose fields are read when they are asked for."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nwidth.core.errors import InputError
from nwidth.snapshots.axes import SAMPLE
from nwidth.snapshots.base import Snapshots, count_samples
from nwidth.snapshots.layout import FIELD
from nwidth.snapshots.store import Store
from nwidth.spaces.base import FunctionSpace, ParameterSpace


def open_snapshots(path: str | Path, kinds: Sequence[type] = ()) -> Snapshots:
    """The snapshots in a store, fields and field-valued parameters read lazily.

    `kinds` are the caller's own classes of parameter or function space, where the store has such. A store that is
    still being filled can be opened: samples that are not there yet have the status MISSING and do not count as good.
    Raises InputError for anything that is not a store, is damaged, or was altered.
    """
    store = Store(Path(path))
    parameters, space = store.definition("parameters", kinds), store.definition("space", kinds)
    if not isinstance(parameters, ParameterSpace) or not isinstance(space, FunctionSpace):
        raise InputError(
            f"{path} defines a {type(parameters).__name__} and a {type(space).__name__}, expected a parameter space "
            "and a function space; restore it from a copy"
        )
    return stored_snapshots(store, parameters, space)


def stored_snapshots(store: Store, parameters: ParameterSpace, space: FunctionSpace) -> Snapshots:
    """The snapshots of an open store, with spaces that are known already."""
    status, units = store.status(), store.header["provenance"].get("units", {})
    outputs = sorted(store.names("outputs"), key=lambda name: (list(units).index(name) if name in units else -1, name))
    if set(parameters.names) != set(store.names("mu")):
        raise InputError(f"{store.path} holds the parameters {store.names('mu')}, its space has {parameters.names}")
    return Snapshots(
        parameters=parameters,
        space=space,
        mu={name: _small_or_lazy(store, f"mu/{name}") for name in parameters.names},
        fields=store.rows(FIELD),
        status=status,
        stats={name: np.asarray(store.rows(name)) for name in store.names("")},
        outputs={name: np.asarray(store.rows(f"outputs/{name}")) for name in outputs},
        provenance={
            **store.header["provenance"],
            "runs": store.header.get("runs", []),
            "path": str(store.path),
            "samples": count_samples(status),
        },
        times=store.coordinate("time"),
        index=np.asarray(store.rows(SAMPLE)),
    )


def _small_or_lazy(store: Store, name: str) -> Any:
    """Scalars of every sample are small and read at once; fields are left on disk."""
    rows = store.rows(name)
    return np.asarray(rows) if rows.ndim == 1 else rows
