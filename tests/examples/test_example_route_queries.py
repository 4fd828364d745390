"""The example on routing: every tolerance is met, and strange fields are told from known ones."""

import runpy
from pathlib import Path

import numpy as np

import nwidth as nw
from nwidth.solvers.direct import Direct

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "route_queries.py"


def test_the_example(capsys):
    found = runpy.run_path(str(EXAMPLE), run_name="__main__")
    problem, answer = found["problem"], found["answer"]
    truth = nw.solve(problem, found["queries"], Direct()).field
    systems, space = problem.systems(found["queries"]), problem.space
    error = np.sqrt(systems.energy(space.flatten(truth - answer.field)))
    size = np.sqrt(systems.energy(space.flatten(truth)))
    assert (error <= 1e-6 * size).all() and (error <= answer.bound + 1e-10 * size).all()
    assert isinstance(answer.guarantee, nw.Rigorous)
    # nothing is that accurate by itself
    assert nw.Mix.of(answer).surrogate == 0
    shares = found["shares"]
    assert shares["of the same law"] >= 0.96 and shares["rougher"] == shares["scaled by 1.3"] == 0.0
    assert found["p"] < 1e-4
    printed = capsys.readouterr().out
    assert printed.count("by the surrogate alone") == 3 and "unlike the training fields" in printed
