"""The example on the total error: what it prints, and that refining removes the surrogate's part alone."""

import runpy
from pathlib import Path

import numpy as np

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "total_error.py"


def test_the_example(capsys):
    found = runpy.run_path(str(EXAMPLE), run_name="__main__")
    before, after = found["before"], found["after"]
    assert (after.surrogate <= 1.2e-4 * after.norm).all() and (before.surrogate_lower > 0.05 * before.norm).all()
    assert (after.advice == "a finer grid").all()
    # the mesh's part is the same before and after: both intervals hold it
    assert (before.discretisation_lower <= after.discretisation).all()
    assert (after.discretisation_lower <= before.discretisation).all()
    assert (after.discretisation_lower >= 0.8 * after.discretisation).all()
    assert (after.total < before.total).all()
    text = capsys.readouterr().out
    assert "surrogate's part" in text and "a finer grid (5 of 5)" in text and "exact solution" in text
    assert np.median(after.total / after.norm) < 0.15
