"""The bound of surrogates that answer in a basis, against solutions in extended precision."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.rb.affine_cases import Random, energy_error, exact

from nwidth.certificates.reduced_residual import ReducedResidualCertificate, reduced_basis_of
from nwidth.certificates.residual import ResidualCertificate
from nwidth.core.errors import InputError
from nwidth.core.guarantee import Estimate, Rigorous
from nwidth.core.prediction import Reduced, uncertified
from nwidth.core.validation import as_mu
from nwidth.io.model import load, save
from nwidth.online.wrappers import Certified
from nwidth.problems.thermal_block import ThermalBlock
from nwidth.rb.greedy import Greedy
from nwidth.rb.pod_regression import PODRegression
from nwidth.snapshots.base import Snapshots
from nwidth.surrogates.base import Surrogate
from nwidth.testing.dense import DenseProblem


class Guess(Surrogate):
    """Answers in a given basis with coefficients that owe nothing to any equation."""

    def __init__(self, problem, basis, offset, scale=1.0):
        self._problem, self._basis, self._offset, self._scale = problem, basis, offset, scale

    parameters = property(lambda self: self._problem.parameters)
    space = property(lambda self: self._problem.space)

    def predict(self, mu):
        mu = as_mu(mu, self.parameters.names)
        table = np.stack(list(mu.values()), axis=1)
        c = self._scale * np.cos(table @ np.ones((table.shape[1], len(self._basis))) + np.arange(len(self._basis)))
        return uncertified(mu, Reduced(c, self._basis, self._offset), self.space, self.parameters.contains(mu))

    def to_parts(self):
        raise InputError("a guess is not stored")

    @classmethod
    def from_parts(cls, config, arrays, children):
        raise InputError("a guess is not stored")


def guess(problem, modes, seed, **options):
    """A basis that does not care about prescribed values, with an offset that misses them too."""
    rng, size = np.random.default_rng(seed), len(problem.terms().lift)
    return Guess(problem, rng.normal(size=(modes, size)), rng.normal(size=size), **options)


def runs_of(problem, count, seed=0):
    mu = problem.parameters.sample(range(count), seed)
    return Snapshots(problem.parameters, problem.space, mu, exact(problem, mu).astype(np.float64))


@pytest.fixture(scope="module")
def block():
    return ThermalBlock(resolution=12)


@pytest.fixture(scope="module")
def learned(block):
    return PODRegression().fit(runs_of(block, 40))


@settings(max_examples=50)
@given(
    size=st.integers(2, 25),
    terms=st.integers(1, 4),
    loads=st.integers(1, 3),
    modes=st.integers(1, 8),
    seed=st.integers(0, 10_000),
    spread=st.sampled_from([1.0, 1e3, 1e6]),
    scale=st.sampled_from([0.0, 1e-9, 1.0, 1e6]),
)
def test_the_bound_holds_for_answers_that_owe_nothing_to_the_equation(size, terms, loads, modes, seed, spread, scale):
    problem = Random(size=size, terms=terms, loads=loads, seed=seed, spread=spread)
    surrogate = guess(problem, modes, seed, scale=scale)
    mu = problem.parameters.sample(range(10), seed + 1)
    answer = Certified(surrogate, ReducedResidualCertificate.build(surrogate, problem)).predict(mu)
    u = exact(problem, mu)
    error = energy_error(problem, mu, u, answer.field)
    assert np.isfinite(answer.bound).all() and (answer.bound > 0).all()
    assert (error <= answer.bound).all()
    stability = problem.constant(mu)
    effectivity = np.sqrt(stability.upper / stability.lower)
    assert (answer.bound <= 1.001 * effectivity * error + 3 * answer.stats["floor"]).all()
    for name, quantity in problem.quantities().items():
        missed = np.abs(u @ quantity.functional.astype(np.longdouble) + quantity.offset - answer.outputs[name].values)
        assert (missed <= answer.outputs[name].limit).all(), name


def test_a_regression_is_bounded_and_its_field_is_its_own(block, learned):
    certified = Certified(learned, ReducedResidualCertificate.build(learned, block))
    mu = block.parameters.sample(range(50, 80), 0)
    answer, bare = certified.predict(mu), learned.predict(mu)
    np.testing.assert_allclose(answer.field, bare.field, atol=1e-9 * np.abs(bare.field).max())
    error = energy_error(block, mu, exact(block, mu), answer.field)
    assert (error <= answer.bound).all()
    assert (answer.bound <= 1.001 * np.sqrt(10) * error).all()
    assert answer.guarantee == Rigorous("energy norm", ("reduction", "round-off"))
    assert (answer.stats["floor"] < 1e-8 * answer.bound).all()


def test_it_agrees_with_the_residual_of_the_field(block, learned):
    """Two routes to one number: from coefficients alone, and at full order, where the chord is sharper still."""
    mu = block.parameters.sample(range(50, 60), 0)
    ours = ReducedResidualCertificate.build(learned, block).bound(learned.predict(mu))
    theirs = ResidualCertificate(block).bound(learned.predict(mu))
    residual = block.systems(mu).residual(block.space.flatten(theirs.field))
    usual = block.space.inner("energy").dual_norm(residual) / np.sqrt(block.constant(mu).lower)
    np.testing.assert_allclose(ours.bound, usual, rtol=1e-6)
    assert (theirs.bound <= ours.bound).all() and (theirs.bound >= ours.bound / np.sqrt(10)).all()


def test_the_output_is_corrected_by_the_dual_solution(block, learned):
    """A product of two small numbers where the regression's own output carries the whole error of its field."""
    mu = block.parameters.sample(range(50, 80), 0)
    answer = ReducedResidualCertificate.build(learned, block).bound(learned.predict(mu))
    functional = block.quantities()["mean"].functional
    true = exact(block, mu) @ functional
    missed = np.abs(true - answer.outputs["mean"].values)
    assert (missed <= answer.outputs["mean"].limit).all()
    assert np.median(missed) < 0.2 * np.median(np.abs(true - learned.predict(mu).field @ functional))


