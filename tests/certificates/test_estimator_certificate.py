"""The certificate that takes the cheaper residual formula, against solutions in extended precision."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.rb.affine_cases import Random, corners, energy_error, exact

from nwidth.certificates.estimator import EstimatorCertificate
from nwidth.core.errors import InputError
from nwidth.core.guarantee import Estimate, Rigorous
from nwidth.core.prediction import Reduced
from nwidth.io.model import load, save
from nwidth.online.certify import certify
from nwidth.online.wrappers import Certified
from nwidth.problems.thermal_block import ThermalBlock
from nwidth.rb.greedy import Greedy
from nwidth.rb.interpolated import InterpolatedResidual


class Curve(Random):
    """Many terms whose coefficients follow one parameter."""

    kind = "testing-curve"

    def coefficients(self, mu):
        count, t = len(self.terms().matrices), np.asarray(mu["t0"])[:, None]
        return 1 + t ** (1 + 0.1 * np.arange(count)[None]), np.ones((len(t), len(self.terms().loads)))


@pytest.fixture(scope="module")
def curve():
    problem = Curve(size=60, terms=12, loads=1, seed=5)
    reduced = Greedy(tol=None, max_size=4, training=40).fit(problem=problem)
    return problem, reduced, problem.parameters.sample(range(40), 9)


@settings(max_examples=40)
@given(
    size=st.integers(3, 25),
    terms=st.integers(1, 4),
    loads=st.integers(1, 3),
    modes=st.integers(3, 8),
    seed=st.integers(0, 10_000),
    spread=st.sampled_from([1.0, 1e2, 1e4]),
)
def test_bounds_hold_for_fields_and_outputs_of_random_problems(size, terms, loads, modes, seed, spread):
    problem = Random(size=size, terms=terms, loads=loads, seed=seed, spread=spread)
    reduced = Greedy(tol=None, max_size=modes, training=30).fit(problem=problem)
    certificate = EstimatorCertificate.build(reduced, "interpolated", training=40)
    few, ends = problem.parameters.sample(range(10), seed + 1), corners(problem)
    mu = {name: np.concatenate([few[name], ends[name]]) for name in few}
    answer, u = certificate.bound(reduced.predict(mu)), exact(problem, mu)
    error = energy_error(problem, mu, u, answer.field)
    assert np.isfinite(answer.bound).all() and (answer.bound > 0).all()
    assert (error <= answer.bound).all()
    for name, quantity in problem.quantities().items():
        missed = np.abs(u @ quantity.functional.astype(np.longdouble) + quantity.offset - answer.outputs[name].values)
        assert (missed <= answer.outputs[name].limit).all(), name


def test_many_terms_and_one_parameter_take_the_interpolation_and_stay_sharp(curve):
    problem, reduced, mu = curve
    certificate = EstimatorCertificate.build(reduced)
    assert isinstance(certificate.estimator, InterpolatedResidual) and "points" in certificate.reason
    answer = Certified(reduced, certificate).predict(mu)
    error = energy_error(problem, mu, exact(problem, mu), answer.field)
    assert answer.guarantee == Rigorous("energy norm", ("reduction", "round-off"))
    assert (error <= answer.bound).all()
    usual = certify(reduced, problem).predict(mu)
    large = error > 1e-2 * error.max()
    np.testing.assert_allclose(answer.bound[large], usual.bound[large], rtol=0.25)
    np.testing.assert_array_equal(answer.field, usual.field)


def test_the_thermal_block_keeps_the_orthonormal_basis():
    block = ThermalBlock(resolution=10)
    reduced = Greedy(tol=None, max_size=6, training=40).fit(problem=block)
    certificate = EstimatorCertificate.build(reduced)
    assert certificate.reason.startswith("orthonormal basis")
    mu = block.parameters.sample(range(10), 3)
    np.testing.assert_allclose(
        certificate.bound(reduced.predict(mu)).bound, certify(reduced, block).predict(mu).bound, rtol=1e-9
    )


def test_without_the_remainder_it_is_an_estimate_that_names_it(curve):
    _, reduced, mu = curve
    answer = EstimatorCertificate.build(reduced, "interpolated", proven=False).bound(reduced.predict(mu))
    assert isinstance(answer.guarantee, Estimate) and "remainder" in answer.guarantee.missing
    assert np.isfinite(answer.bound).all()


def test_an_unproven_constant_makes_it_an_estimate():
    class Guessed(Random):
        def constant(self, mu, field=None):
            return replace(super().constant(mu), proven=False)

    problem = Guessed()
    reduced = Greedy(tol=None, max_size=3, training=20).fit(problem=problem)
    answer = EstimatorCertificate.build(reduced, training=20).bound(
        reduced.predict(problem.parameters.sample(range(2), 0))
    )
    assert answer.guarantee == Estimate("energy norm", "a proven stability constant")


def test_coefficients_that_are_not_finite_get_an_infinite_bound_and_the_reason(curve):
    _, reduced, mu = curve
    bare = reduced.predict(mu)
    broken = bare.values.coefficients.copy()
    broken[1] = np.nan
    for kind in ("interpolated", "orthonormal"):
        answer = EstimatorCertificate.build(reduced, kind).bound(
            replace(bare, values=replace(bare.values, coefficients=broken))
        )
        assert np.isinf(answer.bound[1]) and np.isfinite(np.delete(answer.bound, 1)).all()
        assert answer.reason[1] and not answer.reason[0]
        assert all(np.isinf(output.limit[1]) for output in answer.outputs.values())


def test_another_basis_is_refused(curve):
    _, reduced, mu = curve
    certificate = EstimatorCertificate.build(reduced, "orthonormal")
    with pytest.raises(InputError, match="does not live in the basis"):
        certificate.bound(reduced.truncate(2).predict(mu))
    bare = reduced.predict(mu)
    moved = replace(bare, values=Reduced(bare.values.coefficients, bare.values.basis, bare.values.offset + 1.0))
    with pytest.raises(InputError, match="does not live in the basis"):
        certificate.bound(moved)


@pytest.mark.parametrize("kind", ["interpolated", "orthonormal"])
def test_saved_and_loaded_it_answers_to_the_last_bit(curve, kind, tmp_path):
    _, reduced, mu = curve
    certified = Certified(reduced, EstimatorCertificate.build(reduced, kind))
    again = load(save(certified, tmp_path / "curve.nwidth"), kinds=[Curve])
    np.testing.assert_array_equal(certified.predict(mu).bound, again.predict(mu).bound)
    assert again.certificate.reason == certified.certificate.reason
