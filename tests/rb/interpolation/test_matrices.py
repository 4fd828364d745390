"""The matrix version: from assembled systems alone, against dense projections and full-order solutions."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from tests.certificates.non_affine_cases import Plate, energy_error, exact

import nwidth as nw
from nwidth.certificates.interpolated import MatrixEstimate, interpolated_certificate
from nwidth.certificates.interpolation import InterpolationCertificate
from nwidth.certificates.residual import ResidualCertificate
from nwidth.core.errors import InputError, WorkError
from nwidth.core.guarantee import Estimate, Rigorous
from nwidth.core.storable import Parts, Storable
from nwidth.core.validation import select
from nwidth.online.wrappers import Certified
from nwidth.problems.base import Linear, System
from nwidth.problems.moving_bump import MovingBump
from nwidth.problems.thermal_block import ThermalBlock
from nwidth.rb.greedy import Greedy
from nwidth.rb.interpolation.deim import DEIM, QDEIM
from nwidth.rb.interpolation.eim import EIM
from nwidth.rb.interpolation.matrices import entries, interpolated_matrices
from nwidth.rb.interpolation.problem import separated


class Assembled(Linear, Storable):
    """Nothing but matrices: no stability constant, no functions."""

    kind = "testing-assembled"

    def __init__(self, resolution=6):
        self.inner = Plate(resolution)

    parameters = property(lambda self: self.inner.parameters)
    space = property(lambda self: self.inner.space)

    def assemble(self, mu):
        return self.inner.assemble(mu)

    def to_parts(self):
        return Parts({"resolution": self.inner.config["resolution"]}, {}, {})

    @classmethod
    def from_parts(cls, config, arrays, children):
        return cls(**config)


@pytest.fixture(scope="module")
def problem():
    return Plate(6)


@pytest.fixture(scope="module")
def mu(problem):
    return problem.parameters.sample(range(20), 5)


def reduced(problem, modes=15):
    return Greedy(tol=None, max_size=modes, training=40, loads="sum").fit(problem=problem)


@pytest.mark.parametrize("method", [EIM, DEIM, QDEIM])
def test_matrices_and_loads_come_back_from_a_few_entries(problem, mu, method):
    small = interpolated_matrices(problem, 60, 1e-5, method=method)
    theta, phi = small.coefficients(mu)
    terms = small.terms()
    for i in range(5):
        system = problem.assemble(select(mu, slice(i, i + 1)))
        found = sum(t * a for t, a in zip(theta[i], terms.matrices, strict=True))
        assert abs(found - system.matrix).max() < 3e-3 * abs(system.matrix).max()
        np.testing.assert_allclose(
            phi[i] @ terms.loads, system.load * system.free, atol=3e-3 * np.abs(system.load).max()
        )
    assert all(abs(a - a.T).max() == 0 for a in terms.matrices), "symmetric as the snapshots are"
    assert small.matrix.errors[-1] <= 1e-5 * small.matrix.errors[0]


def test_an_affine_problem_is_found_exactly():
    """Four blocks: as many matrices as conductivities, one load, and answers to rounding."""
    block = ThermalBlock(2, 8)
    small = interpolated_matrices(block, 12)
    assert (small.matrix.terms, small.load.terms) == (4, 1)
    mu = block.parameters.sample(range(10), 3)
    np.testing.assert_allclose(nw.solve(small, mu).field, nw.solve(block, mu).field, rtol=1e-7, atol=1e-12)
    assert list(small.quantities()) == ["mean"]


def test_the_values_are_those_of_the_assembled_systems(problem, mu):
    pattern = interpolated_matrices(problem, 5, None).pattern
    table, loads = entries(problem, mu, pattern)
    for i in (0, 7):
        system = problem.assemble(select(mu, slice(i, i + 1)))
        np.testing.assert_array_equal(pattern.matrix(table[i]).toarray(), sp.csr_array(system.matrix).toarray())
        np.testing.assert_array_equal(loads[i], np.where(system.free, system.load, 0.0))


@pytest.mark.parametrize("terms", [2, 6, 20])
def test_the_residual_in_the_true_system_bounds_everything(problem, mu, terms):
    small = interpolated_matrices(problem, 60, None, max_size=terms)
    surrogate = reduced(small)
    certificate = interpolated_certificate(surrogate, problem)
    assert isinstance(certificate, ResidualCertificate)
    answer = Certified(surrogate, certificate).predict(mu)
    error = energy_error(problem, mu, exact(problem, mu), problem.space.flatten(answer.field))
    assert isinstance(answer.guarantee, Rigorous) and (error <= answer.bound).all()
    stability = problem.constant(mu)
    assert (answer.bound <= 1.01 * np.sqrt(stability.upper / stability.lower) * error).all()


def test_without_a_stability_constant_there_is_an_estimate_that_says_so(mu, tmp_path):
    assembled = Assembled()
    small = interpolated_matrices(assembled, 60, None, max_size=8)
    surrogate = reduced(small)
    own = Certified(surrogate, interpolated_certificate(surrogate, assembled))
    answer = own.predict(mu)
    assert isinstance(answer.guarantee, Estimate) and "stability constant" in str(answer.guarantee)
    truth = assembled.inner
    error = energy_error(truth, mu, exact(truth, mu), truth.space.flatten(answer.field))
    assert np.median(answer.bound / error) > 0.5 and (answer.bound < 20 * error).all()
    nw.save(own, tmp_path / "model.nwidth")
    again = nw.load(tmp_path / "model.nwidth", kinds=[Assembled, Plate])
    np.testing.assert_allclose(again.predict(mu).bound, answer.bound, rtol=1e-6)
    nan = surrogate.predict(mu)
    nan.values.coefficients[0] = np.nan
    judged = own.certificate.bound(nan)
    assert np.isinf(judged.bound[0]) and judged.reason[0] and np.isfinite(judged.bound[1])


def test_each_kind_of_basis_gets_its_certificate(problem, mu):
    by_functions = reduced(separated(problem, 60, 1e-4), 4)
    assert isinstance(interpolated_certificate(by_functions, problem), InterpolationCertificate)
    by_matrices = reduced(interpolated_matrices(problem, 60, None, max_size=5), 4)
    assert isinstance(interpolated_certificate(by_matrices), ResidualCertificate)
    block = ThermalBlock(2, 8)
    assert interpolated_certificate(reduced(block, 4), block) is None
    with pytest.raises(InputError, match="fit again"):
        interpolated_certificate(by_matrices, MovingBump(6))
    with pytest.raises(InputError, match="reduced coefficients"):
        small = interpolated_matrices(Assembled(), 20, None, max_size=3)
        prediction = replace(by_functions.predict(mu), values=nw.solve(problem, mu).field)
        MatrixEstimate(small, np.zeros((3, 1, 1))).bound(prediction)


class Changing(Linear):
    """Systems that do not fit together."""

    def __init__(self, what):
        self.what, self.inner = what, Plate(3)

    parameters = property(lambda self: self.inner.parameters)
    space = property(lambda self: self.inner.space)

    def assemble(self, mu):
        system, first = self.inner.assemble(mu), float(mu["mu_1"][0]) < 0.5
        matrix = sp.csr_array(system.matrix)
        if self.what == "pattern" and first:
            matrix = sp.csr_array(matrix * (abs(matrix) > 0.5 * abs(matrix).max()))
            matrix.eliminate_zeros()
        lift = 2 * system.lift if self.what == "lift" and first else system.lift
        return System(matrix, system.load, system.free, lift)


def test_what_cannot_be_is_refused(problem):
    with pytest.raises(InputError, match="another pattern"):
        interpolated_matrices(Changing("pattern"), 20)
    with pytest.raises(InputError, match="prescribed values of row"):
        interpolated_matrices(Changing("lift"), 20)
    with pytest.raises(InputError, match="inherit Linear"):
        interpolated_matrices(object())
    with pytest.raises(InputError, match="expected a NonAffine problem"):
        separated(ThermalBlock(2, 8))
    with pytest.raises(WorkError, match="miss tol"):
        interpolated_matrices(problem, 60, 1e-9, max_size=3)
    with pytest.raises(InputError, match="cannot be stored"):
        interpolated_matrices(Changing("nothing"), 5, None).to_parts()
