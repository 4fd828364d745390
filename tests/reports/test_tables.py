"""A table says the same as text, CSV and LaTeX, and nothing in it can break the LaTeX."""

import csv
import io
import re

import numpy as np
import pytest

from nwidth.core.errors import InputError
from nwidth.reports.tables import Column, Table

COLUMNS = (Column("field error", "%", best="low"), Column("speed", "x", best="high"), Column("note"))
TABLE = Table(
    "Errors & times",
    COLUMNS,
    {
        "FNO_24": {"field error": [9.0, 10.0, 11.0], "speed": 43.0, "note": "50 % of {cells}"},
        "coarse 25²": {"field error": 35.123456789, "speed": 170.0},
        "never #1": {"field error": None, "speed": float("nan"), "note": "x ~ y^2 \\ $"},
    },
)


def test_csv_keeps_every_digit():
    rows = list(csv.DictReader(io.StringIO(TABLE.csv())))
    assert list(rows[0]) == [
        "row", "field error [%]", "field error deviation", "field error count", "speed [x]", "note",
    ]  # fmt: skip
    assert [float(rows[0][k]) for k in list(rows[0])[1:4]] == [10.0, 1.0, 3]
    assert float(rows[1]["field error [%]"]) == 35.123456789 and rows[1]["field error deviation"] == ""
    assert rows[2]["field error [%]"] == "" and np.isnan(float(rows[2]["speed [x]"]))
    assert rows[2]["note"] == "x ~ y^2 \\ $"


def test_latex_is_escaped_and_has_as_many_cells_everywhere():
    latex = TABLE.latex()
    lines = latex.splitlines()
    body = [line for line in lines if line.endswith(r"\\")]
    assert len(body) == 4 and all(len(re.findall(r"(?<!\\)&", line)) == 3 for line in body)
    assert lines[1] == r"\begin{tabular}{lrrr}" and [lines[k] for k in (2, 4, -2, -1)] == [
        r"\toprule", r"\midrule", r"\bottomrule", r"\end{tabular}",
    ]  # fmt: skip
    assert r"\textbf{10 $\pm$ 1}" in latex and r"\textbf{170}" in latex
    assert r"FNO\_24" in latex and r"field error [\%]" in latex and r"never \#1" in latex
    assert r"x \textasciitilde{} y\textasciicircum{}2 \textbackslash{} \$" in latex
    assert r"coarse 25\textsuperscript{2}" in latex and r"50 \% of \{cells\}" in latex
    bare = re.sub(r"\\[a-z]+\{\}|\\[%&$#_{}]|\$\\[a-z]+\$", "", "\n".join(body))
    assert bare.isascii() and not re.search(r"[%$#_~^]", bare)


def test_text_is_aligned_and_marks_the_best():
    lines = TABLE.text().splitlines()
    assert lines[0] == "Errors & times" and "10 ± 1 *" in lines[2] and "170 *" in lines[3]
    assert "not a number" in lines[4] and "*" not in lines[4]
    head, first = lines[1], lines[2]
    assert head.index("speed [x]") + len("speed [x]") == first.index("43") + 2


@pytest.mark.parametrize(("values", "shown"), [([0.0123, 0.0125], "0.012 ± 0.000"), ([1234.0, 1244.0], "1,200 ± 7")])
def test_mean_and_deviation_have_the_same_decimals(values, shown):
    assert Table("", (Column("a"),), {"r": {"a": values}}).text().splitlines()[-1].endswith(f" {shown}")


def test_whole_numbers_are_shown_in_full():
    table = Table("", (Column("a", digits=0),), {"r": {"a": 5092609}, "s": {"a": [16, 17]}})
    assert "5,092,609" in table.text() and "16 ± 1" in table.text()


def test_powers_of_ten():
    table = Table("", (Column("a"),), {"r": {"a": [3e-6, 5e-6]}})
    assert "4.0·10⁻⁶ ± 1·10⁻⁶" in table.text()
    assert r"4.0$\cdot$10\textsuperscript{-}\textsuperscript{6}" in table.latex()


def test_a_single_measurement_has_no_deviation():
    table = Table("", (Column("a"),), {"r": {"a": [2.5]}, "s": {"a": 2.5}})
    assert "±" not in table.text() and "nan" not in table.csv()


def test_the_files(tmp_path):
    paths = TABLE.write(tmp_path / "out", "errors")
    assert [p.name for p in paths] == ["errors.csv", "errors.tex", "errors.txt"]
    assert [p.read_text() for p in paths] == [TABLE.csv(), TABLE.latex(), TABLE.text()]


def test_what_is_refused():
    with pytest.raises(InputError, match="speeed"):
        Table("", COLUMNS, {"r": {"speeed": 1.0}})
    with pytest.raises(InputError, match="no measurement"):
        Table("", COLUMNS, {"r": {"speed": []}})
    with pytest.raises(InputError, match="different"):
        Table("", (Column("a"), Column("a")), {})
