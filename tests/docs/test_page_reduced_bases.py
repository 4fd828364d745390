"""The code of the page on reduced bases runs, and what it computes holds."""

import re
from pathlib import Path

import numpy as np

import nwidth as nw

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reduced_bases.md"


def test_the_page_on_reduced_bases(capsys):
    found: dict = {"__name__": "page"}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
        exec(block, found)
    problem, many, one = found["problem"], found["many"], found["one"]
    u = nw.solve(problem, many.mu).field
    systems = problem.systems(many.mu)
    error = np.sqrt(systems.energy(u - many.field))
    assert (error <= many.bound + 1e-9).all() and (many.bound <= 1.02e-4 * np.sqrt(systems.energy(u))).all()
    truth = nw.solve(problem, one.mu).field[0] @ problem.quantities()["mean"].functional
    assert abs(truth - one.outputs["mean"].values[0]) <= one.outputs["mean"].limit[0] + 1e-10
    printed = capsys.readouterr().out
    assert "Guaranteed" in printed and printed.count("\n") == 5


def test_its_links_lead_somewhere():
    for link in re.findall(r"\]\(([a-z_0-9/]+\.md)\)", PAGE.read_text()):
        assert (PAGE.parent / link).exists(), link
