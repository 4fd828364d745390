"""Inf-sup constants proven by counting eigenvalues, against dense singular values; and trials to break the proof."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.bounds.nonsymmetric_cases import RandomLinear, matrices, singular_values

import nwidth as nw
from nwidth.bounds.factor_residual import Lower, distance
from nwidth.bounds.inertia import NoInertiaError, signed_factor
from nwidth.bounds.inf_sup import Pencil, deviation, inf_sup, nearest
from nwidth.bounds.inf_sup_constants import InfSupConstants, SampledInfSup
from nwidth.bounds.metric import energy_matrix
from nwidth.bounds.resonances import Resonances
from nwidth.core.errors import InputError, WorkError
from nwidth.problems.advection_diffusion import AdvectionDiffusion
from nwidth.problems.helmholtz import Helmholtz

SHAPES = ("general", "symmetric", "complex symmetric")


@settings(max_examples=40, deadline=None)
@given(
    size=st.integers(1, 60), seed=st.integers(0, 10_000), shape=st.sampled_from(SHAPES), log_least=st.floats(-6, 0.5)
)
def test_the_proven_constant_is_below_the_dense_one_and_near_it(size, seed, shape, log_least):
    problem = RandomLinear(size, seed, shape, 10.0**log_least)
    a, x = sp.csr_array(problem.a), sp.csr_array(problem.x)
    least, largest = singular_values(a, x)[[0, -1]]
    try:
        found = inf_sup(a, x, problem._smallest)
    except WorkError:
        # without pivoting the pair [[-δX, A], [Aᵀ, -δX]] loses 1/δ² of its digits: no proof, never a wrong one
        assert shape == "general" and least < 0.05
        return
    assert found.proven and 0 < found.value <= least * (1 + 1e-12)
    assert shape == "general" or found.value >= 0.4 * least
    assert deviation(a, x, problem._smallest) >= largest


@settings(max_examples=25, deadline=None)
@given(size=st.integers(2, 40), seed=st.integers(0, 10_000), shape=st.sampled_from(SHAPES), factor=st.floats(1.001, 30))
def test_no_constant_above_the_true_one_is_ever_proven(size, seed, shape, factor):
    """A guess that missed the eigenvalue nearest to zero is what the proof is for."""
    problem = RandomLinear(size, seed, shape, 0.05)
    pencil = Pencil.of(sp.csr_array(problem.a), sp.csr_array(problem.x))
    try:
        value, _ = pencil.proof(0.05 * factor, problem._smallest, 8)
    except NoInertiaError:
        return
    assert value is None


@pytest.mark.parametrize("shape", SHAPES)
def test_what_is_proven_just_below_the_true_constant_is_below_it(shape):
    """δ a millionth below σ: what is proven lies between, so that a constant a part in a thousand too large shows."""
    for seed in range(4):
        problem = RandomLinear(20, seed, shape, 0.3)
        a, x = sp.csr_array(problem.a), sp.csr_array(problem.x)
        least = singular_values(a, x)[0]
        value, _ = Pencil.of(a, x).proof((1 - 1e-6) * least, problem._smallest, 8)
        assert value is not None and (1 - 1e-5) * least <= value <= (1 - 1e-6) * least


@pytest.mark.parametrize("boundary", ["dirichlet", "absorbing"])
def test_waves_against_dense_singular_values(boundary):
    problem = Helmholtz(12, boundary=boundary, lowest=4.0, highest=12.0, modes=8)
    mu = problem.parameters.sample(range(4), 0)
    dual, x = InfSupConstants().prepare(problem)(mu), energy_matrix(problem.space)
    least = np.array([singular_values(a, x)[0] for a, *_ in matrices(problem, mu)])
    largest = np.array([singular_values(a, x)[-1] for a, *_ in matrices(problem, mu)])
    assert (1 / dual.above <= least).all() and (1 / dual.above >= 0.99 * least).all()
    assert (dual.below <= 1 / largest).all() and (dual.reason == "").all()


def test_a_transport_problem_that_is_not_coercive_has_an_inf_sup_constant():
    problem = AdvectionDiffusion(8, flow="uniform", boundary_type=("dirichlet", ("robin", "neumann")))
    mu, x = {"angle": np.array([-1.5])}, energy_matrix(problem.space)
    dual = InfSupConstants().prepare(problem)(mu)
    values = singular_values(matrices(problem, mu)[0][0], x)
    assert 0.99 * values[0] <= 1 / dual.above[0] <= values[0] and dual.below[0] <= 1 / values[-1]


def test_at_a_resonance_nothing_is_proven():
    problem = Helmholtz(8, modes=8)
    x, n = energy_matrix(problem.space), np.ones((1, 9, 9))
    mass = 1 / 64
    resonance = np.sqrt(np.linalg.eigvalsh(x.toarray())[3] / mass)
    dual = InfSupConstants().prepare(problem)({"k": np.array([resonance, 1.01 * resonance]), "n": np.repeat(n, 2, 0)})
    assert np.isinf(dual.above[0]) and dual.reason[0] and np.isfinite(dual.above[1])


def test_what_is_not_a_square_finite_matrix_is_refused():
    eye = sp.eye_array(3, format="csr")
    with pytest.raises(InputError, match="square and finite"):
        inf_sup(sp.csr_array(np.diag([1.0, np.nan, 1.0])), eye, 1.0)
    with pytest.raises(InputError, match="differs from its transpose"):
        inf_sup(sp.csr_array(np.array([[1.0, 1j], [0.0, 1.0]])), sp.eye_array(2, format="csr"), 1.0)
    with pytest.raises(WorkError, match="singular"):
        inf_sup(sp.csr_array(np.array([[1.0, 1.0], [1.0, 1.0]])), sp.eye_array(2, format="csr"), 1.0)


def test_the_distance_of_a_signed_factor_is_a_norm_of_the_difference():
    rng = np.random.default_rng(0)
    factor = np.tril(rng.normal(size=(20, 20)) * (rng.random((20, 20)) < 0.3)) + 3 * np.eye(20)
    signs = rng.choice([-1.0, 1.0], size=20)
    exact = (factor * signs) @ factor.T
    other = exact + 1e-6 * np.diag(rng.normal(size=20))
    lowers = [Lower.of(sp.csc_array(m)) for m in (other, factor)]
    found = distance(*lowers, signs)
    true = np.linalg.norm(other - exact, 2)
    assert true <= found <= true + 1e-12
    assert distance(*lowers) > 1.0  # without the signs it is another matrix


def test_an_inertia_is_that_of_the_matrix():
    rng = np.random.default_rng(1)
    m = rng.normal(size=(30, 30))
    m = m + m.T
    found = signed_factor(sp.csr_array(m), rng.permutation(30)).inertia(0.0)
    values = np.linalg.eigvalsh(m)
    assert (values < -found.shift).sum() <= found.negative <= (values < found.shift).sum()


def test_the_nearest_eigenvalue_is_found():
    for shape in SHAPES:
        problem = RandomLinear(30, 3, shape, 0.2)
        a, x = sp.csr_array(problem.a), sp.csr_array(problem.x)
        assert nearest(Pencil.of(a, x)) == pytest.approx(singular_values(a, x)[0], rel=1e-6)


def test_sampled_constants_say_what_they_are():
    problem = Helmholtz(8, lowest=3.0, highest=6.0, modes=8)
    sampled = SampledInfSup.build(problem, 5, seed=1)
    mu = problem.parameters.sample(range(5), 1)
    each = InfSupConstants(prove=False).prepare(problem)(mu)
    np.testing.assert_allclose(1 / sampled.value, each.above.max(), rtol=1e-12)
    assert "smallest of 5 samples" in sampled.missing and InfSupConstants(prove=False).missing
    assert InfSupConstants().missing == ""


class TestResonances:
    problem = Helmholtz(10, lowest=4.0, highest=14.0, sigma=0.2, modes=8)
    drawn = problem.parameters.sample(range(1), 0)
    reference: object = {"k": np.ones(1), "n": drawn["n"]}

    def built(self):
        return Resonances.build(self.problem, self.reference, 16.0, 196.0)

    def queries(self, k):
        rng = np.random.default_rng(0)
        sizes = 10.0 ** -rng.integers(2, 6, size=(len(k), 1, 1)).astype(float)
        return {"k": k, "n": self.drawn["n"] * np.exp(sizes * rng.uniform(-1, 1, size=(len(k), 11, 11)))}

    def test_every_constant_is_below_the_dense_one(self):
        k = np.random.default_rng(0).uniform(3.9, 14.1, size=60)
        mu = self.queries(k)
        dual, x = self.built().prepare(self.problem)(mu), energy_matrix(self.problem.space)
        values = np.array([singular_values(a, x)[[0, -1]] for a, *_ in matrices(self.problem, mu)])
        known = np.isfinite(dual.above)
        assert known.sum() > 30 and (1 / dual.above[known] <= values[known, 0]).all()
        assert (dual.below <= 1 / values[:, 1]).all() and (dual.reason[~known] != "").all()

    def test_for_the_reference_medium_they_are_sharp(self):
        mu = {"k": np.linspace(4.1, 13.9, 30), "n": np.repeat(self.drawn["n"], 30, axis=0)}
        dual, x = self.built().prepare(self.problem)(mu), energy_matrix(self.problem.space)
        least = np.array([singular_values(a, x)[0] for a, *_ in matrices(self.problem, mu)])
        np.testing.assert_allclose(1 / dual.above, least, rtol=1e-3, atol=1e-6)

    def test_no_interval_holds_an_eigenvalue(self):
        found, x = self.built(), energy_matrix(self.problem.space).toarray()
        root = np.sqrt(found.mass)
        values = np.linalg.eigvalsh(x / np.outer(root, root))
        assert len(found.low) > 10
        for low, high in zip(found.low, found.high, strict=True):
            assert not ((values > low) & (values < high)).any()

    def test_an_interval_across_an_eigenvalue_is_never_proven(self, monkeypatch):
        """Eigenvalues that the search misses: the counts differ, and the interval is left out."""
        monkeypatch.setattr("nwidth.bounds.resonances._eigenvalues", lambda x, m, low, high: np.array([16.0, 196.0]))
        assert not len(self.built().low)

    def test_a_far_medium_has_no_constant(self):
        mu = {"k": np.array([6.0]), "n": 1.5 * self.drawn["n"][:1] * np.linspace(0.5, 2, 121).reshape(1, 11, 11)}
        dual = self.built().prepare(self.problem)(mu)
        assert np.isinf(dual.above[0]) and "resonance" in dual.reason[0]

    def test_it_is_stored(self, tmp_path):
        built = self.built()
        nw.save(built, tmp_path / "r.nwidth")
        again = nw.load(tmp_path / "r.nwidth")
        for name in ("mass", "low", "high"):
            np.testing.assert_array_equal(getattr(again, name), getattr(built, name))

    def test_other_problems_and_limits_are_refused(self):
        with pytest.raises(InputError, match="0 < low < high"):
            Resonances.build(self.problem, self.reference, 5.0, 1.0)
        with pytest.raises(InputError, match="real matrices X - D"):
            Resonances.build(Helmholtz(8, boundary="absorbing"), self.reference, 1.0, 2.0)
        with pytest.raises(InputError, match="free dofs"):
            self.built().prepare(Helmholtz(8))
