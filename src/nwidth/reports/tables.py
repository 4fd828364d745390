"""Tables of measured numbers: as text for the screen, CSV for other programs, LaTeX for papers."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from nwidth.core.errors import InputError
from nwidth.io.atomic import write_atomically
from nwidth.reports.words import significant

#: One number, several measurements of it (seeds, splits), a word, or nothing.
Entry: TypeAlias = float | Sequence[float] | str | None

_LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "&": r"\&",
        "%": r"\%",
        "$": r"\$",
        "#": r"\#",
        "_": r"\_",
        "{": r"\{",
        "}": r"\}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        **{sign: rf"\textsuperscript{{{plain}}}" for sign, plain in zip("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789", strict=True)},
        "µ": r"\textmu{}",
        "∞": r"$\infty$",
        "·": r"$\cdot$",
        "±": r"$\pm$",
        "\N{NO-BREAK SPACE}": "~",
    }
)


@dataclass(frozen=True)
class Column:
    """A named number with its unit; `best` marks the smallest or largest of a column.

    Numbers are shown with `digits` significant digits, whole numbers (0 digits) in full.
    """

    name: str
    unit: str = ""
    digits: int = 2
    best: Literal["", "low", "high"] = ""

    @property
    def heading(self) -> str:
        """'error [%]'."""
        return f"{self.name} [{self.unit}]" if self.unit else self.name


@dataclass(frozen=True)
class Table:
    """Rows of named numbers: row name -> column name -> number, measurements, word or nothing.

        Table("Error on unseen cells", (Column("error", "%", best="low"),), {"FNO": {"error": [9.1, 9.4, 8.8]}})

    Several measurements become mean ± standard deviation (of the sample, n - 1). A column that a row lacks stays empty.
    Raises InputError for a row with an unknown column, or a measurement list that is empty.
    """

    title: str
    columns: tuple[Column, ...]
    rows: Mapping[str, Mapping[str, Entry]]

    def __post_init__(self) -> None:
        known = [c.name for c in self.columns]
        if len(set(known)) < len(known):
            raise InputError(f"the columns {known} are not all different; give each a name of its own")
        for name, row in self.rows.items():
            unknown = [key for key in row if key not in known]
            if unknown:
                raise InputError(f"row {name!r} has the columns {unknown}; the table has {known}")
            empty = [key for key, entry in row.items() if _is_list(entry) and not len(entry)]  # type: ignore[arg-type]
            if empty:
                raise InputError(f"row {name!r} has no measurement in {empty}; leave the column out, or pass None")

    def text(self) -> str:
        """For the screen: aligned columns, the best of a column marked by a star."""
        lines = [["", *(c.heading for c in self.columns)]]
        lines += [[name, *(self._starred(c, name) for c in self.columns)] for name in self.rows]
        widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
        body = []
        for line in lines:
            cells = [cell.rjust(width) for cell, width in zip(line, widths, strict=True)]
            body.append([line[0].ljust(widths[0]), *cells[1:]])
        return "\n".join([self.title, *("  ".join(line).rstrip() for line in body)]) + "\n"

    def csv(self) -> str:
        """Every number in full, with its standard deviation and the number of measurements where there are several."""
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        several = {c.name: any(_is_list(row.get(c.name)) for row in self.rows.values()) for c in self.columns}
        header = ["row"]
        for c in self.columns:
            header += [c.heading, f"{c.name} deviation", f"{c.name} count"] if several[c.name] else [c.heading]
        writer.writerow(header)
        for name, row in self.rows.items():
            line: list[str] = [name]
            for c in self.columns:
                line += _full(row.get(c.name)) if several[c.name] else _full(row.get(c.name))[:1]
            writer.writerow(line)
        return stream.getvalue()

    def latex(self) -> str:
        r"""A `tabular` with the rules of booktabs (`\usepackage{booktabs}`), the best of a column in bold type."""
        head = " & ".join(["", *(c.heading.translate(_LATEX) for c in self.columns)])
        lines = [f"% {' '.join(self.title.split())}", r"\begin{tabular}{l" + "r" * len(self.columns) + "}", r"\toprule"]
        lines += [head + r" \\", r"\midrule"]
        for name, row in self.rows.items():
            cells = [self._latex_cell(c, name, row.get(c.name)) for c in self.columns]
            lines.append(" & ".join([name.translate(_LATEX), *cells]) + r" \\")
        return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"

    def write(self, folder: str | Path, name: str) -> tuple[Path, ...]:
        """`name.csv`, `name.tex` and `name.txt` in the folder, which is made; the paths. WorkError where that fails."""
        folder, paths = Path(folder), []
        folder.mkdir(parents=True, exist_ok=True)
        for suffix, content in ((".csv", self.csv()), (".tex", self.latex()), (".txt", self.text())):
            data = content.encode()
            paths.append(folder / f"{name}{suffix}")
            write_atomically(paths[-1], lambda stream, data=data: stream.write(data))  # type: ignore[misc]
        return tuple(paths)

    def _is_best(self, column: Column, name: str) -> bool:
        """Whether this row has the smallest or largest mean of the column (ties share it)."""
        means = {key: _mean(row.get(column.name)) for key, row in self.rows.items()}
        numbers = [m for m in means.values() if m is not None and np.isfinite(m)]
        if not column.best or len(numbers) < 2 or means[name] is None:
            return False
        return means[name] == (min(numbers) if column.best == "low" else max(numbers))

    def _cell(self, column: Column, entry: Entry) -> str:
        mean = _mean(entry)
        if mean is None:
            return entry if isinstance(entry, str) else ""
        shown = significant(mean, column.digits) if column.digits else f"{mean:,.0f}"
        if not _is_list(entry) or len(entry) < 2:  # type: ignore[arg-type]
            return shown
        decimals = len(shown.partition(".")[2]) if "·" not in shown else None
        spread = float(np.std(entry, ddof=1))  # type: ignore[arg-type]
        return shown + " ± " + (significant(spread, 1) if decimals is None else f"{spread:,.{decimals}f}")

    def _starred(self, column: Column, name: str) -> str:
        return self._cell(column, self.rows[name].get(column.name)) + (" *" if self._is_best(column, name) else "")

    def _latex_cell(self, column: Column, name: str, entry: Entry) -> str:
        cell = self._cell(column, entry).translate(_LATEX)
        return rf"\textbf{{{cell}}}" if self._is_best(column, name) else cell


def _is_list(entry: Entry) -> bool:
    return entry is not None and not isinstance(entry, str) and np.ndim(entry) > 0


def _mean(entry: Entry) -> float | None:
    return None if entry is None or isinstance(entry, str) else float(np.mean(entry))


def _full(entry: Entry) -> list[str]:
    """Mean, deviation and count as CSV holds them: all digits, nothing where there is nothing."""
    mean = _mean(entry)
    if mean is None:
        return [entry if isinstance(entry, str) else "", "", ""]
    count = len(entry) if _is_list(entry) else 1  # type: ignore[arg-type]
    deviation = repr(float(np.std(entry, ddof=1))) if count > 1 else ""  # type: ignore[arg-type]
    return [repr(mean), deviation, str(count)]