def test_prescribed_values_are_imposed_on_what_is_returned():
    problem = Random(size=20, seed=3)
    surrogate = guess(problem, 4, 7)
    mu = problem.parameters.sample(range(6), 0)
    answer = ReducedResidualCertificate.build(surrogate, problem).bound(surrogate.predict(mu))
    fixed = ~problem.terms().free
    assert (answer.field[:, fixed] == problem.terms().lift[fixed]).all()
    assert not np.allclose(surrogate.predict(mu).field[:, fixed], problem.terms().lift[fixed])
    free = problem.terms().free
    np.testing.assert_allclose(answer.field[:, free], surrogate.predict(mu).field[:, free], atol=1e-9)


def test_a_field_from_anywhere_is_projected_and_the_projection_is_bounded(block, learned):
    reduced = Greedy(tol=None, max_size=8, training=40).fit(problem=block)
    certificate = ReducedResidualCertificate.projecting(reduced)
    mu = block.parameters.sample(range(50, 60), 0)
    u = exact(block, mu)
    rng = np.random.default_rng(0)
    fields = u.astype(np.float64) * (1 + 0.01 * rng.normal(size=u.shape)) + 0.3
    answer = certificate.bound(uncertified(mu, fields, block.space, np.ones(10, dtype=bool)))
    error = energy_error(block, mu, u, answer.field)
    assert (error <= answer.bound).all() and (answer.field[:, ~block.terms().free] == 0).all()
    rough = block.space.inner("energy").norm(fields - u.astype(np.float64))
    assert (error < 0.5 * rough).all(), "a projection onto solutions is smoother than noise"
    again = certificate.bound(answer)
    np.testing.assert_allclose(again.field, answer.field, atol=1e-12)
    np.testing.assert_allclose(again.bound, answer.bound, rtol=1e-6)


