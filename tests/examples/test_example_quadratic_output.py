"""The example on quadratic outputs: limits against extended precision, and how small they are."""

import runpy
from pathlib import Path

import numpy as np
from tests.rb.affine_cases import exact, wide

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "quadratic_output.py"


def test_the_example(capsys):
    found = runpy.run_path(str(EXAMPLE), run_name="__main__")
    block, answer, few = found["block"], found["answer"], found["few"]
    u = exact(block, few)
    for name, quantity in found["outputs"].items():
        true = np.array([v @ (wide(quantity.matrix) @ v) for v in u])
        output = answer.outputs[name]
        assert (np.abs(true - output.values[:20]) <= output.limit[:20]).all()
        assert output.limit.max() < 2e-5 * np.abs(output.values).max()
        assert (found["missed"][name] < 1e-5 * np.abs(output.values).max()).all()
    assert "continuity constant" in capsys.readouterr().out
