"""The code of the page on estimators runs, and what it computes and says holds."""

import re
from pathlib import Path

import numpy as np
import pytest
from tests.rb.affine_cases import energy_error, exact

from nwidth.core.guarantee import Rigorous
from nwidth.rb.interpolated import InterpolatedResidual

PAGE = Path(__file__).resolve().parents[2] / "docs" / "estimators.md"


@pytest.fixture(scope="module")
def found():
    names: dict = {"__name__": "page"}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
        exec(block, names)
    return names


def test_interpolation_is_chosen_where_the_page_says_so(found):
    reason = found["certificate"].reason
    assert isinstance(found["certificate"].estimator, InterpolatedResidual)
    assert reason.startswith("interpolation: the orthonormal basis takes ")
    counts = [int(number.replace(",", "")) for number in re.findall(r"([\d,]+) (?:multiplications|\()", reason)]
    assert counts[0] > 3 * counts[1]
    problem, mu = found["problem"], found["problem"].parameters.sample(range(10), 1)
    answer = found["certified"].predict(mu)
    error = energy_error(problem, mu, exact(problem, mu), answer.field)
    assert (error <= answer.bound).all() and (answer.bound <= 10 * error + 3 * answer.stats["floor"]).all()


def test_the_regression_is_bounded(found):
    block, answer = found["block"], found["answer"]
    assert str(answer.guarantee) in PAGE.read_text() and isinstance(answer.guarantee, Rigorous)
    error = energy_error(block, answer.mu, exact(block, answer.mu), answer.field)
    assert (error <= answer.bound).all()


def test_enrichment_meets_the_tolerance(found):
    block, session, within = found["block"], found["session"], found["within"]
    u = exact(block, within.mu)
    error = energy_error(block, within.mu, u, within.field)
    assert (error <= 1e-3 * energy_error(block, within.mu, u, 0 * u)).all()
    assert 0 < session.full_solves < 20
    assert found["found"].full_solves > 0
    assert (found["found"].prediction.stats["relative"] <= 1e-3).all()
    assert np.isfinite(within.bound).all()


def test_its_picture_and_links_are_there():
    text = PAGE.read_text()
    for target in re.findall(r"\]\(([a-z_0-9/.]+)\)", text):
        assert (PAGE.parent / target).exists(), target
