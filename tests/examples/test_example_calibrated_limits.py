"""The example runs, its limits hold as often as they say, and only the shaped one tells good answers from bad."""

import runpy
from pathlib import Path

import numpy as np

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "calibrated_limits.py"


def test_the_example(capsys):
    found = runpy.run_path(str(EXAMPLE))
    error, tolerance = found["error"], found["tolerance"]
    for answer in (found["common"], found["answer"]):
        # 94 runs calibrate, about 300 test: three standard deviations of the coverage
        assert abs(np.mean(error <= answer.bound) - 0.9) < 3 * np.sqrt(0.09 / 94 + 0.09 / len(error))
    assert not (found["common"].bound <= tolerance).any()
    assert found["accepted"].mean() > 0.35
    assert np.mean(error[found["accepted"]] <= tolerance) > 0.97
    assert "residual" in found["certified"].certificate.difficulties["field"].name
    chosen = found["chosen"]
    assert chosen.sum() > 50 and np.mean((error <= found["routed"].bound)[chosen]) > 0.8
    assert abs(found["inside"].mean() - 0.9) < 3 * np.sqrt(0.09 / 94 + 0.09 / len(error))
    assert "band at 625 nodes at once" in capsys.readouterr().out
