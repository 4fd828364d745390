"""The example on certifying a regression runs, and its numbers hold."""

import runpy
from pathlib import Path

from tests.rb.affine_cases import energy_error, exact

from nwidth.core.guarantee import Rigorous
from nwidth.core.validation import select

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "certify_any.py"


def test_the_example(capsys):
    found = runpy.run_path(str(EXAMPLE))
    problem, answer, better, session = (found[name] for name in ("problem", "answer", "better", "session"))
    rows = slice(0, 40)
    mu = select(answer.mu, rows)
    u = exact(problem, mu)
    size = energy_error(problem, mu, u, 0 * u)
    for one, limit in ((answer, 1.0), (better, 1e-3)):
        error = energy_error(problem, mu, u, one.take(rows).field)
        assert isinstance(one.guarantee, Rigorous)
        assert (error <= one.bound[rows]).all() and (error <= limit * size).all()
    assert 0 < session.full_solves < 25
    said = capsys.readouterr().out
    assert "Guaranteed distance" in said and f"{session.full_solves} full solves in all" in said
