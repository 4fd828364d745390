"""The example of a learned step: small errors that do not grow, limits that hold, times in between and beyond."""

import runpy
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "rollout.py"


@pytest.mark.slow
def test_the_example():
    found = runpy.run_path(str(EXAMPLE))
    by_step, by_jump = found["by_step"].mean(axis=0), found["by_jump"].mean(axis=0)
    assert by_step.max() < 0.05 and by_step[-1] < 1.5 * by_step[0]
    assert by_jump.max() < 0.1
    assert 0.7 < found["held"].mean() <= 1
    assert found["new"]["between"].max() < 0.1 and found["new"]["later"].max() < 0.05
