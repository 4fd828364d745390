"""`certify` takes the strongest certificate that surrogate and problem allow."""

import numpy as np
import pytest
from tests.rb.evolution_cases import RandomEvolution

import nwidth as nw
from nwidth.certificates.conformal import ConformalCertificate
from nwidth.certificates.interpolation import InterpolationCertificate
from nwidth.certificates.parabolic_dual import DualEvolutionCertificate
from nwidth.certificates.reduced import ReducedCertificate
from nwidth.certificates.reduced_residual import ReducedResidualCertificate
from nwidth.certificates.residual import ResidualCertificate
from nwidth.core.errors import InputError
from nwidth.problems.moving_bump import MovingBump
from nwidth.problems.thermal_block import ThermalBlock


@pytest.fixture(scope="module")
def block():
    problem = ThermalBlock(2, 8)
    return problem, nw.generate(problem, 60, seed=0)


def test_a_basis_of_the_problem_is_bounded_from_its_coefficients(block):
    problem, _ = block
    found = nw.certify(nw.rb.Greedy(tol=None, max_size=4, training=20).fit(problem=problem), problem)
    assert isinstance(found.certificate, ReducedCertificate)


def test_a_regression_in_modes_is_bounded_from_its_coefficients_where_the_problem_separates(block):
    problem, runs = block
    found = nw.certify(nw.rb.PODRegression().fit(runs, problem), problem)
    assert isinstance(found.certificate, ReducedResidualCertificate)
    answer = found.predict(problem.parameters.sample(range(20), 5))
    error = np.sqrt(problem.systems(answer.mu).energy(nw.solve(problem, answer.mu).field - answer.field))
    assert (error <= answer.bound).all()


def test_interpolated_coefficients_are_counted():
    problem = MovingBump(resolution=8)
    approximate = nw.rb.separated(problem, problem.parameters.sample(range(40), 0), tol=1e-2)
    basis = nw.rb.Greedy(tol=None, max_size=4, training=20).fit(problem=approximate)
    for given in (problem, approximate):
        assert isinstance(nw.certify(basis, given).certificate, InterpolationCertificate)


def test_matrices_interpolated_by_their_entries_are_judged_by_the_true_ones():
    problem = MovingBump(resolution=8)
    basis = nw.rb.Greedy(tol=None, max_size=4, training=20).fit(problem=nw.rb.interpolated_matrices(problem, 40, 1e-2))
    answer = nw.certify(basis, problem).predict(problem.parameters.sample(range(10), 3))
    error = np.sqrt(problem.systems(answer.mu).energy(nw.solve(problem, answer.mu).field - answer.field))
    assert isinstance(answer.guarantee, nw.Rigorous) and (error <= answer.bound).all()


def test_a_basis_in_time():
    problem = RandomEvolution()
    basis = nw.rb.PODGreedy(tol=None, max_size=3, training=4, modes=1).fit(problem=problem)
    assert isinstance(nw.certify(basis, problem).certificate, DualEvolutionCertificate)


def test_everything_else_is_bounded_by_the_residual_of_its_field_or_calibrated(block):
    problem = nw.problems.get("poisson", resolution=16)
    runs = nw.generate(problem, 120, seed=0)
    surrogate = nw.rb.PODRegression().fit(runs.take(slice(0, 60)), problem)
    assert isinstance(nw.certify(surrogate, problem).certificate, ResidualCertificate)
    found = nw.certify(surrogate, holdout=runs.take(slice(60, 120)))
    assert isinstance(found.certificate, ConformalCertificate)
    with pytest.raises(InputError, match="nothing to certify against"):
        nw.certify(surrogate)
    with pytest.raises(InputError, match="already carries a certificate"):
        nw.certify(found, problem)
