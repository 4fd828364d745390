"""The page on residual bounds: its code runs, and what it says about constants is so."""

import re
from pathlib import Path

import numpy as np

import nwidth as nw
from nwidth.certificates.residual import _FACTORISED
from nwidth.spaces._sine import _MATRIX_LIMIT

PAGE = Path(__file__).resolve().parents[2] / "docs" / "bounds.md"


def test_the_page(capsys):
    found: dict = {"__name__": "page"}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
        exec(block, found)
    problem, answer = found["problem"], found["answer"]
    u = nw.solve(problem, answer.mu).field
    error = np.sqrt(problem.systems(answer.mu).energy(problem.space.flatten(u - answer.field)))
    low, high = answer.interval
    assert isinstance(answer.guarantee, nw.Rigorous)
    assert (low <= error * (1 + 1e-6)).all() and (error <= high * (1 + 1e-6)).all()
    # (κ + 1) / (2 √κ) = 1.25 for κ = 4, between the ends and so against the error
    assert (high <= 1.2501 * low).all()
    matrix = found["space"].energy.matrix.toarray()[np.ix_(found["space"].free, found["space"].free)]
    smallest = float(capsys.readouterr().out.splitlines()[-1])
    assert 0.01 * np.linalg.eigvalsh(matrix)[0] < smallest <= np.linalg.eigvalsh(matrix)[0]


def test_the_numbers_of_unknowns_are_those_of_the_code():
    text = PAGE.read_text()

    assert f"{_FACTORISED[3]:,} unknowns in space, {_FACTORISED[2]:,} in the plane" in text
    assert f"up to {_MATRIX_LIMIT} cells" in text


def test_its_links_lead_somewhere():
    for link in re.findall(r"\]\(([a-z_0-9/]+\.md)\)", PAGE.read_text()):
        assert (PAGE.parent / link).exists(), link
