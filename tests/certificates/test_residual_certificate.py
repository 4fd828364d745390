"""The residual certificate tried with fields that are meant to break it."""

import numpy as np
import pytest

from nwidth.certificates.residual import ResidualCertificate
from nwidth.core.errors import InputError
from nwidth.core.guarantee import Estimate, Rigorous
from nwidth.core.prediction import uncertified
from nwidth.problems.base import BlackBox, Stability
from nwidth.testing.dense import DenseProblem

MU = {"t": np.array([0.0, 0.4, 1.0])}


def prediction(problem, fields):
    return uncertified(MU, fields, problem.space, np.ones(len(fields), bool))


FIELDS = {
    "zero": lambda u: np.zeros_like(u),
    "huge": lambda u: 1e12 * np.ones_like(u),
    "rough": lambda u: u + np.random.default_rng(0).normal(size=u.shape),
    "the solution": lambda u: u,
    "wrong boundary": lambda u: u + 3.0,
    "float32": lambda u: u.astype(np.float32),
}


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("contrast", [1.0, 1e4])
def test_the_limit_holds_for_the_returned_field(name, contrast):
    problem = DenseProblem(size=25, contrast=contrast)
    exact = problem.exact(MU)
    answer = ResidualCertificate(problem).bound(prediction(problem, FIELDS[name](exact)))
    error = problem.energy_error(MU, exact, answer.field)
    assert answer.field.dtype == np.float64
    assert (answer.field[:, 0] == problem.g).all(), "prescribed values are imposed"
    assert (answer.bound >= error).all()
    assert (answer.bound <= 1.01 * np.sqrt(contrast) * error + 1e-9 * np.abs(answer.field).max()).all()
    assert isinstance(answer.guarantee, Rigorous) and "discretisation" not in answer.guarantee.covers


def test_outputs_carry_limits_that_hold():
    problem = DenseProblem(size=25, contrast=100.0)
    exact = problem.exact(MU)
    noisy = exact + 0.1 * np.random.default_rng(1).normal(size=exact.shape)
    noisy[:, 0] = problem.g
    answer = ResidualCertificate(problem).bound(prediction(problem, noisy))
    true = exact.mean(axis=1) + 1.0
    assert (np.abs(answer.outputs["mean"].values - true) <= answer.outputs["mean"].limit).all()
    assert answer.outputs["mean"].unit == "K"


def functional_and_direction(problem):
    """The output's functional on the free dofs, zero at the others, and the direction X⁻¹ l of its worst error."""
    functional = np.where(problem.space.free, problem.quantities()["mean"].functional, 0.0)
    x = problem.space.inner("energy").apply(np.eye(len(functional)))[1:, 1:]
    return functional, np.concatenate([[0.0], np.linalg.solve(x, functional[1:])])


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e4])
def test_the_limit_of_an_output_is_attained_where_the_error_is_its_own_representer(size):
    """A = α X and e along X⁻¹ l: `|l·e| = ‖l‖_{X⁻¹} ‖e‖_X`, an equality at α = 1, 1.4 and 2."""
    problem = DenseProblem(size=25, contrast=1.0)
    functional, direction = functional_and_direction(problem)
    exact = problem.exact(MU)
    answer = ResidualCertificate(problem).bound(prediction(problem, exact + size * direction))
    error = np.abs((answer.field - exact) @ functional)
    assert (error > 0.01 * size).all()
    room = 1e-9 * error + 1e-11  # of the constant and the references
    limit = answer.outputs["mean"].limit
    assert (error <= limit + room).all() and (limit <= (1 + 1e-6) * error + room).all()


@pytest.mark.parametrize("contrast", [4.0, 100.0])
def test_the_limit_of_an_output_is_the_dual_norm_times_the_bound_of_the_energy(contrast):
    """Against a dense dual norm; and near the error in the worst direction, √contrast and the chord apart at most."""
    problem = DenseProblem(size=25, contrast=contrast)
    functional, direction = functional_and_direction(problem)
    exact = problem.exact(MU)
    answer = ResidualCertificate(problem).bound(prediction(problem, exact + direction))
    limit, alpha = answer.outputs["mean"].limit, problem.constant(MU).lower
    np.testing.assert_allclose(limit, np.sqrt(functional @ direction / alpha) * answer.bound, rtol=1e-9)
    error = np.abs((answer.field - exact) @ functional)
    assert (error <= limit).all() and (limit <= 1.001 * (contrast + 1) / 2 * error).all()


def test_a_field_that_is_not_finite_has_no_limit_and_says_why_and_the_others_keep_theirs():
    problem = DenseProblem()
    fields = problem.exact(MU)
    fields[1, 4] = np.nan
    answer = ResidualCertificate(problem).bound(prediction(problem, fields))
    assert np.isinf(answer.bound[1]) and "not finite" in answer.reason[1]
    assert np.isfinite(answer.bound[[0, 2]]).all() and answer.reason[0] == ""


def test_an_unproven_constant_gives_an_estimate():
    class Guessed(DenseProblem):
        def constant(self, mu, field=None):
            known = super().constant(mu)
            return Stability(known.lower, known.upper, proven=False)

    problem = Guessed()
    answer = ResidualCertificate(problem).bound(prediction(problem, problem.exact(MU)))
    assert isinstance(answer.guarantee, Estimate) and "stability" in str(answer.guarantee)


def test_a_problem_without_what_a_bound_needs_is_refused_with_the_way_out():
    class Own(BlackBox):
        parameters = space = None

        def solve(self, mu):
            return mu

    with pytest.raises(InputError, match="holdout"):
        ResidualCertificate(Own())


def test_fields_of_another_space_are_refused():
    problem = DenseProblem()
    with pytest.raises(InputError, match="expected"):
        ResidualCertificate(problem).bound(prediction(problem, np.zeros((3, 7))))
