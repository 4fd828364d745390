"""The bound of a reduced basis against extended-precision solutions, down to the floor and out of the box."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.rb.affine_cases import Random, corners, energy_error, exact

from nwidth.certificates.residual import ResidualCertificate
from nwidth.core.errors import InputError
from nwidth.core.guarantee import Estimate, Rigorous
from nwidth.core.prediction import Reduced
from nwidth.io.model import load, save
from nwidth.online.certify import certify
from nwidth.online.wrappers import Certified
from nwidth.problems.thermal_block import ThermalBlock
from nwidth.rb.greedy import Greedy


def certified(problem, modes, **options):
    return certify(Greedy(tol=None, max_size=modes, training=40, **options).fit(problem=problem), problem)


def output_errors(problem, u, answer):
    """|s(u) - value| of each output, in extended precision."""
    return {
        name: np.abs(u @ q.functional.astype(np.longdouble) + q.offset - answer.outputs[name].values)
        for name, q in problem.quantities().items()
    }


def effectivity_limit(problem, mu):
    stability = problem.constant(mu)
    return np.sqrt(stability.upper / stability.lower)


@pytest.fixture(scope="module")
def block():
    return ThermalBlock(resolution=16)


@pytest.fixture(scope="module")
def answers(block):
    """Every size of basis on random parameters and all corners, with exact solutions."""
    whole = Greedy(tol=None, max_size=24, training=80).fit(problem=block)
    random, corner = block.parameters.sample(range(60), 3), corners(block)
    mu = {name: np.concatenate([random[name], corner[name]]) for name in random}
    u = exact(block, mu)
    return mu, u, {n: certify(whole.truncate(n), block).predict(mu) for n in range(1, whole.modes + 1)}


@settings(max_examples=60)
@given(
    size=st.integers(2, 30),
    terms=st.integers(1, 4),
    loads=st.integers(1, 3),
    modes=st.integers(1, 12),
    seed=st.integers(0, 10_000),
    spread=st.sampled_from([1.0, 1e3, 1e7]),
)
def test_bounds_hold_for_fields_and_outputs_of_random_problems(size, terms, loads, modes, seed, spread):
    problem = Random(size=size, terms=terms, loads=loads, seed=seed, spread=spread)
    answer_of = certified(problem, max(modes, loads))
    mu = problem.parameters.sample(range(20), seed + 1)
    answer, u = answer_of.predict(mu), exact(problem, mu)
    error = energy_error(problem, mu, u, answer.field)
    assert np.isfinite(answer.bound).all() and (answer.bound > 0).all()
    assert (error <= answer.bound).all()
    floor = answer.stats["floor"]
    assert (answer.bound <= 1.001 * effectivity_limit(problem, mu) * error + 3 * floor).all()
    for name, missed in output_errors(problem, u, answer).items():
        assert (missed <= answer.outputs[name].limit).all(), name


def test_every_size_of_basis_is_bounded_at_random_parameters_and_corners(block, answers):
    mu, u, found = answers
    for answer in found.values():
        error = energy_error(block, mu, u, answer.field)
        assert (error <= answer.bound).all() and (answer.bound > 0).all()
        assert (output_errors(block, u, answer)["mean"] <= answer.outputs["mean"].limit).all()


def test_effectivity_stays_within_theory_while_the_error_is_above_the_floor(block, answers):
    mu, u, found = answers
    compared = 0
    for answer in found.values():
        error = energy_error(block, mu, u, answer.field)
        above = error > 10 * answer.stats["floor"]
        ratio = answer.bound[above] / error[above]
        assert (ratio <= 1.11 * effectivity_limit(block, mu)[above]).all()
        compared += int(above.sum())
    assert compared > 500


def test_bound_follows_the_error_far_below_the_root_of_the_machine_precision(block, answers):
    """The Gram form of the estimator ends near 1e-8 of the load; here the proven floor lies two orders below that."""
    mu, u, found = answers
    size = energy_error(block, mu, u, 0 * u)
    last = found[max(found)]
    assert (last.stats["floor"] < 2e-10 * size).all()
    assert (last.bound < 1e-9 * size).all()
    assert last.bound.min() > 0


def test_output_limit_of_a_compliant_output_is_quadratic(block, answers):
    _, _, found = answers
    linear = ThermalBlock(resolution=16).space.inner("energy").dual_norm(block.terms().loads)
    for n, gain in ((6, 0.5), (10, 0.05), (14, 0.005)):
        limit, bound = found[n].outputs["mean"].limit, found[n].bound
        assert (limit <= 1.01 * bound**2 + 1e-11).all()
        assert np.median(limit) < gain * np.median(bound) * linear


def test_mean_output_is_the_functional_of_the_field(block, answers):
    _, _, found = answers
    functional = block.quantities()["mean"].functional
    np.testing.assert_allclose(found[8].outputs["mean"].values, found[8].field @ functional, rtol=1e-11)


def test_bound_agrees_with_the_residual_of_the_field(block):
    """Two independent routes: coefficients alone, and the full field with the Riesz map of its residual."""
    answer_of = certified(block, 6)
    bare = answer_of.surrogate.predict(block.parameters.sample(range(10), 1))
    ours, theirs = answer_of.certificate.bound(bare), ResidualCertificate(block).bound(bare)
    residual = block.systems(bare.mu).residual(block.space.flatten(theirs.field))
    usual = block.space.inner("energy").dual_norm(residual) / np.sqrt(block.constant(bare.mu).lower)
    np.testing.assert_allclose(ours.bound, usual, rtol=1e-6)
    assert (theirs.bound <= ours.bound).all()


def test_coefficients_from_elsewhere_are_bounded_and_their_outputs_corrected():
    """The bound is for the returned coefficients, whoever computed them; the dual residual repairs the output."""
    problem = Random(size=25, terms=3, loads=2, seed=4)
    answer_of = certified(problem, 8)
    mu = problem.parameters.sample(range(30), 2)
    bare = answer_of.surrogate.predict(mu)
    wrong = bare.values.coefficients + 0.3 * np.random.default_rng(0).normal(size=bare.values.coefficients.shape)
    answer = answer_of.certificate.bound(replace(bare, values=replace(bare.values, coefficients=wrong)))
    u = exact(problem, mu)
    assert (energy_error(problem, mu, u, answer.field) <= answer.bound).all()
    for name, missed in output_errors(problem, u, answer).items():
        assert (missed <= answer.outputs[name].limit).all()
    raw = np.abs(u @ problem.quantities()["compliant"].functional - wrong @ answer_of.surrogate.model.functionals[0])
    assert np.median(output_errors(problem, u, answer)["compliant"]) < 0.3 * np.median(raw)


def test_outside_the_box_the_bound_stays_valid_and_inside_says_so(block):
    answer_of = certified(block, 6)
    mu = {name: np.array([0.02, 0.5, 30.0]) for name in block.parameters.names}
    mu["mu_2"] = np.array([7.0, 0.5, 0.01])
    answer = answer_of.predict(mu)
    assert answer.inside.tolist() == [False, True, False]
    error = energy_error(block, mu, exact(block, mu), answer.field)
    assert (error <= answer.bound).all()
    assert (answer.bound <= 1.11 * effectivity_limit(block, mu) * error + 3 * answer.stats["floor"]).all()


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf])
def test_a_parameter_without_a_solution_is_refused(block, value):
    answer_of = certified(block, 2)
    mu = block.parameters.sample(range(3), 0)
    mu["mu_3"][1] = value
    with pytest.raises(InputError, match="mu_3 is .* in row 1; it must be a number above zero"):
        answer_of.predict(mu)


def test_coefficients_that_are_not_finite_get_an_infinite_bound_and_the_reason(block):
    answer_of = certified(block, 3)
    bare = answer_of.surrogate.predict(block.parameters.sample(range(3), 0))
    broken = bare.values.coefficients.copy()
    broken[1] = np.nan
    answer = answer_of.certificate.bound(replace(bare, values=replace(bare.values, coefficients=broken)))
    assert np.isinf(answer.bound[1]) and np.isfinite(answer.bound[[0, 2]]).all()
    assert np.isinf(answer.outputs["mean"].limit[1])
    assert answer.reason[1] and not answer.reason[0]


def test_an_empty_batch_gives_an_empty_answer(block):
    answer = certified(block, 2).predict({name: np.zeros(0) for name in block.parameters.names})
    assert len(answer) == 0 and answer.field.shape == (0, block.space.size)


def test_guarantee_is_rigorous_and_an_unproven_constant_makes_it_an_estimate():
    class Guessed(Random):
        def constant(self, mu, field=None):
            return replace(super().constant(mu), proven=False)

    mu = {name: np.array([0.5]) for name in Random().parameters.names}
    sure, unsure = (certified(problem, 4).predict(mu).guarantee for problem in (Random(), Guessed()))
    assert sure == Rigorous("energy norm", ("reduction", "round-off"))
    assert unsure == Estimate("energy norm", "a proven stability constant")


def test_another_basis_or_a_plain_field_is_refused(block):
    one, other = certified(block, 3), certified(block, 3, error="absolute")
    mu = block.parameters.sample(range(2), 0)
    swapped = Certified(other.surrogate.truncate(2), one.certificate)
    with pytest.raises(InputError, match="another basis"):
        swapped.predict(mu)
    bare = one.surrogate.predict(mu)
    moved = replace(bare, values=Reduced(bare.values.coefficients, bare.values.basis, bare.values.offset + 1.0))
    with pytest.raises(InputError, match="another basis"):
        one.certificate.bound(moved)
    with pytest.raises(InputError, match="ResidualCertificate"):
        one.certificate.bound(replace(bare, values=bare.field))


def test_certificate_of_another_problem_is_refused(block):
    reduced = Greedy(tol=None, max_size=2, training=5).fit(problem=block)
    with pytest.raises(InputError, match="was built for"):
        certify(reduced, ThermalBlock(resolution=20))
    assert certify(reduced, ThermalBlock(resolution=16)).certificate.problem == block


def test_saved_and_loaded_it_answers_to_the_last_bit(block, tmp_path):
    answer_of = certified(block, 5)
    again = load(save(answer_of, tmp_path / "block.nwidth"))
    mu = block.parameters.sample(range(40), 8)
    ours, theirs = answer_of.predict(mu), again.predict(mu)
    np.testing.assert_array_equal(ours.field, theirs.field)
    np.testing.assert_array_equal(ours.bound, theirs.bound)
    np.testing.assert_array_equal(ours.outputs["mean"].limit, theirs.outputs["mean"].limit)
    np.testing.assert_array_equal(again.surrogate.history["chosen"], answer_of.surrogate.history["chosen"])
    assert (tmp_path / "block.nwidth").stat().st_size < 200_000


def test_a_class_of_ones_own_is_saved_and_loaded(tmp_path):
    answer_of = certified(Random(), 5)
    again = load(save(answer_of, tmp_path / "own.nwidth"), kinds=[Random])
    mu = Random().parameters.sample(range(5), 8)
    np.testing.assert_array_equal(answer_of.predict(mu).bound, again.predict(mu).bound)


@pytest.mark.parametrize("batch", [1, 2, 31, 32, 33, 127, 128, 129, 300])
def test_an_answer_does_not_depend_on_its_batch(block, batch):
    """Lanes and pieces are cut in many ways; only the last bits may differ."""
    answer_of = certified(block, 7)
    mu = block.parameters.sample(range(300), 4)
    whole = answer_of.predict(mu)
    part = answer_of.predict({name: values[:batch] for name, values in mu.items()})
    np.testing.assert_allclose(part.values.coefficients, whole.values.coefficients[:batch], rtol=1e-9, atol=1e-13)
    np.testing.assert_allclose(part.bound, whole.bound[:batch], rtol=1e-9)
    np.testing.assert_allclose(part.outputs["mean"].limit, whole.outputs["mean"].limit[:batch], rtol=1e-7)
