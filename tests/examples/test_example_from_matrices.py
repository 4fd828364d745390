"""The example with a finite-element program's matrices: short, guaranteed, and right."""

import runpy
from pathlib import Path

import numpy as np
from tests.rb.affine_cases import energy_error, exact

import nwidth as nw

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "from_matrices.py"


def test_the_example():
    found = runpy.run_path(str(EXAMPLE))
    problem, certified, answer = found["problem"], found["certified"], found["answer"]
    assert isinstance(answer.guarantee, nw.Rigorous) and answer.inside.all()
    assert problem.space.size == 81 * 33 and certified.surrogate.modes < 40
    part = answer.take(np.arange(6))
    u = exact(problem, part.mu)
    assert (energy_error(problem, part.mu, u, part.field) <= part.bound).all()
    side = part.outputs["hot side"]
    truth = u @ problem.quantities()["hot side"].functional.astype(u.dtype)
    assert (np.abs((truth - side.values).astype(float)) <= side.limit).all()
    assert (answer.outputs["hot side"].limit < 1e-6).all() and (side.values > 0).all()


def test_it_takes_less_than_fifteen_lines_of_nwidth():
    code = EXAMPLE.read_text().partition("# and a certified reduced basis of it\n")[2].partition("\nif __name__")[0]
    assert sum(bool(line.strip()) for line in code.splitlines()) < 15
