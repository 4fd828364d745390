"""A table of runs with their results: scalar columns, a second table, one file per run, or one file for all."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from nwidth.core.arrays import Array
from nwidth.core.errors import InputError
from nwidth.io.detect import detect
from nwidth.io.readers.base import GOOD_WORDS, Runs, Table, finite_rows
from nwidth.io.readers.run_files import join_folder, join_npz
from nwidth.io.readers.table import read_table

_ID = re.compile(r"^(run|case|sample|sim(ulation)?|design|job|dp|doe)?[ _-]?(id|name|no\.?|nr\.?|number|file)?$", re.I)
_STATUS = ("status", "state", "outcome", "converged", "success", "ok", "failed")


def read_runs(
    table: str | Path,
    results: str | Path | None = None,
    *,
    outputs: Sequence[str] = (),
    fields: Sequence[str] = (),
) -> Runs:
    """Runs from a table (one row each) and their results.

    `results` is a folder with one file per run (matched by the run's name, or by the number in the file name), an
    NPZ file for all runs (runs first), or a second table with one row of scalar results per run. Without it, name the
    result columns of the table in `outputs`. `fields` chooses among several arrays; all of them are taken otherwise.

    A run fails where its status column says so, a number is missing, or its file is missing. Raises InputError where
    files cannot be matched, meshes differ, or nothing is left.
    """
    rows = read_table(table)
    runs, used = _from_table(rows, outputs)
    if results is None:
        if not outputs:
            raise InputError(
                f"{rows.path}: which columns are results? Name them (outputs=[...], --outputs), or give a folder of "
                f"result files. Columns: {', '.join(rows.numbers)}"
            )
        return _usable(runs)
    results = Path(results)
    kind = detect(results)
    if kind == "table":
        return _usable(_join_table(runs, read_table(results)))
    if kind == "npz":
        return _usable(join_npz(runs, results, fields))
    if kind in ("folder", "npy-folder"):
        return _usable(join_folder(runs, results, fields, used))
    raise InputError(f"{results} is not a folder of result files, a table or an NPZ file; give one of these")


def _from_table(table: Table, outputs: Sequence[str]) -> tuple[Runs, bool]:
    """The runs with the results that stand in the table itself, and whether they have names of their own."""
    unknown = [name for name in outputs if name not in table.numbers]
    if unknown:
        raise InputError(f"{table.path} has no column of numbers {unknown[0]!r}; it has {', '.join(table.numbers)}")
    names, named = _run_names(table)
    reasons = _status_reasons(table)
    taken = {_status_column(table), named, *outputs}
    columns = {n: v for n, v in table.numbers.items() if n not in taken}
    fixed = {n: float(v[0]) for n, v in columns.items() if np.all(v == v[0])}
    columns = {n: v for n, v in columns.items() if n not in fixed}
    if not columns:
        raise InputError(
            f"{table.path}: no column of numbers varies from run to run, so there is nothing to learn from"
        )
    other = [n for n in table.texts if n not in taken]
    notes = [*table.notes, *(f"column {n!r} is text and was left out" for n in other)]
    notes += [f"column {named!r} holds the names of the runs"] if named else []
    notes += [f"{n} = {v:g} in every run: kept fixed" for n, v in fixed.items()]
    runs = Runs(
        names=names,
        good=np.ones(table.rows, dtype=bool),
        parameters=columns,
        fixed=fixed,
        units=table.units,
        outputs={n: table.numbers[n] for n in outputs},
        failed={names[i]: why for i, why in reasons.items()},
        notes=tuple(notes),
    )
    return runs, named is not None


def _run_names(table: Table) -> tuple[tuple[str, ...], str | None]:
    """The runs' names and the column that holds them; line numbers where there is none."""
    for name in (*table.texts, *table.numbers):
        if not _ID.match(name) or name.lower() in _STATUS:
            continue
        values = table.texts.get(name) or _whole_numbers(table.numbers[name])
        if values and len(set(values)) == len(values):
            return tuple(values), name
    return tuple(f"line {line}" for line in table.lines), None


def _whole_numbers(values: Array) -> tuple[str, ...]:
    """The numbers as text; nothing where one is not whole."""
    whole = np.isfinite(values).all() and np.array_equal(values, np.round(values))
    return tuple(f"{v:.0f}" for v in values) if whole else ()


def _status_column(table: Table) -> str | None:
    return next((name for name in table.columns if name.lower() in _STATUS), None)


def _status_reasons(table: Table) -> dict[int, str]:
    """row -> why, for the rows whose status column tells of a failure."""
    column = _status_column(table)
    if column is None:
        return {}
    if column in table.texts:
        words = [w.strip().lower() for w in table.texts[column]]
        if column.lower() == "failed":
            bad = [w not in ("", "no", "false", "ok") for w in words]
        else:
            # A blank is good news only where nobody wrote "ok".
            blank_is_good = not any(w in GOOD_WORDS for w in words)
            bad = [w not in GOOD_WORDS and not (w == "" and blank_is_good) for w in words]
        return {i: f"{column}: {words[i] or 'empty'}" for i in range(len(words)) if bad[i]}
    if column.lower() in ("status", "state", "outcome"):
        raise InputError(
            f"{table.path}: the column {column!r} holds numbers, whose meaning differs; write ok or failed"
        )
    flags = table.numbers[column]
    good = flags == (0 if column.lower() == "failed" else 1)
    return {int(i): f"{column}: {flags[i]:g}" for i in np.flatnonzero(~good)}


def _usable(runs: Runs) -> Runs:
    """The runs with every row marked that lacks a number."""
    failed, good = dict(runs.failed), np.ones(len(runs.names), dtype=bool)
    parts: list[tuple[str, Array]] = [*runs.parameters.items(), *runs.outputs.items()]
    if runs.fields is not None:
        parts.append(("the field", runs.fields))
    for what, values in parts:
        for i in np.flatnonzero(~finite_rows(values)):
            failed.setdefault(runs.names[i], f"{what} is not a finite number")
    good &= np.array([name not in failed for name in runs.names])
    if not good.any():
        first = next(iter(failed.items()))
        raise InputError(f"none of the {len(good)} runs can be used (the first: {first[0]}: {first[1]})")
    return replace(runs, good=good, failed=failed)


def _join_table(runs: Runs, other: Table) -> Runs:
    """The scalar results of a second table, matched by name, or row by row."""
    names, column = _run_names(other)
    status = _status_column(other)
    rows = _match(runs, names if column else None, other.rows, str(other.path))
    columns = {n: v for n, v in other.numbers.items() if n not in (column, status)}
    if not columns:
        raise InputError(f"{other.path} has no column of numbers that could be a result")
    found = np.array([i is not None for i in rows])
    index = np.array([i or 0 for i in rows])
    results = {n: np.where(found, v[index], np.nan) for n, v in columns.items()}
    failed = {n: f"no row in {other.path.name}" for n, ok in zip(runs.names, found, strict=True) if not ok}
    reasons = _status_reasons(other)
    failed |= {n: reasons[i] for n, i in zip(runs.names, rows, strict=True) if i in reasons}
    return replace(
        runs,
        outputs={**runs.outputs, **results},
        units={**runs.units, **other.units},
        failed={**failed, **runs.failed},
        notes=(*runs.notes, *other.notes),
    )


def _match(runs: Runs, names: Sequence[str] | None, count: int, where: str) -> list[int | None]:
    """For every run the row (or file) that belongs to it, None where there is none."""
    if names is not None and not runs.names[0].startswith("line "):
        place = {name: i for i, name in enumerate(names)}
        rows = [place.get(name) for name in runs.names]
        if any(i is not None for i in rows):
            return rows
        raise InputError(
            f"{where}: none of the names ({names[0]!r}, ...) is a run of the table ({runs.names[0]!r}, ...)"
        )
    if count != len(runs.names):
        raise InputError(
            f"{where} has {count} results for {len(runs.names)} runs and no names to match them by; add a column 'run' "
            "to the table"
        )
    return list(range(count))
