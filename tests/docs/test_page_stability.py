"""The page on stability constants: its code runs, and what it says about the numbers is so."""

import re
from pathlib import Path

import numpy as np
from tests.rb.affine_cases import energy_error, exact

import nwidth as nw

PAGE = Path(__file__).resolve().parents[2] / "docs" / "stability.md"


def test_the_page(capsys):
    found: dict = {"__name__": "page"}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
        exec(block, found)
    problem, answer = found["problem"], found["answer"].take(np.arange(20))
    assert isinstance(answer.guarantee, nw.Rigorous)
    assert (energy_error(problem, answer.mu, exact(problem, answer.mu), answer.field) <= answer.bound).all()
    smallest, highest, lowest = (float(line) for line in capsys.readouterr().out.splitlines()[-3:])
    x = found["X"].toarray()
    assert 0.999 * np.linalg.eigvalsh(x)[0] < smallest <= np.linalg.eigvalsh(x)[0]
    assert 0.99 / (2 * np.pi**2) < highest < 1 / (2 * np.pi**2) and -1e-6 < lowest < 1e-3


def test_the_table_on_successive_constraints():
    text = PAGE.read_text()
    problem = nw.problems.get("anisotropic", resolution=20)
    for column, tol in ((2, 0.25), (3, 0.1)):
        found = nw.rb.successive_constraints(problem, tol=tol)
        row = next(line for line in text.splitlines() if line.startswith("| constraints, multipliers"))
        constraints, multipliers = (int(n) for n in row.split("|")[column].split(","))
        assert len(found.alphas) == constraints and abs(len(found.values) - multipliers) <= 0.3 * multipliers
