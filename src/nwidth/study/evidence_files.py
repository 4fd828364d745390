"""Hashes of what a model was made from and is: bytes of files, contents of data, whatever it is stored in."""

import hashlib
from pathlib import Path

import numpy as np

from nwidth.core.arrays import Array
from nwidth.core.kinds import BUILTIN
from nwidth.io.migrate import Manifest
from nwidth.snapshots.base import Snapshots

#: Rows of lazily read data that are hashed at a time.
_PIECE = 64
#: Modules whose kinds need an extra.
_NEURAL = ("nwidth.operators", "nwidth.rb.regressors.network")


def file_hash(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def data_hash(runs: Snapshots) -> str:
    """SHA-256 of parameters, fields, outputs and status: the same for the same data in memory, in a store, in another
    store with other chunks."""
    state = hashlib.sha256()
    named = {f"mu/{name}": values for name, values in runs.mu.items()} | {"fields": runs.fields}
    named |= {f"outputs/{name}": values for name, values in runs.outputs.items()}
    if runs.status is not None:
        named["status"] = np.asarray(runs.status)
    for name in sorted(named):
        values = named[name]
        state.update(f"{name} {np.dtype(values.dtype).newbyteorder('<').str} {tuple(values.shape)}".encode())
        for first in range(0, len(runs), _PIECE):
            state.update(_bytes(np.asarray(values[first : first + _PIECE])))
    return state.hexdigest()


def _bytes(values: Array) -> bytes:
    return np.ascontiguousarray(values.astype(values.dtype.newbyteorder("<"), copy=False)).tobytes()


def extras_of(manifest: Manifest) -> tuple[str, ...]:
    """The extras whose packages a model's answers come from, and those that solvers use where they are installed."""
    targets = [BUILTIN.get(kind, "") for kind in _kinds(manifest["object"])]
    neural = any(target.startswith(_NEURAL) for target in targets)
    return (*(("neural",) if neural else ()), "fast", "mesh")


def _kinds(node: Manifest) -> set[str]:
    return {node["kind"]}.union(*(_kinds(child) for child in node["children"].values()))
