"""The page on the total error: its code runs, and what it says about the numbers is so."""

import re
from pathlib import Path

import numpy as np
from tests.bounds.equilibrated.given_data import answer, extrapolated, on_halves, plane_errors, solved

import nwidth as nw
from nwidth.bounds.equilibrated.boxes import halved
from nwidth.problems.darcy import Darcy

PAGE = Path(__file__).resolve().parents[2] / "docs" / "total_error.md"


def test_the_page(capsys):
    found: dict = {"__name__": "page"}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
        exec(block, found)
    error, tight = found["error"], found["tight"]
    distance = found["solution"] - found["guess"]
    assert isinstance(error.guarantee, nw.Rigorous) and np.abs(distance).max() > 0
    for bound in (error, tight):
        assert (bound.lower <= bound.total).all() and (bound.lower >= 0.8 * bound.total).all()
        assert (bound.surrogate_lower >= 0.9 * bound.surrogate).all()
    assert (tight.lower <= error.total).all() and (error.lower <= tight.total).all()
    text = capsys.readouterr().out
    assert "total" in text and "control volume" in text


def test_effectivity_at_high_contrast():
    """1.06 at 1:100, 1.01 at 1:10,000 for the local flux."""
    for high, most in ((100.0, 1.065), (1e4, 1.01)):
        problem = Darcy(24, low=1.0, high=high)
        mu = problem.parameters.sample([1], 0)
        u = solved(problem, mu)
        parts = on_halves(mu["a"])[0], on_halves(np.ones_like(u))[0], halved(u)[0]
        true = extrapolated(plane_errors(*parts, (1.0, 1.0), "constant"))
        assert true <= nw.total_error(answer(problem, mu, u), problem).total[0] <= most * true