def test_a_field_that_is_not_finite_gets_an_infinite_bound_and_the_reason(block):
    certificate = ReducedResidualCertificate.projecting(Greedy(tol=None, max_size=3, training=10).fit(problem=block))
    mu = block.parameters.sample(range(3), 0)
    fields = exact(block, mu).astype(np.float64)
    fields[1, 5] = np.nan
    answer = certificate.bound(uncertified(mu, fields, block.space, np.ones(3, dtype=bool)))
    assert np.isinf(answer.bound[1]) and np.isfinite(answer.bound[[0, 2]]).all() and answer.reason[1]
    with pytest.raises(InputError, match="complex"):
        certificate.bound(uncertified(mu, fields + 1j, block.space, np.ones(3, dtype=bool)))


def test_galerkins_method_in_the_same_modes_is_better(block, learned):
    reduced = reduced_basis_of(learned, block)
    mu = block.parameters.sample(range(50, 80), 0)
    u = exact(block, mu)
    ours, theirs = (energy_error(block, mu, u, s.predict(mu).field) for s in (reduced, learned))
    assert (ours <= theirs * (1 + 1e-9)).all() and np.median(ours) < 0.9 * np.median(theirs)


def test_it_knows_where_it_applies(block, learned):
    assert ReducedResidualCertificate.applies(learned, block)
    assert not ReducedResidualCertificate.applies(learned, DenseProblem())
    nodal = guess(block, 3, 0)
    nodal.predict = lambda mu: uncertified(as_mu(mu, block.parameters.names), np.zeros((1, 313)), block.space, [True])
    assert not ReducedResidualCertificate.applies(nodal, block)
    with pytest.raises(InputError, match="answers with fields, not with coefficients"):
        ReducedResidualCertificate.build(nodal, block)


def test_a_problem_without_a_constant_or_of_another_size_is_refused(block, learned):
    with pytest.raises(InputError, match="is not both Affine and Stable"):
        ReducedResidualCertificate.build(learned, DenseProblem())
    with pytest.raises(InputError, match="fit the surrogate to runs of this problem"):
        ReducedResidualCertificate.build(learned, ThermalBlock(resolution=8))


def test_an_unproven_constant_makes_it_an_estimate():
    class Guessed(Random):
        def constant(self, mu, field=None):
            return replace(super().constant(mu), proven=False)

    problem = Guessed(size=12)
    surrogate = guess(problem, 3, 0)
    answer = ReducedResidualCertificate.build(surrogate, problem).bound(
        surrogate.predict(problem.parameters.sample(range(2), 0))
    )
    assert answer.guarantee == Estimate("energy norm", "a proven stability constant")


def test_another_basis_is_refused(block, learned):
    certificate = ReducedResidualCertificate.build(learned, block)
    other = PODRegression(modes=3).fit(runs_of(block, 20, seed=4))
    mu = block.parameters.sample(range(2), 0)
    with pytest.raises(InputError, match="another basis"):
        certificate.bound(other.predict(mu))
    with pytest.raises(InputError, match="another basis"):
        certificate.bound(replace(learned.predict(mu), values=learned.predict(mu).field))


def test_saved_and_loaded_it_answers_to_the_last_bit(block, learned, tmp_path):
    certified = Certified(learned, ReducedResidualCertificate.build(learned, block))
    again = load(save(certified, tmp_path / "learned.nwidth"))
    mu = block.parameters.sample(range(7), 8)
    np.testing.assert_array_equal(certified.predict(mu).bound, again.predict(mu).bound)
    np.testing.assert_array_equal(certified.predict(mu).field, again.predict(mu).field)
    projecting = ReducedResidualCertificate.projecting(Greedy(tol=None, max_size=3, training=10).fit(problem=block))
    same = load(save(projecting, tmp_path / "projecting.nwidth"))
    np.testing.assert_array_equal(projecting.bound(learned.predict(mu)).bound, same.bound(learned.predict(mu)).bound)


@pytest.mark.parametrize("resolution", [8, 16])
def test_what_the_online_stage_touches_does_not_grow_with_the_mesh(resolution):
    """Its tables have the same few entries on every mesh."""
    problem = ThermalBlock(resolution=resolution)
    surrogate = PODRegression(modes=4).fit(runs_of(problem, 15))
    certificate = ReducedResidualCertificate.build(surrogate, problem)
    assert certificate.coordinates.shape == (5, 5)
    assert certificate.inside.residual.rows.shape[0] == 1 + 1 + 4 * 5
