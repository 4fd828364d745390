"""The example on certifying any function runs, and its limits hold."""

import runpy
from pathlib import Path

import numpy as np

import nwidth as nw
from nwidth.core.guarantee import Rigorous
from nwidth.solvers.direct import Direct

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "certify_anything.py"


def test_the_example(capsys):
    found = runpy.run_path(str(EXAMPLE))
    problem, mu = found["problem"], found["mu"]
    truth = problem.space.flatten(nw.solve(problem, mu, Direct()).field)
    systems = problem.systems(mu)
    for name in ("answer", "zero", "wild", "exact"):
        one = found[name]
        error = np.sqrt(systems.energy(systems.lift + truth - problem.space.flatten(one.field)))
        assert isinstance(one.guarantee, Rigorous)
        assert (error <= one.bound * (1 + 1e-9)).all() and (one.lower <= error * (1 + 1e-9) + 1e-12).all(), name
        if name != "exact":
            assert (one.bound <= 2.0 * error).all()  # contrast 4: sqrt(beta / alpha) = 2
    size = found["size"]
    assert 0.05 < np.median(found["answer"].bound / size) < 0.35
    assert np.median(found["wild"].bound / size) > 10
    said = capsys.readouterr().out
    assert "Guaranteed distance" in said and said.count("true error between") == 4
