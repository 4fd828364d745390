"""The code of the documentation runs as it stands (or in small), and what it computes is checked.

The pages on problems on grids and in time are run by tests/problems.
"""

import re
from pathlib import Path

import numpy as np
import pytest

from nwidth.core.solution import Status
from nwidth.problems.grid_diffusion import GridDiffusion
from nwidth.solvers.direct import Direct

DOCS = Path(__file__).resolve().parents[1] / "docs"


def blocks(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)


def run(code: list[str]) -> dict:
    found: dict = {"__name__": "page"}
    for block in code:
        exec(block, found)
    return found


def test_the_page_on_solvers():
    first, own = blocks("solvers.md")
    assert sum(bool(line.strip()) for line in own.splitlines()) < 40
    found = run([first, own])
    assert found["answer"].converged.all()
    plate, answer = found["plate"], found["plates"]
    assert isinstance(plate, GridDiffusion)
    assert f"# {found['why']}\n" in own
    assert answer.converged.all()
    assert (answer.stats["bound"] <= 1.001e-6 * answer.stats["norm"]).all()
    mu = plate.parameters.sample(range(4), seed=0)
    solver = Direct()
    truth = solver.solve(solver.prepare(plate), mu).field
    error = np.sqrt(plate.systems(mu).energy(plate.space.flatten(truth - answer.field)))
    assert (error <= answer.stats["bound"]).all()


def test_the_plate_of_the_page_on_solvers_in_closed_form():
    """For a = 1: u = 2x/3 - x²/2, which differences of second order have exactly."""
    found = run(blocks("solvers.md"))
    plate, x = found["plate"], np.linspace(0, 1, 49)
    even = found["nw"].solve(plate, np.ones((1, 49, 49))).field[0]
    np.testing.assert_allclose(even, np.repeat((2 * x / 3 - x**2 / 2)[:, None], 49, axis=1), atol=1e-8)


def test_the_links_of_the_pages_lead_somewhere():
    pages = [*DOCS.rglob("*.md"), DOCS.parent / "README.md"]
    for page in pages:
        for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name} points to {target}"
