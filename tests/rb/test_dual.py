"""Outputs with dual bases against solutions and outputs in extended precision."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.linalg as la
import scipy.sparse as sp
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from tests.rb.affine_cases import LONG, Random, exact, wide

import nwidth as nw
from nwidth.certificates.outputs import OutputCertificate
from nwidth.core.errors import InputError
from nwidth.core.guarantee import Estimate
from nwidth.online.outputs import certify_outputs
from nwidth.problems.anisotropic import Anisotropic
from nwidth.problems.base import Quantity
from nwidth.problems.quantities import Quadratic, QuadraticOutputs
from nwidth.problems.thermal_block import ThermalBlock


class Squares(Random, QuadraticOutputs):
    """The random problem with a definite, an indefinite and a one-sided quadratic output."""

    kind = "testing-squares"

    def quadratics(self):
        size, rng = self.config["size"] + 1, np.random.default_rng(self.config["seed"] + 99)
        b, c = rng.normal(size=(2, size, size))
        rank = np.zeros((size, size))
        rank[-1, -1] = 2.0
        return {
            "definite": Quadratic(sp.csr_array(b @ b.T)),
            "indefinite": Quadratic(sp.csr_array(c), rng.normal(size=size), 5.0, "W"),
            "square": Quadratic(sp.csr_array(rank), offset=-1.0),
        }


def true_outputs(problem, u):
    """name -> values `(B,)` in extended precision."""
    values = {name: u @ q.functional.astype(LONG) + LONG(q.offset) for name, q in problem.quantities().items()}
    for name, q in problem.quadratics().items() if isinstance(problem, QuadraticOutputs) else ():
        square = np.array([v @ (wide(q.matrix) @ v) for v in u], dtype=LONG)
        values[name] = square + u @ q.functional.astype(LONG) + LONG(q.offset)
    return values


def errors(problem, u, answer):
    return {name: np.abs(v - answer.outputs[name].values).astype(float) for name, v in true_outputs(problem, u).items()}


def answering(problem, modes, dual_modes, **options):
    reduced = nw.rb.Greedy(tol=None, max_size=modes, training=40).fit(problem=problem)
    return certify_outputs(reduced, tol=None, max_size=dual_modes, training=40, **options)


@settings(max_examples=25, phases=[Phase.generate])
@given(
    size=st.integers(2, 25),
    terms=st.integers(1, 3),
    loads=st.integers(1, 2),
    modes=st.integers(1, 10),
    dual_modes=st.integers(1, 10),
    seed=st.integers(0, 10_000),
    spread=st.sampled_from([1.0, 1e3, 1e6]),
)
def test_limits_of_all_outputs_hold_on_random_problems(size, terms, loads, modes, dual_modes, seed, spread):
    problem = Squares(size=size, terms=terms, loads=loads, seed=seed, spread=spread)
    certified = answering(problem, max(modes, loads), dual_modes)
    mu = problem.parameters.sample(range(12), seed + 1)
    bare = certified.surrogate.predict(mu)
    wrong = bare.values.coefficients * (
        1 + 0.2 * np.random.default_rng(seed).normal(size=bare.values.coefficients.shape)
    )
    u = exact(problem, mu)
    for coefficients in (bare.values.coefficients, wrong):
        given_ = replace(bare, values=replace(bare.values, coefficients=coefficients))
        answer = certified.certificate.bound(given_)
        for name, missed in errors(problem, u, answer).items():
            limit = answer.outputs[name].limit
            assert np.isfinite(limit).all() and (limit > 0).all(), name
            assert (missed <= limit).all(), name


def test_limit_of_each_dual_model_alone_holds_and_falls_as_a_product():
    problem = Squares(size=40, terms=3, loads=1, seed=3, spread=100.0)
    mu = problem.parameters.sample(range(30), 8)
    u = exact(problem, mu)
    last = {}
    for modes in (3, 8, 14):
        certified = answering(problem, modes, modes)
        theta, phi = problem.coefficients(mu)
        answer = certified.predict(mu)
        lower = problem.constant(mu).lower
        for name, dual in certified.certificate.duals.items():
            found = dual.output(theta, phi, answer.values.coefficients, answer.bound, lower)
            missed = np.abs(true_outputs(problem, u)[name] - found.values)
            assert (missed <= found.limit).all()
            assert missed.max() > 1e-6 * found.limit.max() or modes == 14  # not by orders of magnitude of slack alone
            last.setdefault(name, []).append(np.median(found.limit))
            last.setdefault("bound", []).append(np.median(answer.bound))
    bound = last.pop("bound")
    gain = (bound[-1] / bound[0]) ** 2
    for name, limits in last.items():
        assert limits[-1] < 100 * gain * limits[0] + 1e-8, name


def test_correction_repairs_the_outputs_of_a_poor_basis():
    problem = Squares(size=40, terms=3, loads=1, seed=6, spread=100.0)
    certified = answering(problem, 4, 14)
    mu = problem.parameters.sample(range(40), 8)
    u, answer = exact(problem, mu), certified.predict(mu)
    raw = answer.field.reshape(len(answer), -1)
    quantity = problem.quantities()["other"]
    plain = np.abs(true_outputs(problem, u)["other"] - (raw @ quantity.functional + quantity.offset))
    assert np.median(errors(problem, u, answer)["other"]) < 1e-2 * np.median(plain)
    square = problem.quadratics()["indefinite"]
    plain = np.abs(true_outputs(problem, u)["indefinite"] - square(raw))
    assert np.median(errors(problem, u, answer)["indefinite"]) < 0.3 * np.median(plain)


def test_with_full_bases_only_rounding_is_left():
    problem = Squares(size=10, terms=3, loads=2, seed=1)
    certified = answering(problem, 10, 10)
    mu = problem.parameters.sample(range(20), 5)
    u, answer = exact(problem, mu), certified.predict(mu)
    for name, value in true_outputs(problem, u).items():
        limit = answer.outputs[name].limit
        assert (errors(problem, u, answer)[name] <= limit).all()
        assert (limit > 0).all() and (limit < 1e-9 * np.abs(value).max()).all()


def test_continuity_constant_is_that_of_the_dense_eigenvalue_problem():
    problem = Squares(size=15, seed=2)
    certified = answering(problem, 4, 4)
    x = problem.space.energy.matrix.toarray()[1:, 1:]
    for name, quantity in problem.quadratics().items():
        dense = np.abs(la.eigh(quantity.matrix.toarray()[1:, 1:], x, eigvals_only=True)).max()
        assert dense * (1 - 1e-12) <= certified.certificate.duals[name].continuity <= dense * (1 + 1e-6)


@pytest.fixture(scope="module")
def plate():
    return nw.rb.with_stability(Anisotropic(16))


@pytest.fixture(scope="module")
def plate_basis(plate):
    return nw.rb.Greedy(tol=None, max_size=10, training=100).fit(problem=plate)


def test_a_general_functional_gets_a_limit_of_second_order(plate, plate_basis):
    mu = plate.parameters.sample(range(60), 4)
    u = exact(plate, mu)
    own = nw.certify(plate_basis, plate).predict(mu)
    with_dual = certify_outputs(plate_basis, tol=None, max_size=10).predict(mu)
    for answer in (own, with_dual):
        for name, missed in errors(plate, u, answer).items():
            assert (missed <= answer.outputs[name].limit).all()
    assert np.median(with_dual.outputs["quarter"].limit) < 0.02 * np.median(own.outputs["quarter"].limit)
    assert (with_dual.outputs["mean"].limit <= own.outputs["mean"].limit).all()
    np.testing.assert_array_equal(with_dual.bound, own.bound)


def test_dual_bases_stop_at_the_tolerance(plate, plate_basis):
    sizes = []
    for tol in (1e-2, 1e-5):
        certified = certify_outputs(plate_basis, tol=tol, training=100)
        mu = plate.parameters.sample(range(100), 0)
        answer = certified.predict(mu).outputs["quarter"]
        assert (answer.limit <= 1.05 * tol * np.abs(answer.values).max()).all()
        sizes.append(certified.certificate.duals["quarter"].dual.modes)
    assert sizes[0] < sizes[1] < 30


def test_outside_of_what_is_proven_the_limit_is_infinite(plate, plate_basis):
    mu = {"m": np.array([0.1, 1.4]), "k": np.array([1.0, 1.0]), "c": np.array([0.0, 0.0])}
    answer = certify_outputs(plate_basis, tol=1e-3).predict(mu)
    assert np.isfinite(answer.bound).tolist() == [True, False]
    assert answer.reason[1] and not answer.reason[0]
    for output in answer.outputs.values():
        assert np.isfinite(output.limit).tolist() == [True, False]


def test_a_quadratic_output_of_ones_own_on_a_problem_of_the_zoo():
    """The dissipated energy ∫ κ |∇u|² of the first block, and ∫ u² against the field's own."""
    block = ThermalBlock(2, 14)
    reduced = nw.rb.Greedy(tol=1e-4, training=60).fit(problem=block)
    mass = block.space.mass.matrix
    wanted = {"power": Quadratic(block.terms().matrices[0], unit="W"), "square": Quadratic(mass)}
    certified = certify_outputs(reduced, tol=1e-8, outputs=wanted, training=60)
    mu = block.parameters.sample(range(30), 5)
    u, answer = exact(block, mu), certified.predict(mu)
    for name, q in wanted.items():
        true = np.array([v @ (wide(q.matrix) @ v) for v in u])
        output = answer.outputs[name]
        assert (np.abs(true - output.values) <= output.limit).all()
        assert (output.limit < 1e-6 * np.abs(true).max()).all()
    assert answer.outputs["power"].unit == "W" and "mean" in answer.outputs
    assert 0.99 / (2 * np.pi**2) < certified.certificate.duals["square"].continuity < 1 / (2 * np.pi**2)


