"""What the example on refinement prints."""

import runpy
from pathlib import Path

import numpy as np

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "refine_to_tolerance.py"


def test_refine_to_tolerance(capsys):
    found = runpy.run_path(str(EXAMPLE), run_name="__main__")
    answer, rough, hurried = found["answer"], found["rough"], found["hurried"]
    norm = answer.stats["norm"]
    assert (answer.bound <= 1.0001e-4 * norm).all() and answer.stats["met"].all()
    np.testing.assert_allclose(answer.stats["before_lower"], answer.stats["before_upper"], rtol=1e-4)
    assert (answer.stats["before_upper"] <= rough.bound).all()
    assert not hurried.stats["met"].any() and (hurried.bound <= rough.bound * 1.001).all()
    printed = capsys.readouterr().out
    assert "Guaranteed distance (energy norm)" in printed and "without any time: 0 of 6 there" in printed
