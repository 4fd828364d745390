"""Fewer numbers, larger errors; the form that was trained is better than the weights that were cut."""

import runpy
from pathlib import Path

import numpy as np

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "compress_weights.py"


def test_compress_weights():
    table = runpy.run_path(str(EXAMPLE))["main"]()
    dense, half, tenth, trained = table.values()
    assert dense[0] == 2 * 81 * 12**2
    assert half[0] <= dense[0] // 2 and tenth[0] <= dense[0] // 10 and trained[0] <= dense[0] // 10
    assert 0 < half[1] < tenth[1] < 1
    assert dense[2] <= half[2] <= tenth[2]
    assert trained[2] < tenth[2]
    assert np.isfinite([row[2] for row in table.values()]).all()