def test_an_unproven_constant_makes_estimates_of_all_outputs():
    class Guessed(Squares):
        def constant(self, mu, field=None):
            return replace(super().constant(mu), proven=False)

    answer = answering(Guessed(), 3, 3).predict(Guessed().parameters.sample(range(2), 0))
    assert answer.guarantee == Estimate("energy norm", "a proven stability constant")


def test_stored_it_answers_to_the_last_bit(tmp_path):
    problem = Squares(size=12)
    certified = answering(problem, 4, 5)
    again = nw.load(nw.save(certified, tmp_path / "s.nwidth"), kinds=[Squares])
    mu = problem.parameters.sample(range(10), 3)
    ours, theirs = certified.predict(mu).outputs, again.predict(mu).outputs
    assert list(ours) == list(theirs)
    for name in ours:
        np.testing.assert_array_equal(ours[name].values, theirs[name].values)
        np.testing.assert_array_equal(ours[name].limit, theirs[name].limit)


def test_one_query_at_a_time_gives_the_answer_of_the_batch(plate, plate_basis):
    certified = certify_outputs(plate_basis, tol=1e-3)
    mu = plate.parameters.sample(range(5), 7)
    whole = certified.predict(mu)
    for i in range(5):
        one = certified.predict({name: values[i : i + 1] for name, values in mu.items()})
        for name, output in one.outputs.items():
            assert output.values[0] == pytest.approx(whole.outputs[name].values[i], rel=1e-9)
            assert output.limit[0] == pytest.approx(whole.outputs[name].limit[i], rel=1e-3)


def test_what_does_not_fit_is_refused(plate_basis):
    with pytest.raises(InputError, match=r"give \(N, N\) and \(N,\)"):
        Quadratic(sp.csr_array(np.eye(3)), np.ones(4))
    with pytest.raises(InputError, match="must be finite"):
        Quadratic(sp.csr_array(np.array([[np.inf]])))
    with pytest.raises(InputError, match="for a space with"):
        certify_outputs(plate_basis, outputs={"short": Quantity(np.ones(3))})
    with pytest.raises(InputError, match="has no outputs"):
        certify_outputs(plate_basis, outputs={})
    with pytest.raises(InputError, match="belong to a reduced basis"):
        certify_outputs(3)
    with pytest.raises(InputError, match="give a tolerance above zero"):
        OutputCertificate.build(plate_basis, tol=0.0)
