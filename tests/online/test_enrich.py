"""Enrichment: every answer within the tolerance, by the fewest full solves that the bound asks for."""

import numpy as np
import pytest
from tests.rb.affine_cases import Random, energy_error, exact

from nwidth.certificates.reduced_residual import ReducedResidualCertificate
from nwidth.core.errors import InputError, WorkError
from nwidth.io.model import load, save
from nwidth.online.certify import certify
from nwidth.online.enrich import Enriching, enrich
from nwidth.online.wrappers import Certified
from nwidth.problems.thermal_block import ThermalBlock
from nwidth.rb.extend import GrowingBasis, extended, spanned
from nwidth.rb.greedy import Greedy
from nwidth.rb.pod_regression import PODRegression
from nwidth.snapshots.base import Snapshots
from nwidth.testing.dense import DenseProblem


@pytest.fixture(scope="module")
def block():
    return ThermalBlock(resolution=12)


@pytest.fixture(scope="module")
def small(block):
    return Greedy(tol=None, max_size=3, training=40).fit(problem=block)


def relative_error(problem, mu, answer):
    """In extended precision, relative to the energy of the solution's change from the lift."""
    u = exact(problem, mu)
    lift = np.where(problem.terms().free, 0.0, u)
    return energy_error(problem, mu, u, answer.field) / energy_error(problem, mu, u, lift)


def test_every_answer_is_within_the_tolerance_and_the_solves_are_counted(block, small):
    mu = block.parameters.sample(range(200, 260), 0)
    found = enrich(small, block, mu, 1e-4)
    assert (found.prediction.stats["relative"] <= 1e-4).all()
    assert (relative_error(block, mu, found.prediction) <= 1e-4).all()
    assert 0 < found.full_solves < 20
    assert found.prediction.stats["solved"].sum() == found.full_solves
    assert found.surrogate.surrogate.modes == small.modes + found.full_solves
    assert small.modes == 3, "what is passed in stays as it is"
    again = found.surrogate.predict(mu)
    np.testing.assert_array_equal(again.bound, found.prediction.bound)


def test_what_is_learned_is_used_by_the_next_batch(block, small):
    session = Enriching(small, block, 1e-3)
    first, second = (block.parameters.sample(range(start, start + 100), 0) for start in (0, 500))
    session.predict(first)
    learned = session.full_solves
    kept = session.surrogate
    session.predict(first)
    assert session.full_solves == learned
    session.predict(second)
    assert session.full_solves - learned <= learned // 2
    assert kept.surrogate.modes == small.modes + learned, "a surrogate that was taken out does not change"


def test_a_basis_that_is_good_enough_costs_no_solve(block):
    whole = Greedy(tol=1e-5, training=60).fit(problem=block)
    session = Enriching(certify(whole, block), rtol=1e-2)
    session.predict(block.parameters.sample(range(50), 3))
    assert session.full_solves == 0 and session.modes == whole.modes


def test_a_regression_is_taken_to_the_tolerance(block):
    mu = block.parameters.sample(range(25), 0)
    runs = Snapshots(block.parameters, block.space, mu, exact(block, mu).astype(np.float64))
    learned = PODRegression(modes=4).fit(runs)
    certified = Certified(learned, ReducedResidualCertificate.build(learned, block))
    test = block.parameters.sample(range(100, 130), 0)
    assert (certified.predict(test).bound > 1e-3 * 0.05).any()
    found = enrich(certified, block, test, 1e-3)
    assert found.full_solves > 0
    assert (relative_error(block, test, found.prediction) <= 1e-3).all()


def test_several_loads_and_a_lift_of_boundary_values():
    problem = Random(size=30, terms=3, loads=2, seed=2)
    start = Greedy(tol=None, max_size=2, training=20).fit(problem=problem)
    mu = problem.parameters.sample(range(30), 4)
    found = enrich(start, None, mu, 1e-6)
    u = exact(problem, mu)
    error = energy_error(problem, mu, u, found.prediction.field)
    lift = np.where(problem.terms().free, 0.0, u)
    size = np.minimum(energy_error(problem, mu, u, lift), energy_norm_with_lift(problem, mu, u))
    assert (error <= 1e-6 * size).all()


