"""The example on resolutions: one error on every grid, and no difference under shifts."""

import runpy
from pathlib import Path

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "resolution.py"


def test_the_example(capsys):
    found = runpy.run_path(str(EXAMPLE), run_name="__main__")
    errors, shifts = found["errors"], found["shifts"]
    assert list(errors) == [48, 31, 64, 301]
    assert max(errors.values()) < 0.015
    assert max(errors.values()) - min(errors.values()) < 0.01 * errors[48]
    assert max(shifts.values()) < 1e-6
    assert "301 points: relative error" in capsys.readouterr().out
