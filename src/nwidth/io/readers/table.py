"""Text tables: comma, semicolon or tab; a header line; decimal commas where the separator is not a comma."""

import csv
import io
import re
from pathlib import Path

import numpy as np

from nwidth.core.arrays import Array, Real
from nwidth.core.errors import InputError
from nwidth.io.detect import describe_kind, detect
from nwidth.io.readers.base import FAILED_WORDS, FieldFile, Table

_UNIT = re.compile(r"^(?P<name>.*?\S)\s*[\[(](?P<unit>[^\])]+)[\])]$")
_NUMBER = re.compile(r"^[+-]?(\d+\.?\d*|\.\d+)([eEdD][+-]?\d+)?$|^[+-]?inf(inity)?$", re.IGNORECASE)
_COORDINATES = re.compile(
    r"^(?:(?:points|coordinates|node|pos|coord)[:_. ]?)?([xyz012])(?:[-_ ]?coord(?:inate)?)?$", re.I
)


def read_table(path: str | Path) -> Table:
    """The table in a text file: numbers, text columns, units.

    Numbers that are missing ('', NaN, failed, n/a, ...) become NaN. Raises InputError for a file that is not a text
    table, has no header, repeats a name, has rows of unequal length, or a cell that is not a number among numbers.
    """
    path = Path(path)
    kind = detect(path)
    if kind != "table":
        raise InputError(f"{path} is {describe_kind(kind)}; expected a text table (CSV) with a header line")
    text = _decode(path)
    quick = _quick(path, text)
    return quick if quick is not None else _careful(path, text)


def read_field_table(path: Path) -> FieldFile:
    """One run's results as text: one row per node (columns x, y, z are its place), or one row of scalars."""
    table = read_table(path)
    if table.texts:
        raise InputError(f"{path}: the columns {list(table.texts)} are text; a field file holds numbers only")
    if table.rows == 1:
        return FieldFile(path, {}, {name: float(v[0]) for name, v in table.numbers.items()}, notes=table.notes)
    axes = {m.group(1).lower(): n for n in table.numbers if (m := _COORDINATES.match(n))}
    places = [axes[a] for a in sorted(axes)]
    coordinates = np.stack([table.numbers[n] for n in places], axis=1) if places else None
    arrays = {name: values for name, values in table.numbers.items() if name not in places}
    if not arrays:
        raise InputError(f"{path} has only coordinates {places}; expected a column with the result at each node")
    return FieldFile(path, arrays, {}, coordinates, notes=table.notes)


def _decode(path: Path) -> str:
    data = path.read_bytes()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")


def _separator(line: str) -> str:
    """The separator that splits the header most; a single column has none."""
    return max("\t;,", key=line.count)


def _header(path: Path, cells: list[str], line: int) -> tuple[list[str], dict[str, str]]:
    """Names and units of the columns."""
    if all(_NUMBER.match(c.strip().replace(",", ".")) for c in cells if c.strip()):
        raise InputError(f"{path}, line {line}: expected a header with the names of the columns, got numbers; add one")
    names, units = [], {}
    for cell in cells:
        match = _UNIT.match(cell.strip())
        names.append(match["name"] if match else cell.strip())
        if match:
            units[match["name"]] = match["unit"].strip()
    repeated = sorted({n for n in names if n and names.count(n) > 1})
    if repeated:
        raise InputError(
            f"{path}, line {line}: the column {repeated[0]!r} appears twice; give every column its own name"
        )
    return names, units


def _quick(path: Path, text: str) -> Table | None:
    """The table where it is numbers and nothing else: the way of large field files. None where it is not."""
    first, _, rest = text.partition("\n")
    separator = _separator(first)
    if separator != "," or len(rest) < 10_000:
        return None
    names, units = _header(path, next(csv.reader([first], delimiter=separator)), 1)
    try:
        values = np.loadtxt(io.StringIO(rest), delimiter=separator, ndmin=2, comments=None)
    except ValueError:
        return None
    if values.shape[1] != len(names) or "" in names:
        return None
    numbers = {name: np.ascontiguousarray(values[:, i]) for i, name in enumerate(names)}
    return Table(path, numbers, {}, units, np.arange(2, len(values) + 2))


def _careful(path: Path, text: str) -> Table:
    """The table cell by cell, with the line of whatever is wrong."""
    separator, rows = _rows(path, text)
    (line, header), body = rows[0], rows[1:]
    names, units = _header(path, header, line)
    if not body:
        raise InputError(f"{path} has a header and no rows; expected one row per run")
    for line, cells in body:
        if len(cells) != len(names):
            raise InputError(f"{path}, line {line}: {len(cells)} cells, the header has {len(names)}; repair this line")
    lines = np.array([line for line, _ in body])
    numbers, texts, notes = {}, {}, []
    for i, name in enumerate(names):
        cells = [row[i].strip() for _, row in body]
        if all(c.lower() in ("", "nan") for c in cells):
            notes += [f"column {name!r} is empty and was left out"] if name else []
            continue
        if not name:
            raise InputError(f"{path}: column {i + 1} holds values and has no name; name it in the header")
        values = _numbers(path, name, cells, lines, decimal_comma=separator != ",")
        if values is None:
            texts[name] = tuple(cells)
        else:
            numbers[name] = values
    units = {name: unit for name, unit in units.items() if name in numbers}
    return Table(path, numbers, texts, units, lines, tuple(notes))


def _rows(path: Path, text: str) -> tuple[str, list[tuple[int, list[str]]]]:
    """The separator, and (line number, cells) of every line that is neither blank nor a comment."""
    stream = [(n, line) for n, line in enumerate(text.splitlines(), 1) if line.strip() and not line.startswith("#")]
    if not stream:
        raise InputError(f"{path} holds no table: every line is blank or a comment")
    separator = _separator(stream[0][1])
    try:
        cells = list(csv.reader([line for _, line in stream], delimiter=separator, skipinitialspace=True, strict=True))
    except csv.Error as error:
        raise InputError(f"{path} is not a readable table: {error}") from error
    if len(cells) != len(stream):
        raise InputError(f"{path} has a quoted cell that spans lines; put every row on one line")
    return separator, [(n, row) for (n, _), row in zip(stream, cells, strict=True)]


def _numbers(path: Path, name: str, cells: list[str], lines: Array, *, decimal_comma: bool) -> Real | None:
    """The column as numbers, NaN where one is missing; None for a column of text.

    A few cells that are no numbers among many that are: a mistake, and InputError names the line.
    """
    plain = [c.replace(",", ".") if decimal_comma and c.count(",") == 1 and "." not in c else c for c in cells]
    missing = [c.lower() in FAILED_WORDS for c in cells]
    good = [bool(_NUMBER.match(c)) for c in plain]
    odd = [i for i in range(len(cells)) if not (missing[i] or good[i])]
    if sum(good) <= len(odd):
        return None
    if odd:
        raise InputError(
            f"{path}, line {lines[odd[0]]}: {cells[odd[0]]!r} in column {name!r} is not a number; repair it, or leave "
            "the cell empty if the run failed"
        )
    texts = [c.lower().replace("d", "e") if ok else "nan" for c, ok in zip(plain, good, strict=True)]
    return np.array([float(t) for t in texts])
