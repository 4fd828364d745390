"""Bounds of reduced bases with constants by successive constraints, against extended-precision solutions."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from tests.rb.affine_cases import Random, corners, energy_error, exact

import nwidth as nw
from nwidth.certificates.residual import ResidualCertificate
from nwidth.core.errors import InputError
from nwidth.core.guarantee import Estimate, Rigorous
from nwidth.problems.anisotropic import Anisotropic
from nwidth.problems.base import Affine
from nwidth.rb.stability import WithStability


@pytest.fixture(scope="module")
def plate():
    return nw.rb.with_stability(Anisotropic(14), 100)


@pytest.fixture(scope="module")
def certified(plate):
    reduced = nw.rb.Greedy(tol=1e-3, training=150).fit(problem=plate)
    return nw.certify(reduced, plate)


def test_bounds_hold_at_random_parameters_and_corners(plate, certified):
    drawn, corner = plate.parameters.sample(range(80), 21), corners(plate)
    mu = {name: np.concatenate([drawn[name], corner[name]]) for name in drawn}
    answer, u = certified.predict(mu), exact(plate, mu)
    error = energy_error(plate, mu, u, answer.field)
    assert (error <= answer.bound).all() and np.isfinite(answer.bound).all()
    assert answer.guarantee == Rigorous("energy norm", ("reduction", "round-off"))
    stability = plate.constant(mu)
    above = error > 10 * answer.stats["floor"]
    assert (answer.bound <= 1.01 * np.sqrt(stability.upper / stability.lower) * error)[above].all() and above.any()


def test_the_bound_is_sharp_because_the_constant_is(plate, certified):
    """Near the edge of coercivity a constant of half the size would cost 40 %; the tolerance of 25 % costs 15 %."""
    mu = plate.parameters.sample(range(60), 2)
    error = energy_error(plate, mu, exact(plate, mu), certified.predict(mu).field)
    ratio = certified.predict(mu).bound / error
    assert ratio.min() >= 1 and np.median(ratio) < 2.5


def test_outside_the_box_limits_hold_or_are_infinite_with_the_reason(plate, certified):
    mu = {
        "m": np.array([0.55, -0.7, 0.9, 2.0, 0.0]),
        "k": np.array([0.5, 3.0, 1.0, 1.0, 1.0]),
        "c": np.array([0.0, 1.0, 0.0, 0.0, -40.0]),
    }
    answer = certified.predict(mu)
    assert not answer.inside.any()
    finite = np.isfinite(answer.bound)
    assert finite[1] and not finite[3:].any()
    assert not np.isnan(answer.bound).any()
    some = {name: values[finite] for name, values in mu.items()}
    error = energy_error(plate, some, exact(plate, some), answer.take(finite).field)
    assert (error <= answer.bound[finite]).all()
    assert all("no coercivity constant above zero is proven" in why for why in answer.reason[~finite])
    assert not any(answer.reason[finite])


def test_a_field_from_elsewhere_has_an_infinite_limit_there_and_never_nan(plate):
    mu = {"m": np.array([0.1, 2.0]), "k": np.ones(2), "c": np.zeros(2)}
    bare = nw.rb.Greedy(tol=None, max_size=3, training=20).fit(problem=plate).predict(mu)
    whole = replace(bare, values=bare.field)
    answer = ResidualCertificate(plate).bound(whole)
    assert np.isfinite(answer.bound[0]) and answer.bound[1] == np.inf
    lower = plate.constant(mu).lower  # what is not above zero is no constant: nobody can divide by it
    assert lower[0] > 0 and np.isnan(lower[1])


def test_without_a_constant_the_message_says_what_is_missing():
    bare = Anisotropic(8)
    reduced = nw.rb.Greedy(tol=None, max_size=2, training=10).fit(problem=bare)
    with pytest.raises(InputError, match="a stability constant is missing"):
        nw.certify(reduced, bare)
    guess = nw.rb.sampled_constants(bare)
    problem = nw.rb.with_stability(bare, stability=guess)
    reduced = nw.rb.Greedy(tol=None, max_size=2, training=10).fit(problem=problem)
    answer = nw.certify(reduced, problem).predict(bare.parameters.sample(range(3), 1))
    assert answer.guarantee == Estimate("energy norm", guess.missing)
    assert "nw.rb.with_stability(problem) proves one" in guess.missing


def test_sampled_constants_are_near_the_proven_ones_from_above(plate):
    guess = nw.rb.sampled_constants(plate.problem)
    theta, _ = plate.coefficients(plate.parameters.sample(range(50), 6))
    proven, sampled = plate.stability.constants(theta), guess.constants(theta)
    assert not sampled.proven
    assert (sampled.lower >= proven.lower).all() and (sampled.lower < 2 * proven.lower).all()


def test_stored_with_its_problem_it_answers_to_the_last_bit(certified, tmp_path):
    again = nw.load(nw.save(certified, tmp_path / "plate.nwidth"))
    mu = certified.parameters.sample(range(20), 5)
    ours, theirs = certified.predict(mu), again.predict(mu)
    np.testing.assert_array_equal(ours.bound, theirs.bound)
    np.testing.assert_array_equal(ours.outputs["quarter"].limit, theirs.outputs["quarter"].limit)


def test_problems_with_and_without_formulas_keep_what_they_can_do(plate, tmp_path):
    random = nw.rb.with_stability(Random(size=12, terms=2), 20)
    assert type(random) is WithStability and set(random.quantities()) == {"compliant", "other"}
    theta, _ = random.coefficients(random.parameters.sample(range(20), 3))
    # at least as good as comparing coefficients, and better where no one vector is bad for all terms
    lower = random.stability.constants(theta).lower
    assert (lower >= (1 - 1e-6) * theta.min(axis=1)).all() and (lower > 1.2 * theta.min(axis=1)).any()
    assert plate.formulas() == plate.problem.formulas()
    mu = random.parameters.sample(range(4), 0)
    loaded = nw.load(nw.save(random, tmp_path / "r.nwidth"), kinds=[Random])
    np.testing.assert_array_equal(loaded.constant(mu).lower, random.constant(mu).lower)


def test_a_problem_in_code_can_be_wrapped_and_cannot_be_stored():
    class Coded(Affine):
        parameters = property(lambda self: Random(size=8).parameters)
        space = property(lambda self: Random(size=8).space)

        def terms(self):
            return Random(size=8).terms()

        def coefficients(self, mu):
            return Random(size=8).coefficients(mu)

    wrapped = nw.rb.with_stability(Coded(), 20)
    assert wrapped.quantities() == {} and (wrapped.constant(wrapped.parameters.sample(range(5), 0)).lower > 0).all()
    with pytest.raises(InputError, match="cannot be stored"):
        wrapped.to_parts()


def test_matrices_from_elsewhere_take_it_as_their_constant():
    plate = Anisotropic(10)
    terms = plate.terms()
    problem = nw.rb.from_matrices(
        [sp.csr_matrix(a) for a in terms.matrices],
        [terms.loads[0]],
        (["1", "m", "k", "c"], ["1"]),
        parameters={"m": (-0.5, 0.5), "k": (0.5, 2.0), "c": (-3.0, 3.0)},
        free=terms.free,
        stability=nw.rb.successive_constraints,
    )
    mu = problem.parameters.sample(range(20), 1)
    found = problem.constant(mu)
    assert found.proven and (found.lower > 0).all()
    certified = nw.certify(nw.rb.Greedy(tol=1e-2, training=50).fit(problem=problem), problem)
    answer = certified.predict(mu)
    assert (energy_error(problem, mu, exact(problem, mu), answer.field) <= answer.bound).all()
