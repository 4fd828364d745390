"""The page on selection: its code runs, and what it says about it holds."""

import re
from pathlib import Path

import numpy as np

import nwidth as nw

PAGE = Path(__file__).resolve().parents[2] / "docs" / "selection.md"


def test_the_page_on_selection(capsys):
    found = {"__name__": "page"}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
        exec(block, found)
    assert "from a full solve at" in capsys.readouterr().out
    problem, sure = found["problem"], found["sure"]
    quantity = problem.quantities()[found["name"]]
    mu = problem.parameters.sample(range(64), 0)
    known = -(nw.solve(problem, mu).field @ quantity.functional + quantity.offset)
    assert known.min() >= sure.value - sure.gap - 1e-9 and sure.gap < 1e-3 * abs(sure.value)
    # the mean of u is largest where all conductivities are smallest
    assert all(np.isclose(values[0], 0.1) for values in sure.mu.values())
