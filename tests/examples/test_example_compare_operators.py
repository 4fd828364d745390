"""The example on comparing operators runs, and its numbers hold."""

import runpy
from pathlib import Path

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "compare_operators.py"


def test_the_example(capsys):
    found = runpy.run_path(str(EXAMPLE), run_name="__main__")
    comparison = found["comparison"]
    errors = {row.name: row.error for row in comparison.rows}
    assert len(errors) == 6 and max(errors.values()) < 0.2
    assert errors["POD-DeepONet"] < min(errors["DeepONet"], errors["my perceptron"])
    assert all(len(row.l2) == len(row.second) == 2 for row in comparison.rows)
    assert {row.epochs for row in comparison.rows} == {(8, 8), ()}
    said = capsys.readouterr().out
    assert "POD + kernel regression" in said and r"\toprule" in said and "H1 error [%]" in said
