"""The example on anisotropic diffusion: its constants, its bounds, and what it says outside."""

import runpy
from pathlib import Path

import numpy as np
from tests.rb.affine_cases import energy_error, exact

import nwidth as nw

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "anisotropic_scm.py"


def test_the_example(capsys):
    found = runpy.run_path(str(EXAMPLE), run_name="__main__")
    problem, answer, outside = found["problem"], found["answer"], found["outside"]
    assert isinstance(answer.guarantee, nw.Rigorous) and np.isfinite(answer.bound).all()
    assert problem.stability.low[1] < -0.9  # the cross term is indefinite
    part = answer.take(np.arange(30))
    error = energy_error(problem, part.mu, exact(problem, part.mu), part.field)
    assert (error <= part.bound).all() and (part.bound < 6 * error + part.stats["floor"]).all()
    # K = [[1, 1.2], [1.2, 1]] has a negative eigenvalue
    assert np.isfinite(outside.bound).tolist() == [True, False]
    printed = capsys.readouterr().out
    assert "no coercivity constant above zero is proven" in printed and "guaranteed" in printed.lower()
