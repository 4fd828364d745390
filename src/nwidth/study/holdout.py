"""Runs that a saved surrogate has not seen, from a store or from a table with results, in the surrogate's own terms."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nwidth.core.arrays import Array
from nwidth.core.errors import InputError
from nwidth.core.prediction import Prediction
from nwidth.io.detect import detect
from nwidth.io.readers.base import Runs
from nwidth.io.readers.runs import read_runs
from nwidth.io.readers.table import read_table
from nwidth.reports.words import plural
from nwidth.snapshots.base import Snapshots
from nwidth.snapshots.open import open_snapshots
from nwidth.spaces.base import FunctionSpace
from nwidth.spaces.points import Points
from nwidth.surrogates.base import Surrogate

#: Nodes of the runs and of the model may differ by this part of the domain: digits lost in a text file.
_NODES = 1e-6


def read_holdout(
    surrogate: Surrogate,
    runs: str | Path,
    results: str | Path | None = None,
    *,
    outputs: Sequence[str] = (),
    fields: Sequence[str] = (),
    kinds: Sequence[type] = (),
) -> Snapshots:
    """Runs for `surrogate`: a snapshot store, or a table with one row per run and its `results` as in `read_runs`.

    Outputs that the surrogate answers are found in the table by their names. Raises InputError where parameters,
    outputs or the shape of the field do not fit the surrogate.
    """
    if detect(runs) == "store":
        if results is not None or outputs or fields:
            raise InputError(f"{runs} is a snapshot store, which holds its results; leave results and outputs out")
        return _fitting(open_snapshots(runs, kinds), surrogate, runs)
    answered = _answered(surrogate)
    wanted = list(outputs) or _in_table(Path(runs), list(answered.outputs), results)
    read = read_runs(runs, results, outputs=wanted, fields=fields)
    return _as_asked(read, surrogate, answered, Path(runs))


def read_parameters(surrogate: Surrogate, runs: str | Path, kinds: Sequence[type] = ()) -> dict[str, Array]:
    """The parameters of the runs in a snapshot store or a table, name -> `(B, ...)`; results are not looked at."""
    names = surrogate.parameters.names
    if detect(runs) == "store":
        held = open_snapshots(runs, kinds)
        _check_names(runs, held.parameters.names, names)
        return {name: np.asarray(held.mu[name]) for name in names}
    columns = read_table(runs).numbers
    _check_names(runs, tuple(columns), names)
    usable = np.all([np.isfinite(columns[name]) for name in names], axis=0)
    return {name: columns[name][usable] for name in names}


def _answered(surrogate: Surrogate) -> Prediction:
    """One answer: what the surrogate's outputs are called."""
    return surrogate.predict(surrogate.parameters.sample([0], 0))


def _in_table(table: Path, names: list[str], results: str | Path | None) -> list[str]:
    """The surrogate's outputs that are columns of the table; all must be there where no other results are given."""
    columns = read_table(table).numbers
    found = [name for name in names if name in columns]
    if results is None and len(found) < len(names):
        missing = [name for name in names if name not in found]
        raise InputError(
            f"{table} has no column {missing[0]!r}, which the surrogate answers; its columns: {', '.join(columns)}"
        )
    return found


def _as_asked(runs: Runs, surrogate: Surrogate, answered: Prediction, table: Path) -> Snapshots:
    """The usable runs in the surrogate's parameters and space."""
    rows = np.flatnonzero(runs.good)
    known = {n: v[rows] for n, v in runs.parameters.items()} | {n: np.full(len(rows), v) for n, v in runs.fixed.items()}
    _check_names(table, tuple(known), surrogate.parameters.names)
    mu = {name: known[name] for name in surrogate.parameters.names}
    outputs = {name: runs.outputs[name][rows] for name in runs.outputs if name in answered.outputs}
    fields = _fields(runs, rows, surrogate.space)
    return Snapshots(surrogate.parameters, surrogate.space, mu, fields, outputs=outputs)


def _fields(runs: Runs, rows: Array, space: FunctionSpace) -> Array:
    if not space.size:
        return np.empty((len(rows), *space.shape))
    if runs.fields is None:
        raise InputError(f"the surrogate answers a field of {_shape(space.shape)} values; give the runs' results too")
    values = runs.fields[rows]
    if int(np.prod(values.shape[1:])) != space.size:
        raise InputError(
            f"the runs have {_shape(values.shape[1:])} values each, the surrogate answers {_shape(space.shape)}; give "
            "results on the same mesh, with the same fields"
        )
    _check_nodes(runs, space)
    return values.reshape(len(rows), *space.shape)


def _check_nodes(runs: Runs, space: FunctionSpace) -> None:
    """The same nodes in the same order, where both sides know them."""
    if runs.coordinates is None or not isinstance(space, Points) or space.coordinates is None:
        return
    ours, theirs = np.asarray(space.coordinates), np.asarray(runs.coordinates)
    if ours.shape != theirs.shape:
        raise InputError(f"the runs' mesh has {plural(len(theirs), 'node')}, the surrogate's {len(ours):,}")
    apart = float(np.abs(ours - theirs).max())
    if apart > _NODES * float(np.ptp(ours, axis=0).max()):
        raise InputError(
            f"the runs' nodes are not the surrogate's (apart by up to {apart:.3g}); give runs on the mesh that it was "
            "fitted to, with its nodes in the same order"
        )


def _fitting(runs: Snapshots, surrogate: Surrogate, path: str | Path) -> Snapshots:
    _check_names(path, runs.parameters.names, surrogate.parameters.names)
    levels = () if runs.times is None else (len(runs.times),)
    if (*levels, *runs.space.shape) != tuple(surrogate.space.shape):
        shape = _shape((*levels, *runs.space.shape))
        raise InputError(
            f"{path} holds fields of {shape} values, the surrogate answers {_shape(surrogate.space.shape)}"
        )
    return runs


def _check_names(path: str | Path, names: Sequence[str], wanted: Sequence[str]) -> None:
    missing = [name for name in wanted if name not in names]
    if missing:
        raise InputError(f"{path} has no {missing[0]!r}, a parameter of the surrogate; it has {', '.join(names)}")


def _shape(shape: Sequence[int]) -> str:
    return " x ".join(f"{n:,}" for n in shape) or "1"
