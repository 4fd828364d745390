"""The page on refinement: its code runs, its limits hold, and its numbers are those of the code."""

import re
from pathlib import Path

import numpy as np

from nwidth.bounds.gauss_radau import SHRINK, STRETCH
from nwidth.solvers import guaranteed
from nwidth.solvers.multigrid import Multigrid

PAGE = Path(__file__).resolve().parents[2] / "docs" / "refinement.md"


def test_the_page_on_refinement():
    found: dict = {"__name__": "page"}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
        exec(block, found)
    problem, answer, quick, rough = (found[name] for name in ("problem", "answer", "quick", "rough"))
    mu = {"a": answer.mu["a"]}
    truth = Multigrid().solve(Multigrid().prepare(problem), mu).field
    error = np.sqrt(problem.systems(mu).energy(problem.space.flatten(truth - answer.field)))
    assert (error <= answer.bound * 1.001).all() and (answer.bound <= 1.0001e-4 * answer.stats["norm"]).all()
    before = np.sqrt(problem.systems(mu).energy(problem.space.flatten(truth - rough.field)))
    np.testing.assert_allclose(before, answer.stats["before_upper"], rtol=1e-4)
    assert (quick.bound <= 1.001 * rough.bound).all() and "met" in quick.stats and "before_lower" not in quick.stats


def test_the_numbers_on_the_page_are_those_of_the_code():
    text = PAGE.read_text()
    assert f"{SHRINK} α and {STRETCH} β" in text
    assert guaranteed._GRID[2] == 3 and "up to three steps on a grid in the plane" in text
    assert guaranteed._MESH == 10 and "ten on a mesh" in text