def energy_norm_with_lift(problem, mu, u):
    theta, _ = problem.coefficients(mu)
    values = [
        sum(t * (x @ (m @ x)) for t, m in zip(row, problem.terms().matrices, strict=True))
        for row, x in zip(theta, u, strict=True)
    ]
    return np.sqrt(np.array(values, dtype=np.float64))


def test_a_tolerance_below_rounding_is_an_error_and_what_was_learned_stays(block, small):
    session = Enriching(small, block, 1e-13)
    with pytest.raises(WorkError, match="below what rounding allows; raise rtol"):
        session.predict(block.parameters.sample(range(2), 0))
    assert session.modes > small.modes and session.full_solves >= session.modes - small.modes


def test_the_limit_of_solves_is_kept(block, small):
    session = Enriching(small, block, 1e-6, max_solves=2)
    with pytest.raises(WorkError, match=r"miss rtol = 1e-06 after 2 full solves .*raise max_solves or rtol"):
        session.predict(block.parameters.sample(range(30), 0))
    assert session.full_solves == 2


def test_an_empty_batch_asks_for_nothing(block, small):
    session = Enriching(small, block, 1e-6)
    assert len(session.predict({name: np.zeros(0) for name in block.parameters.names})) == 0
    assert session.full_solves == 0


@pytest.mark.parametrize("rtol", [0.0, 1.0, -1.0, np.nan])
def test_an_impossible_tolerance_is_refused(block, small, rtol):
    with pytest.raises(InputError, match="between 0 and 1"):
        Enriching(small, block, rtol)


def test_a_surrogate_that_needs_its_problem_says_so(block):
    mu = block.parameters.sample(range(25), 0)
    runs = Snapshots(block.parameters, block.space, mu, exact(block, mu).astype(np.float64))
    learned = PODRegression(modes=4).fit(runs)
    with pytest.raises(InputError, match="pass the problem"):
        Enriching(learned)
    with pytest.raises(InputError, match="is not both Affine and Stable"):
        Enriching(learned, DenseProblem())


def test_saved_and_loaded_it_goes_on(block, small, tmp_path):
    session = Enriching(small, block, 1e-3)
    mu = block.parameters.sample(range(40), 1)
    answer = session.predict(mu)
    again = load(save(session, tmp_path / "session.nwidth"))
    np.testing.assert_array_equal(again.predict(mu).bound, answer.bound)
    assert (again.full_solves, again.rtol, again.modes) == (session.full_solves, 1e-3, session.modes)
    again.predict(block.parameters.sample(range(700, 900), 1))


def test_an_extended_basis_holds_the_new_snapshots_and_truncates_to_the_old(block, small):
    mu = block.parameters.sample(range(900, 903), 0)
    snapshots = exact(block, mu).astype(np.float64)
    larger = extended(small, snapshots)
    assert larger.modes == 6
    np.testing.assert_array_equal(larger.basis[:3], small.basis)
    answer = certify(larger, block).predict(mu)
    assert (relative_error(block, mu, answer) < 1e-9).all()
    test = block.parameters.sample(range(20), 7)
    one, two = (certify(b, block).predict(test) for b in (larger.truncate(3), small))
    np.testing.assert_allclose(one.bound, two.bound, rtol=1e-6)
    assert (certify(larger, block).predict(test).bound < two.bound).all()
    assert extended(larger, snapshots[:1]).modes == 6


def test_a_basis_spans_what_it_was_made_from(block):
    rng = np.random.default_rng(0)
    fields = rng.normal(size=(4, block.space.size)) * block.terms().free
    reduced = spanned(block, np.concatenate([fields, fields[:1] + fields[1:2]]))
    assert reduced.modes == 4
    coordinates = block.space.inner("energy").apply(fields) @ reduced.basis.T
    np.testing.assert_allclose(coordinates @ reduced.basis, fields, atol=1e-9)
    with pytest.raises(InputError, match="a basis is made from finite real fields"):
        spanned(block, fields[:, :5])
    with pytest.raises(InputError, match="vanish"):
        spanned(block, 0 * fields)
    growing = GrowingBasis(block, 2)
    with pytest.raises(InputError, match="raise capacity"):
        growing.add(fields)


def test_prescribed_values_are_cleared_from_the_fields_of_a_basis(block):
    """Nodal values that no product sees must not come back in a reconstructed field."""
    free = block.terms().free
    fields = np.random.default_rng(1).normal(size=(2, block.space.size))
    assert (spanned(block, fields).basis[:, ~free] == 0).all()
