"""The code of the page on coefficients that do not separate runs, and what it says is checked."""

import numpy as np
import pytest
from tests.test_docs import blocks, run

import nwidth as nw
from nwidth.core.guarantee import Estimate, Rigorous


@pytest.fixture(scope="module")
def page():
    return run(blocks("non_affine.md"))


def errors(page, field):
    mu = page["answer"].mu
    truth = nw.solve(page["problem"], mu).field
    return np.sqrt(page["problem"].systems(mu).energy(truth - field))


def test_the_limits_hold_and_say_what_they_cover(page):
    answer = page["answer"]
    assert answer.guarantee == Rigorous("energy norm", ("reduction", "interpolation", "round-off"))
    assert (errors(page, answer.field) <= answer.bound).all()
    ratio = answer.bound / errors(page, answer.field)
    assert 1.0 < np.median(ratio) < 1.7
    assert ((answer.stats["interpolation"] > 0) & (answer.stats["interpolation"] < 0.2 * answer.bound)).all()


def test_the_other_rules(page):
    prepared = page["prepared"].bound(page["prediction"])
    assert isinstance(prepared.guarantee, Rigorous) and isinstance(page["guess"].guarantee, Estimate)
    assert (prepared.bound >= 0.99 * page["answer"].bound).all()
    assert (prepared.bound < 2 * page["answer"].bound).all()


def test_broken_sensors(page):
    assert page["left"].amplification > page["sensors"].amplification
    assert len(page["left"].points) == page["sensors"].terms + 1 and page["lost"] < 0.2


def test_from_matrices_alone(page):
    checked = page["checked"]
    assert isinstance(checked.guarantee, Rigorous)
    assert (errors(page, checked.field) <= checked.bound).all()
