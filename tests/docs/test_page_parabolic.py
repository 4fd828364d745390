"""The page on parabolic problems: its code runs, and what it says about it holds."""

import re
from pathlib import Path

import numpy as np

from nwidth.core.guarantee import Rigorous, Statistical
from nwidth.rb.parabolic_constants import mass_constants

PAGE = Path(__file__).resolve().parents[2] / "docs" / "parabolic.md"


def test_the_page_on_parabolic_problems():
    text = PAGE.read_text()
    found = {"__name__": "page"}
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(block, found)
    assert f"# {found['shapes']}\n" in text
    answer, problem = found["answer"], found["problem"]
    assert isinstance(answer.guarantee, Rigorous)
    fields = problem.solve(found["mu"])
    for name, quantity in problem.quantities().items():
        error = np.abs(fields @ quantity.functional - answer.outputs[name].values)
        assert (error <= answer.outputs[name].limit).all() and (answer.outputs[name].limit < 5).all()
    assert isinstance(found["calibrated"].guarantee, Statistical) and found["profile"].shape == (5,)
    slowest = 1 / mass_constants(problem, problem.anchors(2)).factors[1:]
    assert [round(float(t)) for t in slowest] == [27, 2]
